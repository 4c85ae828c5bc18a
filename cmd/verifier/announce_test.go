package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"

	"github.com/accesstoken-dev/accesstoken-operator/internal/store"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

func TestAFloodOfOneKindOfNewsHidesNoneOfTheOther(t *testing.T) {
	rec, _ := mint.Record(t, "ci", "deploy", clock.RealClock{}.Now())
	found := mint.Token(t, rec)
	const flood = tellBurst + 10

	for name, tell := range map[string]struct{ flood, other func(announcements) }{
		"records": {
			func(a announcements) { a.refused(rec, store.RefusalSealBroken, errors.New("broken")) },
			func(a announcements) { a.tokenRefused(found, verify.ReasonAudienceMismatch, []string{"kubernetes"}) },
		},
		"tokens": {
			func(a announcements) { a.tokenRefused(found, verify.ReasonAudienceMismatch, []string{"kubernetes"}) },
			func(a announcements) { a.refused(rec, store.RefusalSealBroken, errors.New("broken")) },
		},
	} {
		recorder := events.NewFakeRecorder(2 * flood)
		a := announcer(recorder, logr.Discard())
		for range flood {
			tell.flood(a)
		}
		flooded := len(recorder.Events)
		if flooded < tellBurst || flooded == flood {
			t.Errorf("%s: told of %d of %d, want %d and few more", name, flooded, flood, tellBurst)
		}
		if tell.other(a); len(recorder.Events) != flooded+1 {
			t.Errorf("%s: a flood hides the other kind", name)
		}
	}
}

func TestAnOwnerCountsAsToldOnlyWhenTheEventGoesOut(t *testing.T) {
	rec, _ := mint.Record(t, "ci", "deploy", clock.RealClock{}.Now())
	refused := mint.Token(t, rec)
	recorder := events.NewFakeRecorder(2 * tellBurst)
	a := announcer(recorder, logr.Discard())
	told := 0
	for range 2 * tellBurst {
		if a.tokenRefused(refused, verify.ReasonAudienceMismatch, []string{"kubernetes"}) {
			told++
		}
	}
	if told != len(recorder.Events) || told == 2*tellBurst {
		t.Errorf("told %d times, and %d events went out", told, len(recorder.Events))
	}
}

func TestAnEventSaysWhatToDoAboutEachReason(t *testing.T) {
	rec, _ := mint.Record(t, "ci", "deploy", clock.RealClock{}.Now())
	refused := mint.Token(t, rec)
	recorder := events.NewFakeRecorder(1)
	for why, todo := range map[verify.Reason]string{
		verify.ReasonAudienceMismatch:  "spec.audiences",
		verify.ReasonNetworkUnknown:    "without them",
		verify.ReasonScopesNotEnforced: "kubernetes.scopes",
	} {
		announcer(recorder, logr.Discard()).tokenRefused(refused, why, []string{"kubernetes"})
		if event := <-recorder.Events; !strings.HasPrefix(event, "Warning "+string(why)+" token "+rec.Name+" was refused by") || !strings.Contains(event, todo) {
			t.Errorf("%s: %s", why, event)
		}
	}
}
