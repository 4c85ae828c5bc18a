package quota

import (
	"fmt"
	"slices"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// room counts the places that are left.
type room struct {
	used, hard     int32
	bySubject      map[string]int32
	hardPerSubject int32
}

func newRoom(ledger v1alpha1.AccessTokenQuotaStatus) room {
	r := room{
		used: int32(len(ledger.Holders)), hard: ledger.Hard, //nolint:gosec // bounded by the schema
		bySubject: map[string]int32{}, hardPerSubject: ledger.HardPerSubject,
	}
	for _, holder := range ledger.Holders {
		if holder.Subject != "" {
			r.bySubject[holder.Subject]++
		}
	}
	return r
}

// take takes a place for a subject, if there is one.
func (r *room) take(subject string) bool {
	if r.full() || r.fullFor(subject) {
		return false
	}
	r.used++
	if subject != "" {
		r.bySubject[subject]++
	}
	return true
}

func (r *room) full() bool { return r.used >= r.hard }

func (r *room) fullFor(subject string) bool {
	return subject != "" && r.bySubject[subject] >= r.hardPerSubject
}

// Refusal says why an AccessToken that acts as a subject gets no place, and what to
// do; it is empty where there is room.
func Refusal(ledger v1alpha1.AccessTokenQuotaStatus, namespace, subject string) string {
	const advice = "delete or revoke one that is not needed, or have an AccessTokenPolicy raise the limit, and this one follows by itself: see kubectl get accesstokenquotas "
	switch r := newRoom(ledger); {
	case r.full():
		return fmt.Sprintf("namespace %s has %s with a token and may have %d: "+advice+"-n %s", namespace, accessTokens(r.used), r.hard, namespace)
	case r.fullFor(subject):
		return fmt.Sprintf("%s has %s with a token in namespace %s and may have %d: "+advice+"-o wide -n %s", subject, accessTokens(r.bySubject[subject]), namespace, r.hardPerSubject, namespace)
	}
	return ""
}

func accessTokens(count int32) string {
	if count == 1 {
		return "1 AccessToken"
	}
	return fmt.Sprintf("%d AccessTokens", count)
}

// SameRefusals says that whoever waits is told the same by two ledgers.
func SameRefusals(a, b v1alpha1.AccessTokenQuotaStatus) bool {
	before, after := newRoom(a), newRoom(b)
	if before.full() || after.full() {
		return before.full() == after.full() && before.used == after.used && before.hard == after.hard
	}
	return slices.Equal(before.fullSubjects(), after.fullSubjects())
}

// fullSubjects names the subjects without a place left, with what they are told.
func (r *room) fullSubjects() []string {
	var full []string
	for subject, used := range r.bySubject {
		if r.fullFor(subject) {
			full = append(full, fmt.Sprintf("%s %d %d", subject, used, r.hardPerSubject))
		}
	}
	slices.Sort(full)
	return full
}
