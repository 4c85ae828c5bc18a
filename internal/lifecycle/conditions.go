package lifecycle

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// verdict is what the conditions say before they are set.
type verdict struct {
	ready   metav1.ConditionStatus
	reason  string
	message string
	stalled bool
}

func (s State) conditions(status v1alpha1.AccessTokenStatus) []metav1.Condition {
	v := s.verdict(status)
	conditions := status.Conditions
	set := func(kind string, value metav1.ConditionStatus, reason, message string) {
		meta.SetStatusCondition(&conditions, metav1.Condition{
			Type: kind, Status: value, Reason: reason, Message: message,
			ObservedGeneration: s.Token.Generation, LastTransitionTime: metav1.NewTime(s.Now),
		})
	}
	set(v1alpha1.ConditionReady, v.ready, v.reason, v.message)
	value, reason, message := s.validity(status, v)
	set(v1alpha1.ConditionValid, value, reason, message)
	if v.stalled {
		set(v1alpha1.ConditionStalled, metav1.ConditionTrue, v.reason, v.message)
	} else {
		meta.RemoveStatusCondition(&conditions, v1alpha1.ConditionStalled)
	}
	if v.reason == v1alpha1.ReasonQuotaExceeded {
		set(v1alpha1.ConditionQuotaExceeded, metav1.ConditionTrue, v.reason, v.message)
	} else {
		meta.RemoveStatusCondition(&conditions, v1alpha1.ConditionQuotaExceeded)
	}
	switch message, sparse := s.sparseSchedule(status); {
	case sparse:
		set(v1alpha1.ConditionExpiring, metav1.ConditionTrue, v1alpha1.ReasonScheduleSparse, message)
	case status.ExpiryNotice != "":
		set(v1alpha1.ConditionExpiring, metav1.ConditionTrue, v1alpha1.ReasonExpiring, s.ExpiringMessage(status))
	default:
		meta.RemoveStatusCondition(&conditions, v1alpha1.ConditionExpiring)
	}
	slices.SortFunc(conditions, func(a, b metav1.Condition) int { return strings.Compare(a.Type, b.Type) })
	return conditions
}

// ExpiringMessage tells whoever reads it what ends when, and what to do. It
// does not change from pass to pass.
func (s State) ExpiringMessage(status v1alpha1.AccessTokenStatus) string {
	unless, advice := "and no rotation comes before", "set spec.rotation.interval"
	if current, found := s.current(); found && current.endsUnused(s.Now) {
		unless, advice = "unless it is used before", "use it"
	}
	return fmt.Sprintf("token %s expires at %s, less than %s ahead, %s: %s, or request a new token with the annotation %s",
		status.TokenID, status.ExpiresAt, status.ExpiryNotice, unless, advice, v1alpha1.AnnotationRotateRequestedAt)
}

// sparseSchedule says that the token ends before the next time of its schedule,
// so that there will be none for a while.
func (s State) sparseSchedule(status v1alpha1.AccessTokenStatus) (message string, sparse bool) {
	current, found := s.current()
	if !found || !current.verifies(s.Now) {
		return "", false
	}
	end, ends := current.hardEnd() // in use; what nobody uses is not to be replaced
	cause, due, rotates := s.rotation()
	if !ends || !rotates || cause != CauseSchedule || due.Before(end) || status.NextRotationAt == "" {
		return "", false
	}
	limit := "spec.maxAge"
	if current.sliding() {
		limit = "spec.maxLifetime"
	}
	return fmt.Sprintf("token %s expires at %s, before spec.rotation.schedule next comes at %s, and there is none in between: lengthen %s, or let the schedule come more often",
		status.TokenID, v1alpha1.NewTimestamp(end), status.NextRotationAt, limit), true
}

func (s State) verdict(status v1alpha1.AccessTokenStatus) verdict {
	if s.PlanError != nil {
		return verdict{metav1.ConditionFalse, s.PlanError.Reason, s.PlanError.Error(), true}
	}
	if reason, back := s.takenBack(); back {
		return takenBackVerdict(reason)
	}
	if s.Violation != nil {
		return s.violationVerdict()
	}
	if v, ok := s.subjectVerdict(); ok {
		return v
	}
	if s.untilAsked() && !s.Needed() {
		return s.untilAskedVerdict()
	}
	if v, ok := s.unusedVerdict(); ok {
		return v
	}
	if secret, ok := s.wantedSecret(); ok && s.Conflict() {
		return verdict{metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, conflictMessage(secret), true}
	}
	if s.Refused() {
		return verdict{metav1.ConditionFalse, v1alpha1.ReasonWriteFailed, s.Failure.Message, false}
	}
	if s.waitsForPlace() && s.Place.Refusal != "" {
		return verdict{metav1.ConditionFalse, v1alpha1.ReasonQuotaExceeded, s.Place.Refusal, true}
	}
	if s.cutOff() {
		return s.cutOffVerdict(status)
	}
	if end, finished := s.finishedByAge(); finished {
		return s.expiredVerdict(v1alpha1.NewTimestamp(end), status)
	}
	if s.Repairs.Contested {
		return verdict{metav1.ConditionFalse, v1alpha1.ReasonSecretContested, s.contestedMessage(), true}
	}
	current, found := s.current()
	carrier, carried := s.carrier()
	if found && carried && carrier.Name == s.Template.Name && current.verifies(s.Now) {
		return verdict{metav1.ConditionTrue, v1alpha1.ReasonIssued, "token " + current.Object.Name + " is in Secret " + carrier.Name, false}
	}
	return verdict{metav1.ConditionUnknown, v1alpha1.ReasonIssuing, "a token is on its way", false}
}

func takenBackVerdict(reason v1alpha1.EndReason) verdict {
	if reason == v1alpha1.EndReasonSuspended {
		return verdict{metav1.ConditionTrue, v1alpha1.ReasonSuspended, "the token is taken back while spec.state is Suspended; Active brings a new one", false}
	}
	return verdict{metav1.ConditionTrue, v1alpha1.ReasonRevoked, "the token is taken back since spec.state is Revoked; Active brings a new one", false}
}

func (s State) expiredVerdict(end v1alpha1.Timestamp, status v1alpha1.AccessTokenStatus) verdict {
	message, advice := fmt.Sprintf("the token expired at %s", end), ", or set spec.rotation.interval"
	if _, unused := s.endedUnused(); unused {
		message, advice = message+", since nobody used it for maxAge", ""
	}
	if status.NextRotationAt != "" {
		return verdict{metav1.ConditionFalse, v1alpha1.ReasonExpired, message + "; the next one is issued at " + string(status.NextRotationAt), false}
	}
	return verdict{metav1.ConditionFalse, v1alpha1.ReasonExpired,
		message + ": request a new one with the annotation " + v1alpha1.AnnotationRotateRequestedAt + advice + ", or delete this AccessToken", true}
}

func (s State) cutOffVerdict(status v1alpha1.AccessTokenStatus) verdict {
	current, _ := s.current()
	message := "token " + current.Object.Name + " was revoked by " + current.Object.Status.RevokedBy
	switch {
	case current.Object.Status.Reissue:
		return verdict{metav1.ConditionUnknown, v1alpha1.ReasonIssuing, message + ", a new one is on its way", false}
	case status.NextRotationAt != "":
		return verdict{metav1.ConditionFalse, v1alpha1.ReasonCutOff, message + "; the next one is issued at " + string(status.NextRotationAt), false}
	}
	return verdict{metav1.ConditionFalse, v1alpha1.ReasonCutOff,
		message + ": request a new one with the annotation " + v1alpha1.AnnotationRotateRequestedAt + ", or delete this AccessToken", true}
}

// untilAskedVerdict keeps what was said while the record was there.
func (s State) untilAskedVerdict() verdict {
	ready := meta.FindStatusCondition(s.Token.Status.Conditions, v1alpha1.ConditionReady)
	if ready != nil && slices.Contains([]string{v1alpha1.ReasonUnused, v1alpha1.ReasonRetired, v1alpha1.ReasonCutOff}, ready.Reason) {
		return verdict{ready.Status, ready.Reason, ready.Message, true}
	}
	reason, why := v1alpha1.ReasonUnused, "since nobody used it"
	if s.Token.Status.EndReason == v1alpha1.EndReasonCutOff {
		reason, why = v1alpha1.ReasonCutOff, "by a revocation"
	}
	return verdict{metav1.ConditionFalse, reason, fmt.Sprintf("token %s was taken back %s, and its record is gone: request a new one with the annotation %s, or delete this AccessToken",
		s.currentID(), why, v1alpha1.AnnotationRotateRequestedAt), true}
}

func conflictMessage(secret Secret) string {
	leave := "so it is left alone: choose another spec.secret.name, or delete that Secret"
	switch {
	case secret.Holder == HolderReleased:
		return fmt.Sprintf("Secret %s still holds token %s, but metadata.ownerReferences no longer names this AccessToken as its controller, %s, or put the owner reference back",
			secret.Name, secret.TokenID, leave)
	case secret.Owner != "":
		return fmt.Sprintf("Secret %s exists and %s controls it, %s", secret.Name, secret.Owner, leave)
	case len(secret.Writers) > 0:
		return fmt.Sprintf("Secret %s exists and this AccessToken does not control it (%s wrote its content), %s", secret.Name, strings.Join(secret.Writers, ", "), leave)
	}
	return fmt.Sprintf("Secret %s exists and this AccessToken does not control it, %s", secret.Name, leave)
}

func (s State) contestedMessage() string {
	others := "somebody"
	if len(s.Repairs.Writers) > 0 {
		others = strings.Join(s.Repairs.Writers, ", ")
	}
	return fmt.Sprintf("Secret %s keeps being changed or deleted by %s, and is repaired ever more slowly, every 10 minutes at last: stop that writer, or choose another spec.secret.name", s.Template.Name, others)
}

// validity is the Valid condition: is there a token that verifies?
func (s State) validity(status v1alpha1.AccessTokenStatus, v verdict) (metav1.ConditionStatus, string, string) {
	current, found := s.current()
	carrier, carried := s.carrier()
	if found && carried && current.verifies(s.Now) {
		message := "token " + current.Object.Name + " in Secret " + carrier.Name + " verifies"
		if status.ExpiresAt != "" {
			message += " until " + string(status.ExpiresAt)
		}
		return metav1.ConditionTrue, v1alpha1.ReasonIssued, message
	}
	reason := v.reason
	if _, finished := s.finishedByAge(); finished && !v.stalled {
		reason = v1alpha1.ReasonExpired
	}
	return metav1.ConditionFalse, reason, "there is no token in a Secret that verifies: " + v.message
}

// KeyLost is the status of a token while the key of its record is lost: nobody
// can tell whether it is valid.
func KeyLost(token *v1alpha1.AccessToken, now time.Time) v1alpha1.AccessTokenStatus {
	status := *token.Status.DeepCopy()
	message := "the operator has no key to verify records with: restore its key Secret from a backup"
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionValid} {
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: kind, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonKeyLost, Message: message,
			ObservedGeneration: token.Generation, LastTransitionTime: metav1.NewTime(now),
		})
	}
	return status
}

// Trouble notes in a status that the pass could not finish, and why; it is
// tried again by itself.
func Trouble(status *v1alpha1.AccessTokenStatus, generation int64, now time.Time, message string) {
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonWriteFailed, Message: message,
		ObservedGeneration: generation, LastTransitionTime: metav1.NewTime(now),
	})
}
