package tokenrevocation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/revocation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/untrusted"
)

// AccountName names the controller of service accounts, its queue, its logger and
// its metrics.
const AccountName = "tokenrevocation-account"

// mostTold is how much is told of an annotation that is no instant, in bytes.
const mostTold = 64

// AccountReconciler makes a ClusterTokenRevocation of each annotation on a service
// account that asks for one.
type AccountReconciler struct {
	// Client reads metadata from a cache, and writes.
	Client client.Client
	// Recorder tells of an annotation that cannot be read; it may drop.
	Recorder events.EventRecorder
}

// +kubebuilder:rbac:groups="",resources=serviceaccounts,verbs=get;list;watch
// +kubebuilder:rbac:groups=accesstoken.dev,resources=clustertokenrevocations,verbs=get;list;watch;create;delete

// Reconcile makes the revocation of one service account, once for what the
// annotation says. The moment that counts is fixed by that object: a time to come
// reaches nothing that is made after it.
func (r *AccountReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	account := accountMetadata()
	if err := r.Client.Get(ctx, req.NamespacedName, account); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	before := v1alpha1.Timestamp(account.Annotations[v1alpha1.AnnotationRevokeTokensBefore])
	if before == "" || !account.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	if _, err := before.Parse(); err != nil {
		r.Recorder.Eventf(account, nil, corev1.EventTypeWarning, "RevocationInvalid", "Revoke",
			"annotation %s: %q is not an instant such as 2026-11-24T09:00:00Z; no token was revoked",
			v1alpha1.AnnotationRevokeTokensBefore, untrusted.Text(string(before), mostTold))
		return ctrl.Result{}, nil
	}
	key := client.ObjectKey{Name: accountRevocationName(account)}
	known := &v1alpha1.ClusterTokenRevocation{}
	if err := r.Client.Get(ctx, key, known); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, err
	} else if err == nil {
		return ctrl.Result{}, r.deleteCovered(ctx, req.NamespacedName, known)
	}
	made := &v1alpha1.ClusterTokenRevocation{
		ObjectMeta: metav1.ObjectMeta{
			Name:        key.Name,
			Annotations: map[string]string{v1alpha1.AnnotationServiceAccount: account.Namespace + "/" + account.Name},
		},
		Spec: v1alpha1.ClusterTokenRevocationSpec{
			Namespace: account.Namespace,
			RevocationSpec: v1alpha1.RevocationSpec{
				Subject: &v1alpha1.RevokedSubject{Kind: v1alpha1.RevokedServiceAccount, Name: account.Name},
				Before:  before,
				Reason:  "annotation " + v1alpha1.AnnotationRevokeTokensBefore + " on the service account",
			},
		},
	}
	if err := r.Client.Create(ctx, made, client.FieldOwner(FieldManager)); client.IgnoreAlreadyExists(err) != nil {
		return ctrl.Result{}, fmt.Errorf("revoke the tokens of service account %s: %w", req.NamespacedName, err)
	}
	if made.UID == "" {
		return ctrl.Result{}, nil // it was there; the next pass sees it
	}
	return ctrl.Result{}, r.deleteCovered(ctx, req.NamespacedName, made)
}

// deleteCovered deletes the revocations that the same account asked for before, as
// far as the latest covers what they void and they are done: whoever may annotate
// an account makes as many as there are instants.
func (r *AccountReconciler) deleteCovered(ctx context.Context, account client.ObjectKey, latest *v1alpha1.ClusterTokenRevocation) error {
	covering, err := revocation.OfCluster(latest)
	if err != nil {
		return err
	}
	list := &v1alpha1.ClusterTokenRevocationList{}
	if err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list revocations of service account %s: %w", account, err)
	}
	for i := range list.Items {
		earlier := &list.Items[i]
		covered, err := revocation.OfCluster(earlier)
		done := meta.IsStatusConditionTrue(earlier.Status.Conditions, v1alpha1.ConditionReady)
		if err != nil || !done || earlier.Name == latest.Name || accountOf(earlier) != account || covered.Before.After(covering.Before) {
			continue
		}
		if covered.User != covering.User || covered.Namespace != covering.Namespace {
			continue // made by hand, with our annotation
		}
		if err := r.Client.Delete(ctx, earlier, client.Preconditions{UID: &earlier.UID}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete revocation %s, which a later one covers: %w", earlier.Name, err)
		}
	}
	return nil
}

// accountRevocationName is that of the revocation that a service account asks for:
// another for each account, also of the same name, and each instant.
func accountRevocationName(account metav1.Object) string {
	sum := sha256.Sum256([]byte(string(account.GetUID()) + "\x00" + account.GetAnnotations()[v1alpha1.AnnotationRevokeTokensBefore]))
	return "account-" + account.GetNamespace() + "-" + hex.EncodeToString(sum[:8])
}

// accountMetadata reads a service account without what it holds.
func accountMetadata() *metav1.PartialObjectMetadata {
	account := &metav1.PartialObjectMetadata{}
	account.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ServiceAccount"))
	return account
}

// SetupWithManager registers the controller.
func (r *AccountReconciler) SetupWithManager(mgr ctrl.Manager) error {
	asks := predicate.NewPredicateFuncs(func(account client.Object) bool {
		return account.GetAnnotations()[v1alpha1.AnnotationRevokeTokensBefore] != ""
	})
	err := ctrl.NewControllerManagedBy(mgr).
		Named(AccountName).
		For(accountMetadata(), builder.OnlyMetadata, builder.WithPredicates(asks, predicate.AnnotationChangedPredicate{})).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up controller %s: %w", AccountName, err)
	}
	return nil
}
