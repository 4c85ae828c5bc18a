package delegation

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// DefaultSettle is how long the policies have to be in force before what is
// created counts as checked by them: an API server takes a second until it goes
// by a policy that was written, and there may be several.
const DefaultSettle = 5 * time.Second

// Checker proves rights. Safe for concurrent use.
type Checker struct {
	// Live goes to the API server without a cache. It needs create on accesstokens,
	// for dry runs that policy refuses, get on the policies and their bindings, and
	// create on subjectaccessreviews.
	Live client.Client

	// Namespace is the operator's own, where it notes since when the policies are in
	// force: get, create and update on configmaps.
	Namespace string

	// Clock tells the time.
	Clock clock.PassiveClock

	// Settle is how long before an AccessToken the policies have to be there. Zero
	// means DefaultSettle.
	Settle time.Duration
}

// Refusal is that there is no proof. Reason is one of the condition reasons
// ReasonCreatorUnchecked and ReasonCreatorLostRight.
type Refusal struct{ Reason, Message string }

func unchecked(message string) *Refusal {
	return &Refusal{Reason: v1alpha1.ReasonCreatorUnchecked, Message: message}
}

// Creator is who declared an AccessToken, as admission policy stamped it.
type Creator struct {
	Username, UID string
	Groups        []string

	// GroupsDigest is the SHA-256 of the stamp that the groups were read from, in
	// hexadecimal; empty for none.
	GroupsDigest string
}

// CreatorOf reads the stamp; ok is false where there is none.
func CreatorOf(token *v1alpha1.AccessToken) (creator Creator, ok bool) {
	stamp := token.Annotations[v1alpha1.AnnotationCreatedByGroups]
	creator = Creator{
		Username: token.Annotations[v1alpha1.AnnotationCreatedBy],
		UID:      token.Annotations[v1alpha1.AnnotationCreatedByUID],
		Groups:   groups(stamp),
	}
	if stamp != "" {
		sum := sha256.Sum256([]byte(stamp))
		creator.GroupsDigest = hex.EncodeToString(sum[:])
	}
	return creator, creator.Username != ""
}
