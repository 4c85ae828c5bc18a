package accesstokenquota

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
)

// workers is how many namespaces are worked on at once.
const workers = 4

// SetupWithManager registers the controller: a namespace is looked at when one of
// its AccessTokens begins or ceases to want a place, when its ledger or its labels
// change, and when a policy does.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	controlled := ctrl.NewControllerManagedBy(mgr).
		Named(Name).
		WithLogConstructor(logConstructor(mgr)).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers})
	for _, watch := range r.watches(mgr.GetCache()) {
		controlled = controlled.WatchesRawSource(watch)
	}
	if err := controlled.Complete(r); err != nil {
		return fmt.Errorf("set up controller %s: %w", Name, err)
	}
	return nil
}

func (r *Reconciler) watches(informers cache.Cache) []source.Source {
	of := func(namespace func(client.Object) string) handler.EventHandler {
		return handler.EnqueueRequestsFromMapFunc(func(_ context.Context, object client.Object) []reconcile.Request {
			return []reconcile.Request{requestFor(namespace(object))}
		})
	}
	return []source.Source{
		source.Kind[client.Object](informers, &v1alpha1.AccessToken{}, of(client.Object.GetNamespace), claimChanged(), r.departing()),
		source.Kind[client.Object](informers, &v1alpha1.AccessTokenQuota{}, of(client.Object.GetNamespace)),
		source.Kind[client.Object](informers, &v1alpha1.AccessTokenPolicy{}, handler.EnqueueRequestsFromMapFunc(r.everywhere), predicate.GenerationChangedPredicate{}),
		source.Kind[client.Object](informers, namespaceMetadata(), of(client.Object.GetName), predicate.LabelChangedPredicate{}),
	}
}

// claimChanged lets pass what concerns the place of an AccessToken. Of most writes
// of a status it is none.
func claimChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.AccessToken)
		after, also := e.ObjectNew.(*v1alpha1.AccessToken)
		return ok && also && concernOf(before) != concernOf(after)
	}}
}

// departing notes who is deleted, and lets everything pass.
func (r *Reconciler) departing() predicate.Predicate {
	return predicate.Funcs{DeleteFunc: func(e event.DeleteEvent) bool {
		if token, ok := e.Object.(*v1alpha1.AccessToken); ok {
			r.memory.noteDeparted(token)
		}
		return true
	}}
}

// concern is what the place of an AccessToken depends on.
type concern struct {
	uid                       types.UID
	gone, takenBack, finished bool
}

func concernOf(token *v1alpha1.AccessToken) concern {
	return concern{
		uid: token.UID, gone: !token.DeletionTimestamp.IsZero(),
		takenBack: lifecycle.TakenBack(token), finished: lifecycle.Finished(token),
	}
}

// everywhere are the namespaces with a ledger: those whose limits a policy may
// have changed.
func (r *Reconciler) everywhere(ctx context.Context, _ client.Object) []reconcile.Request {
	list := &v1alpha1.AccessTokenQuotaList{}
	if err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		log.FromContext(ctx).Error(err, "list AccessTokenQuotas after a change of a policy")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, requestFor(list.Items[i].Namespace))
	}
	return requests
}

func requestFor(namespace string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: v1alpha1.AccessTokenQuotaName}}
}

func namespaceMetadata() *metav1.PartialObjectMetadata {
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return namespace
}

// logConstructor names the namespace that a line is about.
func logConstructor(mgr ctrl.Manager) func(*reconcile.Request) logr.Logger {
	return func(request *reconcile.Request) logr.Logger {
		logger := mgr.GetLogger().WithValues("controller", Name)
		if request == nil {
			return logger
		}
		return logger.WithValues("namespace", request.Namespace)
	}
}
