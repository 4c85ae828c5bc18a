package lifecycle_test

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
)

func TestAFirstTokenTakesAPlace(t *testing.T) {
	plain := v1alpha1.AccessTokenSpec{MaxAge: "240h"}
	weekly := v1alpha1.AccessTokenSpec{MaxAge: "240h", Rotation: &v1alpha1.Rotation{Interval: "168h"}}
	for name, test := range map[string]struct {
		given    *situation
		with     string
		without  string
		awaiting bool
	}{
		"a first token":         {declared(t, plain), "issue 1: First", "nothing", true},
		"a rotation takes none": {declared(t, weekly).recorded(1, 8*day, 10*day).published(1), "issue 2: Interval", "issue 2: Interval", false},
		"one that ended and was asked for": {
			declared(t, plain).recorded(1, 10*day, 10*day).published(1).but(func(s *lifecycle.State) { s.Plan = mustPlan(t, plain, now.Add(-time.Minute)) }), "issue 2: Requested", "withdraw deploy", true},
		"one whose record was lost": {declared(t, plain).published(1), "issue 2: RecordLost", "nothing", true},
		"a token in good order":     {declared(t, plain).recorded(1, day, 10*day).published(1), "nothing", "nothing", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := test.given.State
			if got := describe(lifecycle.Next(s)); got != test.with {
				t.Errorf("with a place: %s; want %s", got, test.with)
			}
			s.Place = lifecycle.Place{}
			if got := describe(lifecycle.Next(s)); got != test.without {
				t.Errorf("without: %s; want %s", got, test.without)
			}
			if got := s.AwaitsGrant(); got != test.awaiting {
				t.Errorf("awaits a grant: %t; want %t", got, test.awaiting)
			}
			if at, ok := lifecycle.NextLook(s); test.awaiting && ok && !at.After(now) && test.without == "nothing" {
				t.Errorf("looks again at %s, which changes nothing", at)
			}
		})
	}
}

func TestARefusedPlaceIsToldOf(t *testing.T) {
	s := declared(t, v1alpha1.AccessTokenSpec{MaxAge: "240h"}).State
	s.Place = lifecycle.Place{Refusal: "namespace ci is full"}
	if s.AwaitsGrant() {
		t.Error("a refused one awaits no grant")
	}
	status := lifecycle.Summarize(s, nil)
	for kind, want := range map[string]metav1.ConditionStatus{
		v1alpha1.ConditionReady: metav1.ConditionFalse, v1alpha1.ConditionStalled: metav1.ConditionTrue, v1alpha1.ConditionQuotaExceeded: metav1.ConditionTrue,
	} {
		condition := meta.FindStatusCondition(status.Conditions, kind)
		if condition == nil || condition.Status != want || condition.Reason != v1alpha1.ReasonQuotaExceeded || condition.Message != "namespace ci is full" {
			t.Errorf("%s: %+v", kind, condition)
		}
	}
	s.Token.Status, s.Place, s.Now = status, lifecycle.Place{Held: true}, now.Add(time.Second)
	status = lifecycle.Summarize(s, nil)
	if condition := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionQuotaExceeded); condition != nil {
		t.Errorf("with a place it still says %+v", condition)
	}
}

func TestFinished(t *testing.T) {
	ended := func(reason string, state v1alpha1.State) *v1alpha1.AccessToken {
		return &v1alpha1.AccessToken{
			ObjectMeta: metav1.ObjectMeta{Generation: 2},
			Spec:       v1alpha1.AccessTokenSpec{State: state},
			Status: v1alpha1.AccessTokenStatus{
				ObservedGeneration: 2, IssuedAt: "2026-11-24T09:00:00Z", EndedAt: "2026-11-24T10:00:00Z",
				Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: reason}},
			},
		}
	}
	with := func(token *v1alpha1.AccessToken, change func(*v1alpha1.AccessToken)) *v1alpha1.AccessToken {
		change(token)
		return token
	}
	annotated := func(at string) func(*v1alpha1.AccessToken) {
		return func(token *v1alpha1.AccessToken) {
			token.Annotations = map[string]string{v1alpha1.AnnotationRotateRequestedAt: at}
		}
	}
	expired := func() *v1alpha1.AccessToken { return ended(v1alpha1.ReasonExpired, "") }
	gone := func(onRecreate v1alpha1.OnRecreate) *v1alpha1.AccessToken {
		return with(ended(v1alpha1.ReasonSubjectGone, ""), func(token *v1alpha1.AccessToken) {
			token.Status.EndedAt = ""
			token.Spec.Subject = &v1alpha1.TokenSubject{Kind: v1alpha1.SubjectKindServiceAccount, Name: "deployer", OnRecreate: onRecreate}
		})
	}
	for name, test := range map[string]struct {
		token *v1alpha1.AccessToken
		want  bool
	}{
		"a new one is not":                                                {&v1alpha1.AccessToken{}, false},
		"one with a token is not":                                         {ended(v1alpha1.ReasonIssued, ""), false},
		"a revoked one is":                                                {ended(v1alpha1.ReasonRevoked, v1alpha1.StateRevoked), true},
		"one that is active again is not":                                 {ended(v1alpha1.ReasonRevoked, v1alpha1.StateActive), false},
		"a suspended one is not":                                          {ended(v1alpha1.ReasonSuspended, v1alpha1.StateSuspended), false},
		"an expired one is":                                               {expired(), true},
		"an expired one whose rotation is to come is not":                 {with(expired(), func(token *v1alpha1.AccessToken) { token.Status.NextRotationAt = "2026-11-25T09:00:00Z" }), false},
		"one that was edited since is not":                                {with(expired(), func(token *v1alpha1.AccessToken) { token.Generation++ }), false},
		"an expired one that was asked for since is not":                  {with(expired(), annotated("2026-11-24T11:00:00Z")), false},
		"an expired one that was asked for before it was issued is":       {with(expired(), annotated("2026-11-24T08:00:00Z")), true},
		"an expired one that cannot be read is not":                       {with(expired(), func(token *v1alpha1.AccessToken) { token.Spec.MaxAge = "30d" }), false},
		"one that a revocation voids is":                                  {ended(v1alpha1.ReasonCutOff, ""), true},
		"one that a revocation voids and that was asked for since is not": {with(ended(v1alpha1.ReasonCutOff, ""), annotated("2026-11-24T11:00:00Z")), false},
		"one that is retired is":                                          {ended(v1alpha1.ReasonRetired, ""), true},
		"one that is retired and was asked for since is not":              {with(ended(v1alpha1.ReasonRetired, ""), annotated("2026-11-24T11:00:00Z")), false},
		"one whose service account is gone is":                            {gone(""), true},
		"one that is issued anew for the next one is not":                 {gone(v1alpha1.OnRecreateReissue), false},
		"one that a policy ended is":                                      {ended(v1alpha1.ReasonPolicyViolation, ""), true},
		"one that a policy lets live on is not":                           {with(ended(v1alpha1.ReasonPolicyViolation, ""), func(token *v1alpha1.AccessToken) { token.Status.EndedAt = "" }), false},
		"one that waits for a place is not":                               {ended(v1alpha1.ReasonQuotaExceeded, ""), false},
	} {
		if got := lifecycle.Finished(test.token); got != test.want {
			t.Errorf("%s: finished %t", name, got)
		}
	}
}
