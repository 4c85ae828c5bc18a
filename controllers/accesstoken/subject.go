package accesstoken

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/index"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
)

// observeSubject reads who the token is to act as.
func (p *pass) observeSubject(ctx context.Context, state *lifecycle.State) error {
	declared := p.token.Spec.Subject
	if declared == nil {
		return nil
	}
	state.Subject = &lifecycle.Subject{
		Kind: declared.Kind, Name: declared.Name, Reissue: declared.OnRecreate == v1alpha1.OnRecreateReissue,
	}
	if declared.Kind != v1alpha1.SubjectKindServiceAccount {
		return nil
	}
	uid, err := p.accountUID(ctx, p.Client.Get, declared.Name)
	if err == nil && (uid == "" || !boundTo(state, uid)) {
		// The cache may be behind, and much follows: tokens end.
		uid, err = p.accountUID(ctx, p.Live.Get, declared.Name)
	}
	state.Subject.UID = uid
	return err
}

// boundTo says that all that was issued acts as the service account of this UID.
func boundTo(state *lifecycle.State, uid string) bool {
	for _, r := range state.Records {
		if r.Object.Spec.Subject.UID != uid {
			return false
		}
	}
	return true
}

// accountUID is the UID of a service account of this namespace; empty when there
// is none, or it is on its way out.
func (p *pass) accountUID(ctx context.Context, read getFunc, name string) (string, error) {
	account := serviceAccount()
	key := client.ObjectKey{Namespace: p.token.Namespace, Name: name}
	if err := read(ctx, key, account); apierrors.IsNotFound(err) {
		return "", nil
	} else if err != nil {
		return "", fmt.Errorf("read metadata of service account %s: %w", key, err)
	}
	if !account.DeletionTimestamp.IsZero() {
		return "", nil
	}
	return string(account.UID), nil
}

func serviceAccount() *metav1.PartialObjectMetadata {
	account := &metav1.PartialObjectMetadata{}
	account.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ServiceAccount"))
	return account
}

// subjectOf is who the next token acts as.
func subjectOf(token *v1alpha1.AccessToken, state *lifecycle.State) v1alpha1.Subject {
	declared := token.Spec.Subject
	switch {
	case declared == nil:
		return ownPrincipal(token)
	case declared.Kind == v1alpha1.SubjectKindServiceAccount:
		return v1alpha1.Subject{
			Kind: declared.Kind, Name: "system:serviceaccount:" + token.Namespace + ":" + declared.Name, UID: state.Subject.UID,
			Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + token.Namespace},
		}
	}
	return v1alpha1.Subject{Kind: declared.Kind, Name: declared.Name, Groups: declared.Groups}
}

// actingAs wakes the AccessTokens that act as a service account which came or
// went.
func (r *Reconciler) actingAs() handler.EventHandler {
	enqueue := func(ctx context.Context, account client.Object, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
		list := &v1alpha1.AccessTokenList{}
		err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency,
			client.InNamespace(account.GetNamespace()), client.MatchingFields{index.TokenServiceAccount: account.GetName()})
		if err != nil {
			log.FromContext(ctx).Error(err, "list AccessTokens that act as a service account", "serviceAccount", client.ObjectKeyFromObject(account))
			return
		}
		for i := range list.Items {
			queue.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			if !e.IsInInitialList { // then the AccessTokens themselves bring all work
				enqueue(ctx, e.Object, queue)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			if e.ObjectOld.GetUID() != e.ObjectNew.GetUID() || e.ObjectOld.GetDeletionTimestamp().IsZero() != e.ObjectNew.GetDeletionTimestamp().IsZero() {
				enqueue(ctx, e.ObjectNew, queue)
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			enqueue(ctx, e.Object, queue)
		},
	}
}
