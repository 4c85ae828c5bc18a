package lifecycle

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// Subject is what was observed of the service account or the user that a token
// acts as.
type Subject struct {
	// Kind and Name are as declared.
	Kind v1alpha1.SubjectKind
	Name string

	// UID is that of the service account which has the name now; empty while there
	// is none.
	UID string

	// Reissue says that a service account that is made again gets a token.
	Reissue bool
}

// Refusal is why the operator does not issue, as a condition says it.
type Refusal struct{ Reason, Message string }

// account is the service account that the token acts as; nil for none.
func (s State) account() *Subject {
	if s.Subject == nil || s.Subject.Kind != v1alpha1.SubjectKindServiceAccount {
		return nil
	}
	return s.Subject
}

// boundUID is that of the service account which the last token was issued for.
func (s State) boundUID() string {
	if current, found := s.current(); found {
		return current.Object.Spec.Subject.UID
	}
	return s.Token.Status.SubjectUID
}

// subjectGone says that the service account which the last token was issued for
// is no more. Another one may have its name.
func (s State) subjectGone() bool {
	account := s.account()
	bound := s.boundUID()
	return account != nil && bound != "" && account.UID != bound
}

// unsubjected says that there is nobody to issue a token for.
func (s State) unsubjected() bool {
	account := s.account()
	return account != nil && (account.UID == "" || s.subjectGone() && !account.Reissue)
}

// endGone ends every token of a service account that is no more.
func endGone(s State) Action {
	account := s.account()
	if account == nil {
		return nil
	}
	for _, r := range s.Records {
		if r.Object.Spec.Subject.UID != account.UID && !r.ended(s.Now) {
			return EndRecord{Record: r, RevokedAt: s.Now, Reason: v1alpha1.EndReasonSubjectGone}
		}
	}
	return nil
}

// withdrawGone takes the token of a service account that is no more out of its
// Secret, unless another one takes its place there.
func withdrawGone(s State) Action {
	if !s.subjectGone() {
		return nil
	}
	if _, _, follows := Due(s); follows {
		return nil
	}
	return withdrawAll(s)
}

// Refusable says that a token would be issued now if the right to what is declared
// is proved. One that waits for a place is not.
func (s State) Refusable() bool {
	_, at, due := Due(s)
	return due && !s.Now.Before(at) && !s.waitsForPlace()
}

// subjectVerdict is what the conditions say of a token that is not issued because
// of its subject, or of a right that is not proved; ok is false where that is no
// reason.
func (s State) subjectVerdict() (v verdict, ok bool) {
	account := s.account()
	switch {
	case account != nil && s.subjectGone() && account.UID != "" && !account.Reissue:
		return verdict{metav1.ConditionFalse, v1alpha1.ReasonSubjectGone, fmt.Sprintf(
			"service account %s was deleted and made again, and the token ended with the old one: set spec.subject.onRecreate to Reissue, or delete this AccessToken and create it again", account.Name), true}, true
	case account != nil && s.subjectGone() && account.UID == "" && !account.Reissue:
		return verdict{metav1.ConditionFalse, v1alpha1.ReasonSubjectGone, fmt.Sprintf(
			"service account %s was deleted, and the token ended with it: delete this AccessToken, or create the service account again and set spec.subject.onRecreate to Reissue", account.Name), true}, true
	case account != nil && s.subjectGone() && account.UID == "":
		return verdict{metav1.ConditionFalse, v1alpha1.ReasonSubjectGone, fmt.Sprintf(
			"service account %s was deleted, and the token ended with it: create the service account again, and a new token is issued for it, or delete this AccessToken", account.Name), false}, true
	case account != nil && account.UID == "":
		return verdict{metav1.ConditionFalse, v1alpha1.ReasonSubjectNotFound, fmt.Sprintf(
			"there is no service account %s in namespace %s: the token is issued once there is", account.Name, s.Token.Namespace), false}, true
	case s.Refusal != nil:
		return verdict{metav1.ConditionFalse, s.Refusal.Reason, s.Refusal.Message, true}, true
	}
	return verdict{}, false
}
