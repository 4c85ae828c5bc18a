package lastused

import (
	"context"
	"strconv"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// failer is a *testing.T or a *rapid.T.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// world is one record as the API server keeps it, with what a write may do to it,
// and a clock. What the API server itself does is tested against a real one.
type world struct {
	failer
	clock  *clocktesting.FakeClock
	record *v1alpha1.TokenRecord
	writes int
	fails  bool // the next writes fail
}

func newWorld(t failer, changes ...func(*v1alpha1.TokenRecord)) *world {
	t.Helper()
	rec, _ := mint.Record(t, "ci", "deploy", noon, changes...)
	return &world{failer: t, clock: clocktesting.NewFakeClock(noon), record: rec}
}

// WriteUse implements Writer.
func (w *world) WriteUse(_ context.Context, use Use) error {
	w.writes++
	records := schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "tokenrecords"}
	switch {
	case w.fails:
		return apierrors.NewServiceUnavailable("away")
	case w.record == nil:
		return apierrors.NewNotFound(records, use.Name)
	case use.ResourceVersion != w.record.ResourceVersion:
		return apierrors.NewConflict(records, use.Name, nil)
	}
	at, err := use.LastUsedAt.Parse()
	if err != nil {
		w.Fatalf("lastUsedAt: %v", err)
	}
	if before, err := w.record.Status.LastUsedAt.Parse(); err == nil && !at.After(before) {
		w.Fatalf("lastUsedAt moves from %s to %s", before, at)
	}
	if at.After(w.clock.Now()) {
		w.Fatalf("lastUsedAt %s is after now, %s", at, w.clock.Now())
	}
	w.change(func(rec *v1alpha1.TokenRecord) {
		rec.Status.LastUsedAt, rec.Status.LastUsedFrom = use.LastUsedAt, use.LastUsedFrom
		rec.Status.LastUserAgent, rec.Status.LastUsedFor = use.LastUserAgent, use.LastUsedFor
	})
	return nil
}

// change makes another state of the record.
func (w *world) change(change func(*v1alpha1.TokenRecord)) {
	w.Helper()
	version, err := strconv.Atoi(w.record.ResourceVersion)
	if err != nil {
		w.Fatalf("%v", err)
	}
	w.record = w.record.DeepCopy()
	w.record.ResourceVersion = strconv.Itoa(version + 1)
	change(w.record)
}

// replica is a Recorder, and what its watch has shown it.
type replica struct {
	*Recorder
	*world
	owner *verify.Owner
	seen  *verify.Token
}

func (w *world) replica() *replica {
	w.Helper()
	namespace := verify.NewNamespace("ci")
	namespace.SetState(verify.StateLive)
	r := &replica{world: w, owner: verify.NewOwner("uid", "deploy", namespace)}
	r.owner.SetState(verify.StateLive)
	r.Recorder = New(Options{Index: r, Writer: w, Clock: w.clock})
	r.watch()
	return r
}

// Lookup implements verify.Index.
func (r *replica) Lookup(token.ID) *verify.Token { return r.seen }

// watch brings the record as it is now.
func (r *replica) watch() {
	r.Helper()
	if r.world.record == nil {
		r.seen = nil
		return
	}
	next := mint.TokenOf(r, r.world.record, r.owner, nil)
	if r.seen != nil {
		next.Succeed(r.seen)
	}
	r.seen = next
}

// use is a request with the token now; it reports whether it was accepted.
func (r *replica) use() bool {
	accepted := r.seen != nil && !r.seen.Lifetime().Ended(r.world.clock.Now())
	decided := verify.Func(func(context.Context, verify.Request) (verify.Verdict, error) {
		if !accepted {
			return verify.Verdict{Reason: verify.ReasonExpired, Token: r.seen}, nil
		}
		return verify.Verdict{Token: r.seen}, nil
	})
	_, _ = r.Around(decided).Verify(context.Background(), verify.Request{Protocol: verify.ProtocolTokenReview})
	return accepted
}

// look is one turn of Start.
func (r *replica) look() {
	r.flush(context.Background(), false)
	r.Recorder.writes.Wait()
}

// TestUseIsNeverLostWhereItMatters lets two replicas see a token being used at any
// time, with watches that lag, and holds the record against what was accepted.
func TestUseIsNeverLostWhereItMatters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		age := time.Duration(rapid.SampledFrom([]int{2, 3, 10, 60, 100, 600, 3600}).Draw(t, "age")) * time.Second
		hard := age * time.Duration(rapid.IntRange(1, 20).Draw(t, "lifetimes"))
		w := newWorld(t, mint.Sliding(age, hard))
		replicas := [2]*replica{w.replica(), w.replica()}
		tick := max(interval, age/200) // looking more seldom than in truth is only harder
		var good time.Time             // until when the token must be good everywhere
		for range rapid.IntRange(1, 40).Draw(t, "uses") {
			used := rapid.IntRange(-1, 1).Draw(t, "used at")
			if used >= 0 {
				now := w.clock.Now()
				end, _ := replicas[used].seen.Lifetime().End(now)
				// One look has to come, and one more if the other replica is first.
				if replicas[used].use() && end.Sub(now) > 3*tick {
					good = latest(good, earliest(now.Add(age), noon.Add(hard)))
				}
			}
			for range rapid.IntRange(1, int(max(age/tick, 4))).Draw(t, "pause") {
				w.clock.Step(tick)
				for _, r := range replicas {
					if rapid.IntRange(0, 3).Draw(t, "watch lags") > 0 {
						r.watch()
					}
					r.look()
				}
				for _, r := range replicas {
					r.watch()
				}
				if life := replicas[0].seen.Lifetime(); life.Ended(w.clock.Now()) && w.clock.Now().Before(good) {
					t.Fatalf("ended at %s, though it was used and should be good until %s", w.clock.Now().Format(time.TimeOnly+".000"), good.Format(time.TimeOnly+".000"))
				}
			}
		}
	})
}

// TestUseIsShownInTime lets a token that use does not extend be used at any time:
// the record tells of it within ten minutes, by few writes.
func TestUseIsShownInTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		r := w.replica()
		var uses []time.Time
		for range rapid.IntRange(1, 100).Draw(t, "uses") {
			w.clock.Step(time.Duration(rapid.Int64Range(0, int64(20*time.Minute/interval)).Draw(t, "pause")) * interval)
			r.watch()
			r.look()
			if !r.use() {
				t.Fatalf("refused")
			}
			uses = append(uses, w.clock.Now())
		}
		span := w.clock.Now().Sub(noon)
		if most := int(span/DefaultVisibility) + 1; w.writes > most {
			t.Fatalf("%d writes in %s", w.writes, span)
		}
		w.clock.Step(DefaultVisibility)
		r.watch()
		r.look()
		r.watch()
		if at, want := w.record.Status.LastUsedAt, v1alpha1.NewTimestamp(uses[len(uses)-1]); at != want {
			t.Fatalf("last used at %q, want %s", at, want)
		}
		if r.look(); r.Pending() != 0 {
			t.Fatalf("%d pending", r.Pending())
		}
		w.clock.Step(2 * DefaultVisibility)
		if r.look(); r.noted.Load() != 0 {
			t.Fatalf("%d tokens are remembered", r.noted.Load())
		}
	})
}
