package tokenrevocation

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/revocation"
)

const (
	// Retention is how long a revocation is kept as a trail of what was done.
	Retention = 90 * 24 * time.Hour

	// copyRetention is how long a copy is kept at the least: longer than anything
	// without a record lives that was made before it.
	copyRetention = 24 * time.Hour

	// recheck is how soon is looked again whether a revocation is still needed.
	recheck = 12 * time.Hour
)

// cleanUp deletes a revocation of no more use, or says when to look again. One of
// the cluster stays as long as there is a record that it names, whatever became of
// that, and one that was made from a service account as long as that says the same.
// A copy stays as long as its original: what had a record says so itself by then.
func (r *Reconciler) cleanUp(ctx context.Context, o *order, counted tally, now time.Time) (ctrl.Result, error) {
	kept, needed := Retention, counted.matching > 0
	switch {
	case o.revocation.Ref.Namespace != "":
		needed = false // its copy goes on
	case o.all:
		if err := r.deleteStoodFor(ctx, o); err != nil {
			return ctrl.Result{}, err
		}
		kept, needed = Retention+copyRetention, false // what it stands for was made before it
	case o.original != (revocation.Ref{}):
		kept, needed = copyRetention, false
		fallthrough
	case o.account != (client.ObjectKey{}):
		there, err := r.exists(ctx, o)
		if err != nil {
			return ctrl.Result{}, err
		}
		needed = needed || there
	}
	if left := o.revocation.CreatedAt.Add(kept).Sub(now); left > 0 {
		return ctrl.Result{RequeueAfter: left}, nil
	}
	if needed {
		return ctrl.Result{RequeueAfter: recheck}, nil
	}
	uid, version := o.object.GetUID(), o.object.GetResourceVersion()
	err := r.Client.Delete(ctx, o.object, client.Preconditions{UID: &uid, ResourceVersion: &version})
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("delete %s after its time: %w", o.revocation.Ref, err)
	}
	return ctrl.Result{}, nil
}

// exists says whether what a revocation was made from is there, and still stands
// for it: one made again in its place has another.
func (r *Reconciler) exists(ctx context.Context, o *order) (bool, error) {
	key, name := client.ObjectKey(o.original), copyName
	var from client.Object = &v1alpha1.TokenRevocation{}
	if o.account != (client.ObjectKey{}) {
		key, name, from = o.account, accountRevocationName, accountMetadata()
	}
	err := r.Live.Get(ctx, key, from)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read what %s was made from: %w", o.revocation.Ref, err)
	}
	return name(from) == o.object.GetName(), nil
}
