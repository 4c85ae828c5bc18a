package tokenrevocation

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/revocation"
)

// order is a revocation of either kind.
type order struct {
	object     client.Object
	status     *v1alpha1.RevocationStatus
	revocation revocation.Revocation
	// invalid is why nothing follows from it; nil for most.
	invalid error
	// original is the TokenRevocation that this one is the copy of; the zero Ref for
	// one that is none.
	original revocation.Ref
	// all says that it stands for all TokenRevocations of its namespace, crowd that one
	// does for this one, and up to when that voids; the zero time for most.
	all   bool
	crowd time.Time
	// account is the service account that it was made from; the zero key for most.
	account client.ObjectKey
}

// by is how records name it: a copy acts for its original.
func (o *order) by() string {
	if o.original != (revocation.Ref{}) {
		return o.original.String()
	}
	return o.revocation.Ref.String()
}

// read reads a revocation of the kind that the key is of; nil when it is gone.
func (r *Reconciler) read(ctx context.Context, key types.NamespacedName) (*order, error) {
	o := &order{}
	if key.Namespace != "" {
		object := &v1alpha1.TokenRevocation{}
		if err := r.Client.Get(ctx, key, object); err != nil {
			return nil, client.IgnoreNotFound(err)
		}
		o.object, o.status = object, &object.Status
		o.revocation, o.invalid = revocation.Of(object)
	} else {
		object := &v1alpha1.ClusterTokenRevocation{}
		if err := r.Client.Get(ctx, key, object); err != nil {
			return nil, client.IgnoreNotFound(err)
		}
		o.object, o.status = object, &object.Status
		o.revocation, o.invalid = revocation.OfCluster(object)
		o.original, o.account = originalOf(object), accountOf(object)
		if o.original.Name == everyName {
			o.original, o.all = revocation.Ref{}, true
		}
	}
	o.revocation.Ref = revocation.RefOf(o.object)
	return o, nil
}

// originalOf is the TokenRevocation that an object is the copy of.
func originalOf(object metav1.Object) revocation.Ref {
	return revocation.Ref(named(object, v1alpha1.AnnotationCopyOf))
}

// accountOf is the service account that an object was made from.
func accountOf(object metav1.Object) client.ObjectKey {
	return named(object, v1alpha1.AnnotationServiceAccount)
}

// named is what an annotation names as namespace/name; the zero key for none.
func named(object metav1.Object, annotation string) client.ObjectKey {
	namespace, name, ok := strings.Cut(object.GetAnnotations()[annotation], "/")
	if !ok {
		return client.ObjectKey{}
	}
	return client.ObjectKey{Namespace: namespace, Name: name}
}

// copyName is that of the copy of a TokenRevocation. One made again under the same
// name is another.
func copyName(object metav1.Object) string {
	return "copy-" + object.GetNamespace() + "-" + string(object.GetUID())
}

// protect makes the copy of a TokenRevocation, or sees to one that stands for all of
// the namespace where there are too many. A copy says the moment that counts, by the
// original's creation, so that it voids nothing more.
func (r *Reconciler) protect(ctx context.Context, o *order) error {
	original, ok := o.object.(*v1alpha1.TokenRevocation)
	if !ok {
		return nil
	}
	found, err := r.copies(ctx, original)
	if err != nil {
		return err
	}
	if !o.revocation.CreatedAt.After(found.crowd) {
		o.crowd = found.crowd
		return nil
	}
	crowded, err := r.tooMany(ctx, original.Namespace)
	switch {
	case err != nil:
		return err
	case crowded, found.own == nil && found.count >= r.mostOfNamespace():
		return r.standIn(ctx, o)
	case found.own == nil:
		return r.copy(ctx, o, original)
	case originalOf(found.own) != o.revocation.Ref || !equality.Semantic.DeepEqual(found.own.Spec, copySpec(o, original)):
		return fmt.Errorf("ClusterTokenRevocation %s stands where the copy of %s in namespace %s belongs, and is none: delete it", found.own.Name, o.revocation.Ref, original.Namespace)
	}
	return nil
}

func (r *Reconciler) copy(ctx context.Context, o *order, original *v1alpha1.TokenRevocation) error {
	made := &v1alpha1.ClusterTokenRevocation{
		ObjectMeta: metav1.ObjectMeta{
			Name:        copyName(original),
			Annotations: map[string]string{v1alpha1.AnnotationCopyOf: original.Namespace + "/" + original.Name},
		},
		Spec: copySpec(o, original),
	}
	if err := r.Client.Create(ctx, made, client.FieldOwner(FieldManager)); client.IgnoreAlreadyExists(err) != nil {
		return fmt.Errorf("keep a copy of %s in namespace %s: %w", o.revocation.Ref, original.Namespace, err)
	}
	return nil
}

func copySpec(o *order, original *v1alpha1.TokenRevocation) v1alpha1.ClusterTokenRevocationSpec {
	spec := v1alpha1.ClusterTokenRevocationSpec{Namespace: original.Namespace, RevocationSpec: *original.Spec.RevocationSpec.DeepCopy()}
	spec.All = false // the namespace alone means all that is in it
	spec.Before = v1alpha1.NewTimestamp(o.revocation.Before)
	return spec
}
