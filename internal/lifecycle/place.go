package lifecycle

import (
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/schedule"
)

// Place is what is known of the AccessToken's place in the quota of its namespace.
type Place struct {
	// Held says that it has one.
	Held bool

	// Refusal says why it gets none, and what to do. Empty while one may be on its
	// way.
	Refusal string
}

// TakesPlace says that the next token is issued only to the holder of a place: the
// current one does not verify, so that nothing says that the place is held still.
// A token that verifies keeps it.
func (s State) TakesPlace() bool {
	current, found := s.current()
	return !found || !current.verifies(s.Now)
}

// waitsForPlace says that a token is due, and that only its place is missing.
func (s State) waitsForPlace() bool {
	_, at, ok := Due(s)
	return ok && !s.Now.Before(at) && s.TakesPlace() && !s.Place.Held
}

// AwaitsGrant says that a token is due, and that its place may be on its way.
func (s State) AwaitsGrant() bool { return s.waitsForPlace() && s.Place.Refusal == "" }

// Finished says that the status, as it is persisted, tells that the token ended
// and that nothing is to follow: it was revoked, it expired and neither a rotation
// nor a request brings another, a revocation voids it, a policy ended it, nobody wanted
// it back when it was unused, or the service account that it acted as is no more. Such a token needs
// no place.
func Finished(token *v1alpha1.AccessToken) bool {
	status, subject := token.Status, token.Spec.Subject
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	if ready == nil || status.ObservedGeneration != token.Generation {
		return false
	}
	switch ready.Reason {
	case v1alpha1.ReasonRevoked:
		return token.Spec.State == v1alpha1.StateRevoked
	case v1alpha1.ReasonExpired:
		return status.EndedAt != "" && status.NextRotationAt == "" && !requested(token)
	case v1alpha1.ReasonPolicyViolation:
		return status.EndedAt != ""
	case v1alpha1.ReasonCutOff, v1alpha1.ReasonRetired:
		return status.NextRotationAt == "" && !requested(token)
	case v1alpha1.ReasonSubjectGone:
		return subject != nil && subject.OnRecreate != v1alpha1.OnRecreateReissue
	}
	return false
}

// requested says that an annotation or the spec asks for a token later than the one
// that the status tells of.
func requested(token *v1alpha1.AccessToken) bool {
	plan, err := schedule.NewPlan(token)
	issuedAt, timeErr := token.Status.IssuedAt.Parse()
	if err != nil || timeErr != nil {
		return true // in doubt it is not finished
	}
	_, _, asked := plan.OnRequest().Rotation(issuedAt, string(token.UID))
	return asked
}
