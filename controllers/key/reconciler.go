package key

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/accesstoken-dev/accesstoken-operator/internal/keys"
)

// Name names the controller, its queue, its logger and its metrics.
const Name = "key"

// lostRetry is how often lost keys are complained of, and how soon new ones are
// made once the last record was deleted; a restored Secret is seen at once.
const lostRetry = 10 * time.Second

// Maintainer is what keeps the key Secret; see keys.Keeper.
type Maintainer interface {
	Maintain(ctx context.Context) (next time.Duration, err error)
}

// Reconciler maintains the key Secret. There is one, so the request says
// nothing.
type Reconciler struct{ Keeper Maintainer }

// Reconcile maintains the key Secret.
func (r *Reconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	next, err := r.Keeper.Maintain(ctx)
	if errors.Is(err, keys.ErrLost) {
		return ctrl.Result{RequeueAfter: lostRetry}, nil
	}
	return ctrl.Result{RequeueAfter: next}, err
}

// SetupWithManager registers the controller. The cache holds the key Secret and
// no other; start is what makes a first key where there is no Secret to be
// seen.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, secrets cache.Cache) error {
	start := make(chan event.TypedGenericEvent[struct{}], 1)
	start <- event.TypedGenericEvent[struct{}]{}
	enqueue := handler.TypedEnqueueRequestsFromMapFunc[struct{}](func(context.Context, struct{}) []reconcile.Request {
		return []reconcile.Request{{}}
	})
	err := ctrl.NewControllerManagedBy(mgr).
		Named(Name).
		WatchesRawSource(source.Kind(secrets, &corev1.Secret{}, handler.TypedEnqueueRequestsFromMapFunc[*corev1.Secret](
			func(context.Context, *corev1.Secret) []reconcile.Request { return []reconcile.Request{{}} }))).
		WatchesRawSource(source.Channel(start, enqueue)).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up controller %s: %w", Name, err)
	}
	return nil
}
