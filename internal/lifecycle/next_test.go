package lifecycle_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/delivery"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
	"github.com/accesstoken-dev/accesstoken-operator/internal/schedule"
)

var now = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

// situation builds a State step by step.
type situation struct{ lifecycle.State }

// declared is an AccessToken that nothing was done for yet.
func declared(t *testing.T, spec v1alpha1.AccessTokenSpec) *situation {
	t.Helper()
	at := &v1alpha1.AccessToken{ObjectMeta: metav1.ObjectMeta{Name: "deploy", Namespace: "ci", UID: "uid-1", Generation: 1}, Spec: spec}
	s := &situation{lifecycle.State{
		Place: lifecycle.Place{Held: true},
		Token: at, Template: delivery.Template(at), Published: map[string]bool{},
		Now: now, StartedAt: now.Add(-24 * time.Hour), Waits: lifecycle.DefaultWaits(),
	}}
	s.TemplateHash = delivery.TemplateHash(s.Template)
	s.Plan = mustPlan(t, spec, time.Time{})
	return s
}

// mustPlan is the plan of a spec, with a request for a new token if that is not
// the zero time.
func mustPlan(t *testing.T, spec v1alpha1.AccessTokenSpec, requested time.Time) schedule.Plan {
	t.Helper()
	at := &v1alpha1.AccessToken{Spec: spec}
	if !requested.IsZero() {
		at.Annotations = map[string]string{v1alpha1.AnnotationRotateRequestedAt: string(v1alpha1.NewTimestamp(requested))}
	}
	plan, err := schedule.NewPlan(at)
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	return plan
}

func id(revision int64) string { return fmt.Sprintf("token-%d", revision) }

// recorded adds a good record of a token that was issued that long ago and
// lives that long.
func (s *situation) recorded(revision int64, ago, age time.Duration) *situation {
	issued := now.Add(-ago)
	seconds := int64(age / time.Second)
	object := &v1alpha1.TokenRecord{ObjectMeta: metav1.ObjectMeta{Name: id(revision)}, Spec: v1alpha1.TokenRecordSpec{
		Revision: revision, IssuedAt: v1alpha1.NewTimestamp(issued), MaxAgeSeconds: &seconds,
	}}
	s.Records = append(s.Records, lifecycle.NewRecord(object, nil))
	return s
}

// published puts the revision into the wanted Secret, with a status that says
// so.
func (s *situation) published(revision int64) *situation {
	s.Secrets = []lifecycle.Secret{{
		Name: s.Template.Name, UID: "s", Holder: lifecycle.HolderSelf, Revision: revision, TokenID: id(revision),
		TemplateHash: s.TemplateHash, Intact: true,
	}}
	s.Published[id(revision)] = true
	s.Token.Status.TokenID, s.Token.Status.Revision = id(revision), revision
	for _, r := range s.Records {
		if r.Object.Name == id(revision) {
			s.Token.Status.IssuedAt = r.Object.Spec.IssuedAt
			s.Token.Status.ExpiresAt = v1alpha1.NewTimestamp(r.IssuedAt.Add(time.Duration(*r.Object.Spec.MaxAgeSeconds) * time.Second))
		}
	}
	return s
}

// but changes what the builders do not reach.
func (s *situation) but(change func(*lifecycle.State)) *situation {
	change(&s.State)
	return s
}

// describe names an action in one line.
func describe(action lifecycle.Action) string {
	switch a := action.(type) {
	case nil:
		return "nothing"
	case lifecycle.Issue:
		return fmt.Sprintf("issue %d: %s", a.Revision, a.Cause)
	case lifecycle.EndRecord:
		if !a.RevokedAt.IsZero() {
			return fmt.Sprintf("revoke %s: %s", a.Record.Object.Name, a.Reason)
		}
		return fmt.Sprintf("end %s in %s: %s", a.Record.Object.Name, a.ExpiresAt.Sub(now), a.Reason)
	case lifecycle.CapAge:
		return fmt.Sprintf("cap %s at %s", a.Record.Object.Name, a.MaxAge)
	case lifecycle.WithdrawSecret:
		return "withdraw " + a.Secret.Name
	case lifecycle.LabelSecret:
		return "label " + a.Secret.Name
	case lifecycle.DeleteToken:
		return "delete"
	}
	return "unknown"
}

const day = 24 * time.Hour

func TestNext(t *testing.T) {
	plain := v1alpha1.AccessTokenSpec{MaxAge: "240h"}
	weekly := v1alpha1.AccessTokenSpec{MaxAge: "240h", Rotation: &v1alpha1.Rotation{Interval: "168h", Overlap: "24h"}}
	suspended := v1alpha1.AccessTokenSpec{MaxAge: "240h", State: v1alpha1.StateSuspended}
	for name, test := range map[string]struct {
		given *situation
		want  string
	}{
		"A new object is issued its first token": {declared(t, plain), "issue 1: First"},
		"A token in good order is left alone":    {declared(t, plain).recorded(1, day, 10*day).published(1), "nothing"},
		"An issue that another writer began is awaited for thirty seconds": {
			declared(t, plain).recorded(1, 29*time.Second, 10*day), "nothing"},
		"An issue that nobody finished is followed by the next revision": {
			declared(t, plain).recorded(1, 30*time.Second, 10*day), "issue 2: First"},
		"A record that nobody holds a token for is revoked after a minute": {
			declared(t, plain).recorded(1, time.Minute, 10*day).recorded(2, 20*time.Second, 10*day).published(2), "revoke token-1: Unpublished"},
		"A rotation is done at its moment": {
			declared(t, weekly).recorded(1, 7*day, 10*day).published(1), "issue 2: Interval"},
		"A rotation is not done a second early": {
			declared(t, weekly).recorded(1, 7*day-time.Second, 10*day).published(1), "nothing"},
		"An interval that the token does not live to see replaces it in its own time": {
			declared(t, weekly).recorded(1, 4*day, 6*day).published(1), "issue 2: Interval"},
		"An interval that the token does not live to see is not hurried": {
			declared(t, weekly).recorded(1, 4*day-time.Second, 6*day).published(1), "nothing"},
		"An interval that comes after the end brings a new token at once": {
			declared(t, weekly).recorded(1, 6*day, 5*day).published(1), "issue 2: Interval"},
		"The token before gets the end of the overlap": {
			declared(t, weekly).recorded(1, 7*day, 10*day).recorded(2, 0, 10*day).published(1).published(2), "end token-1 in 24h0m0s: Superseded"},
		"An overlap never outlasts the old token": {
			declared(t, weekly).recorded(1, 10*day-time.Hour, 10*day).recorded(2, 0, 10*day).published(1).published(2), "nothing"},
		"A third revision ends the oldest at once": {
			declared(t, weekly).recorded(1, 2*day, 10*day).recorded(2, time.Hour, 10*day).recorded(3, 0, 10*day).published(1).published(2).published(3),
			"end token-1 in 0s: Superseded"},
		"A shorter maxAge binds the live token": {
			declared(t, plain).recorded(1, day, 20*day).published(1), "cap token-1 at 240h0m0s"},
		"A longer maxAge leaves the live token as it is": {
			declared(t, plain).recorded(1, day, 5*day).published(1), "nothing"},
		"An expired token is taken out of its Secret": {
			declared(t, plain).recorded(1, 10*day, 10*day).published(1), "withdraw deploy"},
		"An expired token is not taken out of a Secret twice": {
			declared(t, plain).recorded(1, 10*day, 10*day).published(1).but(func(s *lifecycle.State) { s.Secrets = nil }), "nothing"},
		"A token that expired while its rotation was overdue is rotated": {
			declared(t, weekly).recorded(1, 11*day, 10*day).published(1), "issue 2: Interval"},
		"A suspended token's record ends before its Secret": {
			declared(t, suspended).recorded(1, day, 10*day).published(1), "revoke token-1: Suspended"},
		"A suspended token's Secret follows": {
			declared(t, suspended).recorded(1, day, 10*day).published(1).but(revoke(v1alpha1.EndReasonSuspended)), "withdraw deploy"},
		"A token that is wanted again is a new revision": {
			declared(t, plain).recorded(1, day, 10*day).published(1).but(revoke(v1alpha1.EndReasonSuspended)), "issue 2: Reactivated"},
		"A token that is wanted again after its record is gone is a new revision": {
			declared(t, plain).recorded(1, day, 10*day).published(1).but(func(s *lifecycle.State) {
				s.Token.Status.EndedAt = v1alpha1.NewTimestamp(now.Add(-time.Hour))
				s.Records, s.Secrets = nil, nil
			}), "issue 2: Reactivated"},
		"An expired token whose record was cleaned up stays expired": {
			declared(t, plain).recorded(1, 20*day, 10*day).published(1).but(func(s *lifecycle.State) {
				s.Token.Status.EndedAt = s.Token.Status.ExpiresAt
				s.Records, s.Secrets = nil, nil
			}), "nothing"},
		"A record deleted by hand is replaced": {
			declared(t, plain).recorded(1, day, 10*day).published(1).but(func(s *lifecycle.State) { s.Records = nil }), "issue 2: RecordLost"},
		"A record that no longer opens is replaced": {
			declared(t, plain).recorded(1, day, 10*day).published(1).but(func(s *lifecycle.State) { s.Records[0].Void = errVoid }), "issue 2: RecordLost"},
		"A Secret deleted by hand is replaced": {
			declared(t, plain).recorded(1, day, 10*day).published(1).but(func(s *lifecycle.State) { s.Secrets = nil }), "issue 2: SecretDeleted"},
		"A Secret that somebody wrote over is repaired by a new revision": {
			declared(t, plain).recorded(1, day, 10*day).published(1).but(func(s *lifecycle.State) { s.Secrets[0].Intact = false }), "issue 2: SecretChanged"},
		"A Secret that lost its label gets it back": {
			declared(t, plain).recorded(1, day, 10*day).published(1).but(func(s *lifecycle.State) { s.Secrets[0].Unlabelled = true }), "label deploy"},
		"A label is not put back while repairs are held back": {
			declared(t, plain).recorded(1, day, 10*day).published(1).but(func(s *lifecycle.State) {
				s.Secrets[0].Unlabelled, s.Repairs.NotBefore = true, now.Add(time.Second)
				s.Token.Status.ObservedGeneration = s.Token.Generation
			}), "nothing"},
		"A label that an edit asks for waits for no repair": {
			declared(t, plain).recorded(1, day, 10*day).published(1).but(func(s *lifecycle.State) {
				s.Secrets[0].Unlabelled, s.Repairs.NotBefore = true, now.Add(time.Second)
				s.Token.Status.ObservedGeneration = s.Token.Generation - 1
			}), "label deploy"},
		"No label is written while the spec cannot be used": {
			declared(t, plain).recorded(1, day, 10*day).published(1).but(func(s *lifecycle.State) {
				s.Secrets[0].Unlabelled, s.PlanError = true, &schedule.InvalidError{Field: "spec.secret.labels"}
			}), "nothing"},
		"A repair is held back": {
			declared(t, plain).recorded(1, day, 10*day).published(1).but(func(s *lifecycle.State) {
				s.Secrets = nil
				s.Repairs.NotBefore = now.Add(time.Second)
			}), "nothing"},
		"A changed template brings a new token": {
			declared(t, plain).recorded(1, day, 10*day).published(1).but(func(s *lifecycle.State) { s.Secrets[0].TemplateHash = "other" }), "issue 2: SecretTemplate"},
		"A Secret that a predecessor left under the wanted name is made anew": {
			declared(t, plain).recorded(1, day, 10*day).published(1).but(func(s *lifecycle.State) {
				s.Secrets = []lifecycle.Secret{{Name: "deploy", Holder: lifecycle.HolderPredecessor}}
			}), "issue 2: Predecessor"},
		"A Secret that belongs to somebody else is left alone": {
			declared(t, plain).but(func(s *lifecycle.State) {
				s.Secrets = []lifecycle.Secret{{Name: "deploy", Holder: lifecycle.HolderForeign}}
			}), "nothing"},
		"A revision is never below that of the Secret": {
			declared(t, plain).recorded(1, day, 10*day).published(1).but(func(s *lifecycle.State) { s.Secrets[0].Revision, s.Secrets[0].Intact = 41, false }), "issue 42: SecretChanged"},
		"An older token that was put back into the Secret is replaced, though it ended": {
			declared(t, plain).recorded(1, 8*day, 10*day).recorded(2, day, 10*day).published(1).published(2).but(func(s *lifecycle.State) {
				s.Records[0].Object.Status.ExpiresAt = v1alpha1.NewTimestamp(now)
				s.Secrets[0].TokenID, s.Secrets[0].Revision = id(1), 1
			}), "issue 3: SecretChanged"},
		"A revision that the status counts is awaited while it may still reach the Secret": {
			declared(t, weekly).recorded(1, 7*day, 10*day).recorded(2, 10*time.Second, 10*day).published(1).but(func(s *lifecycle.State) {
				s.Token.Status.Revision = 2
			}), "nothing"},
		"A revision that the status counts is never issued again": {
			declared(t, plain).but(func(s *lifecycle.State) { s.Token.Status.Revision = 7 }), "issue 8: First"},
		"A finished object is deleted when its time has come": {
			declared(t, v1alpha1.AccessTokenSpec{MaxAge: "240h", TTLAfterFinished: "1h"}).recorded(1, 10*day+time.Hour, 10*day).published(1).but(finished), "delete"},
		"A finished object is kept until its time has come": {
			declared(t, v1alpha1.AccessTokenSpec{MaxAge: "240h", TTLAfterFinished: "2h"}).recorded(1, 10*day+time.Hour, 10*day).published(1).but(finished), "nothing"},
		"A suspended object is never deleted": {
			declared(t, v1alpha1.AccessTokenSpec{MaxAge: "240h", TTLAfterFinished: "0s", State: v1alpha1.StateSuspended}).recorded(1, 11*day, 10*day).published(1).but(finished), "nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, describe(lifecycle.Next(test.given.State))); diff != "" {
				t.Errorf("next action (-want +got):\n%s", diff)
			}
		})
	}
}

func revoke(reason v1alpha1.EndReason) func(*lifecycle.State) {
	return func(s *lifecycle.State) {
		for i := range s.Records {
			if s.Records[i].Object.Name == id(1) {
				s.Records[i].Object.Status = v1alpha1.TokenRecordStatus{RevokedAt: v1alpha1.NewTimestamp(now), Reason: reason}
			}
		}
	}
}

func finished(s *lifecycle.State) {
	s.Secrets = nil
	s.Token.Status.EndedAt = s.Token.Status.ExpiresAt
	s.Token.Status.ObservedGeneration = s.Token.Generation
}

type voidError struct{}

func (voidError) Error() string { return "void" }

var errVoid error = voidError{}
