package accesstoken

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
	"github.com/accesstoken-dev/accesstoken-operator/internal/policy"
)

// selectingPolicies are the policies that select the namespace of the AccessToken.
func (p *pass) selectingPolicies(ctx context.Context) ([]*v1alpha1.AccessTokenPolicy, error) {
	list := &v1alpha1.AccessTokenPolicyList{}
	if err := p.Client.List(ctx, list, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		return nil, fmt.Errorf("list AccessTokenPolicies: %w", err)
	}
	if len(list.Items) == 0 {
		return nil, nil
	}
	namespace := namespaceMetadata()
	if err := p.Client.Get(ctx, client.ObjectKey{Name: p.token.Namespace}, namespace); err != nil {
		return nil, fmt.Errorf("read labels of namespace %s: %w", p.token.Namespace, err)
	}
	all := make([]*v1alpha1.AccessTokenPolicy, len(list.Items))
	for i := range list.Items {
		all[i] = &list.Items[i]
	}
	return policy.Selecting(all, namespace.Labels), nil
}

// checkLimits says what policies do not allow of an AccessToken.
func checkLimits(selecting []*v1alpha1.AccessTokenPolicy, token *v1alpha1.AccessToken) *lifecycle.Violation {
	if found := policy.Check(selecting, token); found != nil {
		return &lifecycle.Violation{Message: found.Message, End: found.End}
	}
	return nil
}

func namespaceMetadata() *metav1.PartialObjectMetadata {
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return namespace
}

// limited wakes the AccessTokens whose limits may have changed: those of a
// namespace by its labels, and all of them by a policy. At start-up the AccessTokens
// themselves bring all work.
func (r *Reconciler) limited(within func(client.Object) []client.ListOption) handler.EventHandler {
	enqueue := func(ctx context.Context, object client.Object, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
		list := &v1alpha1.AccessTokenList{}
		options := append(within(object), client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency)
		if err := r.Client.List(ctx, list, options...); err != nil {
			log.FromContext(ctx).Error(err, "list AccessTokens to look at their limits again", "changed", object.GetName())
			return
		}
		for i := range list.Items {
			queue.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			if !e.IsInInitialList {
				enqueue(ctx, e.Object, queue)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			enqueue(ctx, e.ObjectNew, queue)
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			enqueue(ctx, e.Object, queue)
		},
	}
}

// everywhere and inside say whose limits an object may have changed.
func everywhere(client.Object) []client.ListOption { return nil }

func inside(namespace client.Object) []client.ListOption {
	return []client.ListOption{client.InNamespace(namespace.GetName())}
}
