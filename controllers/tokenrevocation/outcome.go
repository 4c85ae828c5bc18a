package tokenrevocation

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// mostNamed is how many IDs a message names.
const mostNamed = 3

// outcome is what a revocation that is done came to, for its condition and its
// event.
type outcome struct {
	reason, message string
	eventType, note string
}

// outcome tells of records that were found, and of what was not: whoever names a
// token that is elsewhere, or that is none, must not take it for revoked.
func (o *order) outcome(counted tally) outcome {
	before := v1alpha1.NewTimestamp(o.revocation.Before)
	where := "the cluster"
	if o.revocation.Namespace != "" {
		where = "namespace " + o.revocation.Namespace
	}
	done := outcome{
		reason: v1alpha1.ReasonRevoked, message: "every token that it names is revoked",
		eventType: corev1.EventTypeNormal, note: fmt.Sprintf("revoked %s up to %s", tokens(counted.revoked), before),
	}
	switch {
	case !o.crowd.IsZero():
		done.reason, done.eventType = v1alpha1.ReasonTooManyRevocations, corev1.EventTypeWarning
		done.message = fmt.Sprintf("%s has so many revocations that they count together: every token of it that was made up to %s is revoked", where, v1alpha1.NewTimestamp(o.crowd))
		done.note = done.message
	case counted.matching == 0:
		done.reason = v1alpha1.ReasonNothingRevoked
		done.message = fmt.Sprintf("it names no token in %s that was made up to %s: if there should be one, check what it names and where", where, before)
		done.note = done.message
	case len(counted.missing) > 0:
		done.message = fmt.Sprintf("every token that it names is revoked, but there is none in %s that was made up to %s with the ID %s: check it", where, before, some(counted.missing))
		done.note += fmt.Sprintf("; there is none in %s with the ID %s: check it", where, some(counted.missing))
	}
	if len(counted.missing) > 0 && o.by() == o.revocation.Ref.String() {
		done.eventType = corev1.EventTypeWarning // a copy says nothing that its original does not
	}
	return done
}

// more says that there is more to tell than the condition does: it is not told anew
// when records go that were found.
func (o *order) more(counted tally, reason string) bool {
	return counted.revoked > *raised(o.status.Revoked, 0) || reason == v1alpha1.ReasonNothingRevoked && counted.matching > 0
}

func tokens(count int64) string {
	if count == 1 {
		return "1 token that was made"
	}
	return fmt.Sprintf("%d tokens that were made", count)
}

// some names a few of many.
func some(ids []string) string {
	text := strings.Join(ids[:min(len(ids), mostNamed)], ", ")
	if more := len(ids) - mostNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
