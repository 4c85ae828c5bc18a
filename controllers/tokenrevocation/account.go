package tokenrevocation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/index"
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
// annotation says, unless one that there is covers it. The moment that counts is
// fixed by that object: a time to come reaches nothing that is made after it. Those
// of no more use go: whoever may annotate accounts could fill the store otherwise.
func (r *AccountReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	account := accountMetadata()
	err := r.Client.Get(ctx, req.NamespacedName, account)
	gone := apierrors.IsNotFound(err)
	if err != nil && !gone {
		return ctrl.Result{}, err
	}
	known, err := r.madeOf(ctx, req.NamespacedName)
	if err != nil {
		return ctrl.Result{}, err
	}
	if gone {
		// Its tokens ended with it, and the records say so once these are done.
		return ctrl.Result{}, r.deleteDone(ctx, known, func(accountRevocation) bool { return false })
	}
	known, again, err := r.heed(ctx, account, known)
	if err != nil || again > 0 {
		return ctrl.Result{RequeueAfter: again}, err
	}
	latest, named := known.latest(), accountRevocationName(account)
	return ctrl.Result{}, r.deleteDone(ctx, known, func(each accountRevocation) bool {
		return each.object.Name == latest || each.object.Name == named
	})
}

// heed makes the revocation that the annotation asks for, where that is needed, and
// returns all that there are, or how soon to try again.
func (r *AccountReconciler) heed(ctx context.Context, account *metav1.PartialObjectMetadata, known accountRevocations) (accountRevocations, time.Duration, error) {
	before, asked := r.asked(account)
	if !asked || known.cover(accountRevocationName(account), before) {
		return known, 0, nil
	}
	if known.pending() >= mostPending {
		return known, pendingRetry, nil
	}
	made, err := r.make(ctx, account)
	return append(known, made...), 0, err
}

// asked is the instant that the annotation says. Of what is none an event tells.
func (r *AccountReconciler) asked(account *metav1.PartialObjectMetadata) (before time.Time, ok bool) {
	text := account.Annotations[v1alpha1.AnnotationRevokeTokensBefore]
	if text == "" || !account.DeletionTimestamp.IsZero() {
		return time.Time{}, false
	}
	before, err := v1alpha1.Timestamp(text).Parse()
	if err != nil {
		r.Recorder.Eventf(account, nil, corev1.EventTypeWarning, "RevocationInvalid", "Revoke",
			"annotation %s: %q is not an instant such as 2026-11-24T09:00:00Z; no token was revoked",
			v1alpha1.AnnotationRevokeTokensBefore, untrusted.Text(text, mostTold))
	}
	return before, err == nil
}

const (
	// mostPending bounds how many revocations of an account there are that are not yet
	// written into the records: with a later instant each would be another one.
	mostPending = 10

	// pendingRetry is how soon is looked again whether one is done, at the latest.
	pendingRetry = 10 * time.Second
)

// accountRevocation is one that was made from the annotation of a service account.
type accountRevocation struct {
	object *v1alpha1.ClusterTokenRevocation // of the cache, not to be changed
	before time.Time
}

func (a accountRevocation) done() bool {
	return meta.IsStatusConditionTrue(a.object.Status.Conditions, v1alpha1.ConditionReady)
}

// accountRevocations are those that were made from one account.
type accountRevocations []accountRevocation

// cover says that nothing is to be made for an annotation: the revocation of this
// name was made from it, or one voids all that it would.
func (a accountRevocations) cover(name string, before time.Time) bool {
	return slices.ContainsFunc(a, func(each accountRevocation) bool {
		return each.object.Name == name || !each.before.Before(before.Truncate(time.Second))
	})
}

// pending is how many are not yet written into the records.
func (a accountRevocations) pending() (count int) {
	for _, each := range a {
		if !each.done() {
			count++
		}
	}
	return count
}

// latest is the name of one that covers all others; empty where there is none.
func (a accountRevocations) latest() string {
	if len(a) == 0 {
		return ""
	}
	return slices.MaxFunc(a, func(one, other accountRevocation) int { return one.before.Compare(other.before) }).object.Name
}

// madeOf are the revocations that were made from an account, or from one of its name
// before it. One that was made by hand with the annotation is none.
func (r *AccountReconciler) madeOf(ctx context.Context, account client.ObjectKey) (made accountRevocations, err error) {
	list := &v1alpha1.ClusterTokenRevocationList{}
	if err := r.Client.List(ctx, list, client.MatchingFields{index.RevocationNamespace: account.Namespace}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list revocations of service account %s: %w", account, err)
	}
	for i := range list.Items {
		object := &list.Items[i]
		subject := object.Spec.Subject
		read, err := revocation.OfCluster(object)
		if err != nil || accountOf(object) != account || subject == nil || *subject != accountSubject(account) {
			continue
		}
		made = append(made, accountRevocation{object: object, before: read.Before})
	}
	return made, nil
}

func accountSubject(account client.ObjectKey) v1alpha1.RevokedSubject {
	return v1alpha1.RevokedSubject{Kind: v1alpha1.RevokedServiceAccount, Name: account.Name}
}

// make makes the revocation that an annotation asks for, and returns it; nothing
// where it was there already, as the next pass sees.
func (r *AccountReconciler) make(ctx context.Context, account *metav1.PartialObjectMetadata) (accountRevocations, error) {
	key := client.ObjectKeyFromObject(account)
	made := &v1alpha1.ClusterTokenRevocation{
		ObjectMeta: metav1.ObjectMeta{
			Name:        accountRevocationName(account),
			Annotations: map[string]string{v1alpha1.AnnotationServiceAccount: account.Namespace + "/" + account.Name},
		},
		Spec: v1alpha1.ClusterTokenRevocationSpec{
			Namespace: account.Namespace,
			RevocationSpec: v1alpha1.RevocationSpec{
				Subject: ptr.To(accountSubject(key)),
				Before:  v1alpha1.Timestamp(account.Annotations[v1alpha1.AnnotationRevokeTokensBefore]),
				Reason:  "annotation " + v1alpha1.AnnotationRevokeTokensBefore + " on the service account",
			},
		},
	}
	err := r.Client.Create(ctx, made, client.FieldOwner(FieldManager))
	if apierrors.IsAlreadyExists(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("revoke the tokens of service account %s: %w", key, err)
	}
	read, err := revocation.OfCluster(made)
	return accountRevocations{{object: made, before: read.Before}}, err
}

// deleteDone deletes the revocations that are written into the records, but for
// those to keep.
func (r *AccountReconciler) deleteDone(ctx context.Context, known accountRevocations, keep func(accountRevocation) bool) error {
	for _, each := range known {
		if !each.done() || keep(each) {
			continue
		}
		uid := each.object.UID
		err := r.Client.Delete(ctx, &v1alpha1.ClusterTokenRevocation{ObjectMeta: metav1.ObjectMeta{Name: each.object.Name}}, client.Preconditions{UID: &uid})
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete revocation %s, which is of no more use: %w", each.object.Name, err)
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
	asks := func(account client.Object) bool {
		return account.GetAnnotations()[v1alpha1.AnnotationRevokeTokensBefore] != ""
	}
	changed := predicate.AnnotationChangedPredicate{}
	accounts := predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return asks(e.Object) },
		UpdateFunc: func(e event.UpdateEvent) bool { return asks(e.ObjectNew) && changed.Update(e) },
		// Each that goes may leave revocations behind, also one that no longer asks.
	}
	made := predicate.NewPredicateFuncs(func(object client.Object) bool { return accountOf(object) != (client.ObjectKey{}) })
	err := ctrl.NewControllerManagedBy(mgr).
		Named(AccountName).
		For(accountMetadata(), builder.OnlyMetadata, builder.WithPredicates(accounts)).
		Watches(&v1alpha1.ClusterTokenRevocation{}, handler.EnqueueRequestsFromMapFunc(func(_ context.Context, object client.Object) []reconcile.Request {
			return []reconcile.Request{{NamespacedName: accountOf(object)}}
		}), builder.WithPredicates(made)).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up controller %s: %w", AccountName, err)
	}
	return nil
}
