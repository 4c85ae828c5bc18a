package tokenrevocation

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/index"
	"github.com/accesstoken-dev/accesstoken-operator/internal/revocation"
)

// everyName is the name, in AnnotationCopyOf, that stands for all TokenRevocations of
// a namespace. No object can have it.
const everyName = "*"

// copies are those of the TokenRevocations of a namespace.
type copies struct {
	own   *v1alpha1.ClusterTokenRevocation // that of the one in question; nil: none
	count int                              // of single ones, also where the original is gone
	// crowd is up to when one that stands for all voids the tokens of the namespace.
	crowd time.Time
}

// copies returns those of the namespace of a TokenRevocation.
func (r *Reconciler) copies(ctx context.Context, original *v1alpha1.TokenRevocation) (found copies, err error) {
	list, own := &v1alpha1.ClusterTokenRevocationList{}, copyName(original)
	if err := r.listLimited(ctx, list, original.Namespace); err != nil {
		return copies{}, err
	}
	for i := range list.Items {
		each := &list.Items[i]
		of := originalOf(each)
		switch {
		case each.Name == own:
			found.own = each
			found.count++
		case of.Namespace != original.Namespace:
		case of.Name != everyName:
			found.count++
		default:
			if read, err := revocation.OfCluster(each); err == nil && read.Before.After(found.crowd) {
				found.crowd = read.Before
			}
		}
	}
	return found, nil
}

// listLimited lists the ClusterTokenRevocations that are limited to a namespace; they
// are of the cache, and not to be changed.
func (r *Reconciler) listLimited(ctx context.Context, list *v1alpha1.ClusterTokenRevocationList, namespace string) error {
	if err := r.Client.List(ctx, list, client.MatchingFields{index.RevocationNamespace: namespace}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list ClusterTokenRevocations of namespace %s: %w", namespace, err)
	}
	return nil
}

// tooMany says that a namespace has more TokenRevocations than count one by one:
// verifiers take all of them together then.
func (r *Reconciler) tooMany(ctx context.Context, namespace string) (bool, error) {
	list, most := &v1alpha1.TokenRevocationList{}, r.mostOfNamespace()
	if err := r.Client.List(ctx, list, client.InNamespace(namespace), client.Limit(int64(most)+1), client.UnsafeDisableDeepCopy); err != nil {
		return false, fmt.Errorf("list revocations of namespace %s: %w", namespace, err)
	}
	return len(list.Items) > most, nil
}

func (r *Reconciler) mostOfNamespace() int {
	if r.most > 0 {
		return r.most
	}
	return revocation.MostOfNamespace
}

// standIn makes one revocation that stands for all of the namespace up to this one,
// as verifiers take them where there are too many.
func (r *Reconciler) standIn(ctx context.Context, o *order) error {
	namespace, at := o.revocation.Namespace, o.revocation.CreatedAt
	made := &v1alpha1.ClusterTokenRevocation{
		ObjectMeta: metav1.ObjectMeta{
			Name:        fmt.Sprintf("all-%s-%d", namespace, at.Unix()),
			Annotations: map[string]string{v1alpha1.AnnotationCopyOf: namespace + "/" + everyName},
		},
		Spec: v1alpha1.ClusterTokenRevocationSpec{
			Namespace: namespace,
			RevocationSpec: v1alpha1.RevocationSpec{
				Before: v1alpha1.NewTimestamp(at),
				Reason: fmt.Sprintf("more than %d TokenRevocations or copies of them", r.mostOfNamespace()),
			},
		},
	}
	wanted := made.DeepCopy()
	err := r.Client.Create(ctx, made, client.FieldOwner(FieldManager))
	if apierrors.IsAlreadyExists(err) {
		err = r.standsFor(ctx, wanted)
	}
	if err != nil {
		return fmt.Errorf("void all tokens of namespace %s, which has too many revocations: %w", namespace, err)
	}
	o.crowd = at
	return nil
}

// standsFor checks that what has the name of a revocation that stands for all is one:
// the name can be foreseen.
func (r *Reconciler) standsFor(ctx context.Context, wanted *v1alpha1.ClusterTokenRevocation) error {
	found := &v1alpha1.ClusterTokenRevocation{}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(wanted), found); err != nil {
		return fmt.Errorf("read ClusterTokenRevocation %s, which is there already: %w", wanted.Name, err)
	}
	if originalOf(found) != originalOf(wanted) || !equality.Semantic.DeepEqual(found.Spec, wanted.Spec) {
		return fmt.Errorf("ClusterTokenRevocation %s stands where the operator's own belongs, and is none: delete it", wanted.Name)
	}
	return nil
}

// deleteStoodFor deletes the copies that one which stands for all covers.
func (r *Reconciler) deleteStoodFor(ctx context.Context, o *order) error {
	list := &v1alpha1.ClusterTokenRevocationList{}
	if err := r.listLimited(ctx, list, o.revocation.Namespace); err != nil {
		return err
	}
	for i := range list.Items {
		each := &list.Items[i]
		of, covered := originalOf(each), !each.CreationTimestamp.After(o.revocation.Before)
		if of.Name == everyName {
			read, err := revocation.OfCluster(each)
			covered = err == nil && read.Before.Before(o.revocation.Before)
		}
		done := meta.IsStatusConditionTrue(each.Status.Conditions, v1alpha1.ConditionReady)
		if of.Namespace != o.revocation.Namespace || !covered || !done || each.Name == o.object.GetName() {
			continue
		}
		uid := each.UID
		err := r.Client.Delete(ctx, &v1alpha1.ClusterTokenRevocation{ObjectMeta: metav1.ObjectMeta{Name: each.Name}}, client.Preconditions{UID: &uid})
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete %s, which %s covers: %w", each.Name, o.revocation.Ref, err)
		}
	}
	return nil
}
