package revocation

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// serviceAccountPrefix begins the user names of service accounts.
const serviceAccountPrefix = "system:serviceaccount:"

// MostOfNamespace is how many TokenRevocations of a namespace count one by one. Where
// there are more, each voids all tokens of the namespace that were made until it was:
// whoever makes them may say so by all anyway, and what a namespace costs is bounded.
const MostOfNamespace = 1000

// Ref names a revocation.
type Ref struct {
	// Namespace is empty for a ClusterTokenRevocation.
	Namespace, Name string
}

// RefOf names the object that a revocation was read from.
func RefOf(object metav1.Object) Ref {
	return Ref{Namespace: object.GetNamespace(), Name: object.GetName()}
}

// String is how the status of a record names it.
func (r Ref) String() string {
	if r.Namespace == "" {
		return "ClusterTokenRevocation/" + r.Name
	}
	return "TokenRevocation/" + r.Name
}

// Revocation is what one object revokes: the tokens that are within all that is
// set, and were made up to a moment.
type Revocation struct {
	Ref Ref
	UID types.UID

	// Namespace is where the tokens are; empty: anywhere.
	Namespace string
	// User is the user name that they act as; empty: any.
	User string
	// TokenIDs are their IDs; none: any.
	TokenIDs []string

	// Before is the last second in which they were made, by the API server's clock.
	Before time.Time
	// CreatedAt is when it was revoked, by the same clock.
	CreatedAt time.Time

	// Reissue asks for new tokens in their place.
	Reissue bool
}

// Of reads a TokenRevocation. It fails for one that names nothing that can be
// understood; nothing follows from such a one.
func Of(object *v1alpha1.TokenRevocation) (Revocation, error) {
	return read(object, object.Namespace, &object.Spec.RevocationSpec)
}

// OfCluster reads a ClusterTokenRevocation, and fails as Of does.
func OfCluster(object *v1alpha1.ClusterTokenRevocation) (Revocation, error) {
	return read(object, object.Spec.Namespace, &object.Spec.RevocationSpec)
}

func read(object metav1.Object, namespace string, spec *v1alpha1.RevocationSpec) (Revocation, error) {
	created := object.GetCreationTimestamp().Truncate(time.Second)
	r := Revocation{
		Ref: RefOf(object), UID: object.GetUID(), Namespace: namespace, TokenIDs: spec.TokenIDs,
		Before: effective(spec.Before, created), CreatedAt: created, Reissue: spec.Reissue,
	}
	var err error
	switch named := len(spec.TokenIDs) > 0; {
	case spec.Subject != nil && (named || spec.All), named && spec.All:
		return Revocation{}, fmt.Errorf("spec: subject, tokenIDs and all exclude each other")
	case spec.Subject != nil:
		r.User, err = userName(spec.Subject, namespace)
	case !named && !spec.All && (object.GetNamespace() != "" || namespace == ""):
		return Revocation{}, fmt.Errorf("spec: neither subject nor tokenIDs nor all says what is revoked")
	}
	if err != nil {
		return Revocation{}, err
	}
	return r, nil
}

// effective is the moment that counts. What is not made yet is never revoked: a
// time to come would void each new token again. One that cannot be read is taken
// for absent, which revokes most.
func effective(before v1alpha1.Timestamp, created time.Time) time.Time {
	at, err := before.Parse()
	if err != nil || at.After(created) {
		return created
	}
	return at.Truncate(time.Second)
}

func userName(subject *v1alpha1.RevokedSubject, namespace string) (string, error) {
	var prefix string
	switch subject.Kind {
	case v1alpha1.RevokedUser:
		if subject.Name == "" {
			return "", fmt.Errorf("spec.subject.name is empty")
		}
		return subject.Name, nil
	case v1alpha1.RevokedAccessToken:
		prefix = v1alpha1.PrincipalPrefix
	case v1alpha1.RevokedServiceAccount:
		prefix = serviceAccountPrefix
	default:
		return "", fmt.Errorf("spec.subject.kind: %q is not known here", subject.Kind)
	}
	if namespace == "" || subject.Name == "" || strings.Contains(subject.Name, ":") {
		return "", fmt.Errorf("spec.subject: %s %q in namespace %q is none that can be", subject.Kind, subject.Name, namespace)
	}
	return prefix + namespace + ":" + subject.Name, nil
}

// Matches says that the token of a record is revoked, whether or not it has ended
// otherwise.
func (r Revocation) Matches(rec *v1alpha1.TokenRecord) bool {
	switch {
	case r.Namespace != "" && rec.Namespace != r.Namespace:
	case r.User != "" && rec.Spec.Subject.Name != r.User:
	case len(r.TokenIDs) > 0 && !slices.Contains(r.TokenIDs, rec.Name):
	default:
		return rec.CreationTimestamp.Unix() <= r.Before.Unix()
	}
	return false
}
