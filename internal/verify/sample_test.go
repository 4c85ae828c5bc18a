package verify_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func sampledToken(t *testing.T, changes ...func(*v1alpha1.TokenRecord)) *verify.Token {
	t.Helper()
	rec, _ := mint.Record(t, "ci", "deploy", noon, changes...)
	return mint.Token(t, rec)
}

func TestATokenIsSampledOnceAMinuteAndProtocol(t *testing.T) {
	sampled := sampledToken(t)
	all := append(verify.Protocols(), "Unheard")
	for minute := range 3 {
		start := noon.Add(time.Duration(minute) * time.Minute)
		for _, protocol := range all {
			if !sampled.Sample(protocol, start.Add(time.Second)) {
				t.Errorf("%s was not sampled in minute %d", protocol, minute)
			}
		}
		for _, protocol := range all {
			if sampled.Sample(protocol, start.Add(time.Minute-time.Nanosecond)) {
				t.Errorf("%s was sampled twice in minute %d", protocol, minute)
			}
		}
	}
}

func TestOneOfManyCallersSamples(t *testing.T) {
	sampled := sampledToken(t)
	var yes atomic.Int64
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			for _, protocol := range verify.Protocols() {
				if sampled.Sample(protocol, noon) {
					yes.Add(1)
				}
			}
		})
	}
	group.Wait()
	if yes.Load() != int64(len(verify.Protocols())) {
		t.Errorf("%d samples", yes.Load())
	}
}

func TestATokenOfAChangedRecordGoesOnWhereItWas(t *testing.T) {
	before, after := sampledToken(t), sampledToken(t)
	if !before.Sample(verify.ProtocolExtAuthz, noon) || !before.Note(noon) {
		t.Fatal("the first use was passed over")
	}
	after.Succeed(before)
	if after.Sample(verify.ProtocolExtAuthz, noon) || after.Note(noon) {
		t.Error("a second use in the same second was noted")
	}
}

func TestATokenTellsWhoMadeItAndWhenItWasRevoked(t *testing.T) {
	plain := sampledToken(t)
	if at, revoked := plain.RevokedAt(); plain.Creator() != "" || revoked {
		t.Errorf("creator %q, revoked %v at %s", plain.Creator(), revoked, at)
	}
	made := sampledToken(t, func(rec *v1alpha1.TokenRecord) {
		rec.Spec.Creator = &v1alpha1.Creator{Username: "ann"}
		rec.Status.RevokedAt = "2026-11-24T13:00:00.5Z"
	})
	if at, revoked := made.RevokedAt(); made.Creator() != "ann" || !revoked || !at.Equal(noon.Add(time.Hour+500*time.Millisecond)) {
		t.Errorf("creator %q, revoked %v at %s", made.Creator(), revoked, at)
	}
}
