package lifecycle

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// Violation is what an AccessTokenPolicy does not allow of what is declared. No
// token follows while there is one.
type Violation struct {
	// Message says which fields, which limits and which policy.
	Message string

	// End says that the token which is there ends as well.
	End bool
}

// outlawed says that a policy ends the token.
func (s State) outlawed() bool { return s.Violation != nil && s.Violation.End }

// endOutlawed ends every token that a policy ends.
func endOutlawed(s State) Action {
	if !s.outlawed() {
		return nil
	}
	for _, r := range s.Records {
		if !r.ended(s.Now) {
			return EndRecord{Record: r, RevokedAt: s.Now, Reason: v1alpha1.EndReasonPolicyViolation}
		}
	}
	return nil
}

// withdrawOutlawed takes such a token out of its Secret.
func withdrawOutlawed(s State) Action {
	if !s.outlawed() {
		return nil
	}
	return withdrawAll(s)
}

func (s State) violationVerdict() verdict {
	message := s.Violation.Message
	if s.outlawed() {
		message += "; such a token is ended: a new one is issued once the spec or the policy allows it"
	}
	return verdict{metav1.ConditionFalse, v1alpha1.ReasonPolicyViolation, message, true}
}
