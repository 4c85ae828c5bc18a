package lastused

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

const hour = time.Hour

// step lets time pass, and the replica look.
func (r *replica) step(d time.Duration) {
	r.world.clock.Step(d)
	r.look()
}

func TestOnlyAcceptedUseCounts(t *testing.T) {
	w := newWorld(t)
	for name, test := range map[string]struct {
		verdict verify.Verdict
		err     error
		probe   bool
		counts  int
	}{
		"accepted":           {verdict: verify.Verdict{Token: w.replica().seen}, counts: 1},
		"refused":            {verdict: verify.Verdict{Token: w.replica().seen, Reason: verify.ReasonScopeMissing}},
		"unknown":            {verdict: verify.Verdict{Reason: verify.ReasonUnknown}},
		"could not check":    {err: verify.ErrStale},
		"accepted, by probe": {verdict: verify.Verdict{Token: w.replica().seen}, probe: true},
	} {
		r := w.replica()
		around := r.Around(verify.Func(func(context.Context, verify.Request) (verify.Verdict, error) { return test.verdict, test.err }))
		verdict, err := around.Verify(t.Context(), verify.Request{Probe: test.probe})
		if verdict != test.verdict || err != test.err {
			t.Errorf("%s: answered %v, %v", name, verdict, err)
		}
		if r.Pending() != test.counts {
			t.Errorf("%s: %d uses noted", name, r.Pending())
		}
	}
}

func TestWhatIsWrittenTellsOfTheLastUse(t *testing.T) {
	w := newWorld(t)
	r := w.replica()
	used := func(request verify.Request) v1alpha1.TokenRecordStatus {
		w.clock.Step(DefaultVisibility)
		accepted := verify.Verdict{Token: r.seen}
		_, err := r.Around(verify.Func(func(context.Context, verify.Request) (verify.Verdict, error) { return accepted, nil })).Verify(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		r.look()
		r.watch()
		return w.record.Status
	}
	_, presented := mint.Record(t, "ci", "other", noon)
	for name, test := range map[string]struct {
		request           verify.Request
		from, agent, what string
	}{
		"everything": {
			verify.Request{ClientIP: netip.MustParseAddr("192.0.2.7"), UserAgent: "git/2.47.3", Protocol: verify.ProtocolForwardAuth, Host: "git.example.com"},
			"192.0.2.7", "git/2.47.3", "ForwardAuth git.example.com",
		},
		"what the protocol does not tell is taken away": {verify.Request{Protocol: verify.ProtocolTokenReview}, "", "", "TokenReview"},
		"an IPv4 address is written as one":             {verify.Request{ClientIP: netip.MustParseAddr("::ffff:192.0.2.7")}, "192.0.2.7", "", ""},
		"an IPv6 address without its zone":              {verify.Request{ClientIP: netip.MustParseAddr("fe80::1%eth0")}, "fe80::1", "", ""},
		"text of strangers":                             {verify.Request{UserAgent: "a\r\n" + presented + strings.Repeat("ü", 200), Host: strings.Repeat("h", 300)}, "", ("a" + presented[:21] + "[redacted]" + strings.Repeat("ü", 200))[:256], strings.Repeat("h", 255)},
	} {
		status := used(test.request)
		if status.LastUsedFrom != test.from || status.LastUserAgent != test.agent || status.LastUsedFor != test.what {
			t.Errorf("%s: from %q, agent %q, for %q", name, status.LastUsedFrom, status.LastUserAgent, status.LastUsedFor)
		}
		if at := v1alpha1.NewTimestamp(w.clock.Now()); status.LastUsedAt != at {
			t.Errorf("%s: at %s, want %s", name, status.LastUsedAt, at)
		}
	}
}

func TestOneWriteHoweverManyUses(t *testing.T) {
	w := newWorld(t)
	r := w.replica()
	for range 1000 {
		r.use()
	}
	r.step(interval)
	r.watch()
	for range int(DefaultVisibility/time.Second) - 1 {
		r.use()
		r.step(time.Second)
	}
	if w.writes != 1 {
		t.Fatalf("%d writes before ten minutes had gone", w.writes)
	}
	r.step(time.Second)
	if w.writes != 2 {
		t.Errorf("%d writes after ten minutes", w.writes)
	}
}

func TestSlidingTokensAreWrittenByTheirDeadline(t *testing.T) {
	for name, test := range map[string]struct {
		age, lifetime time.Duration
		used          time.Duration // after the issue, before which the record tells of a use at issue
		written       time.Duration
	}{
		"for show, once the second is over":                 {24 * hour, 100 * hour, 10 * time.Minute, 10*time.Minute + time.Second},
		"a quarter of the age is left":                      {12 * time.Minute, hour, time.Second, 9 * time.Minute},
		"a minute is left":                                  {3 * time.Minute, hour, time.Second, 2 * time.Minute},
		"half of a short age is left":                       {20 * time.Second, hour, time.Second, 10 * time.Second},
		"at once where less is left":                        {3 * time.Minute, hour, 150 * time.Second, 151 * time.Second},
		"without waiting for the second where none is left": {3 * time.Minute, hour, 179 * time.Second, 179*time.Second + interval},
		"only for show where a hard end comes before":       {12 * time.Minute, 12 * time.Minute, time.Second, 10 * time.Minute},
	} {
		w := newWorld(t, mint.Sliding(test.age, test.lifetime))
		w.record.Status.LastUsedAt = v1alpha1.NewTimestamp(noon)
		r := w.replica()
		w.clock.Step(test.used)
		r.use()
		for w.writes == 0 && w.clock.Since(noon) < 2*test.age {
			r.step(interval)
		}
		if got := w.clock.Since(noon); got < test.written || got > test.written+interval {
			t.Errorf("%s: written after %s, want %s", name, got, test.written)
		}
	}
}

func TestALowerAgeIsNoticed(t *testing.T) {
	w := newWorld(t, mint.Sliding(100*hour, 1000*hour))
	w.record.Status.LastUsedAt = v1alpha1.NewTimestamp(noon)
	r := w.replica()
	r.use()
	r.step(2 * time.Second)
	w.change(func(rec *v1alpha1.TokenRecord) {
		lower := int64(180)
		rec.Status.MaxAgeSeconds = &lower
	})
	r.watch()
	for range int((2*time.Minute + lookAgain) / time.Second) {
		r.step(time.Second)
	}
	if w.writes != 1 {
		t.Errorf("%d writes", w.writes)
	}
}

func TestAConflictWaitsForTheWatch(t *testing.T) {
	w := newWorld(t)
	r := w.replica()
	w.change(func(rec *v1alpha1.TokenRecord) { rec.Status.ExpiresAt = v1alpha1.NewTimestamp(noon.Add(hour)) })
	r.use()
	for range 10 {
		r.step(time.Second)
	}
	if w.writes != 1 || r.Pending() != 1 {
		t.Fatalf("%d writes, %d pending", w.writes, r.Pending())
	}
	r.watch()
	r.step(time.Second)
	if w.writes != 2 || r.Pending() != 0 || w.record.Status.LastUsedAt != v1alpha1.NewTimestamp(noon) {
		t.Errorf("%d writes, %d pending, last used at %s", w.writes, r.Pending(), w.record.Status.LastUsedAt)
	}

	t.Run("and so does the write after one that arrived", func(t *testing.T) {
		w.clock.Step(DefaultVisibility)
		r.use()
		for range 10 {
			r.step(time.Second)
		}
		if w.writes != 2 {
			t.Errorf("%d writes", w.writes)
		}
		r.watch()
		r.step(time.Second)
		if w.writes != 3 || r.Pending() != 0 {
			t.Errorf("%d writes, %d pending", w.writes, r.Pending())
		}
	})
}

func TestWhatNeedNotBeWrittenIsDropped(t *testing.T) {
	for name, change := range map[string]func(*replica){
		"a later use is stored": func(r *replica) {
			r.change(func(rec *v1alpha1.TokenRecord) { rec.Status.LastUsedAt = v1alpha1.NewTimestamp(noon.Add(time.Second)) })
		},
		"a use is stored that has not come yet": func(r *replica) {
			r.change(func(rec *v1alpha1.TokenRecord) { rec.Status.LastUsedAt = v1alpha1.NewTimestamp(noon.Add(hour)) })
		},
		"the token is revoked": func(r *replica) {
			r.change(func(rec *v1alpha1.TokenRecord) { rec.Status.RevokedAt = v1alpha1.NewTimestamp(noon) })
		},
		"the token has expired":       func(r *replica) { r.world.clock.Step(hour) },
		"the record is gone":          func(r *replica) { r.world.record = nil },
		"the AccessToken is gone":     func(r *replica) { r.owner.SetState(verify.StateGone) },
		"the namespace is on its way": func(r *replica) { r.owner.Namespace().SetState(verify.StateGone) },
	} {
		w := newWorld(t, mint.Sliding(30*time.Minute, 100*hour))
		r := w.replica()
		r.use()
		change(r)
		r.watch()
		r.step(2 * time.Second)
		if w.writes != 0 || r.Pending() != 0 {
			t.Errorf("%s: %d writes, %d pending", name, w.writes, r.Pending())
		}
	}
	t.Run("the record is gone, and no watch has told of it", func(t *testing.T) {
		w := newWorld(t)
		r := w.replica()
		r.use()
		w.record = nil
		r.step(interval)
		r.step(interval)
		if w.writes != 1 || r.Pending() != 0 || r.noted.Load() != 0 {
			t.Errorf("%d writes, %d pending, %d noted", w.writes, r.Pending(), r.noted.Load())
		}
	})
}

func TestAFailedWriteIsTriedAgainEverMoreSeldom(t *testing.T) {
	w := newWorld(t)
	r := w.replica()
	var logged []string
	var outcomes []Outcome
	r.options.Log = funcr.New(func(_, line string) { logged = append(logged, line) }, funcr.Options{})
	r.options.Observe = func(o Outcome) { outcomes = append(outcomes, o) }
	w.fails = true
	r.use()
	for range 120 {
		r.step(time.Second)
	}
	if w.writes < 6 || w.writes > 9 {
		t.Errorf("%d writes in two minutes", w.writes)
	}
	if len(logged) != 2 || !strings.Contains(logged[0], w.record.Name) {
		t.Errorf("logged %q", logged)
	}
	w.fails = false
	r.step(latestRetry)
	if r.Pending() != 0 || w.record.Status.LastUsedAt != v1alpha1.NewTimestamp(noon) {
		t.Errorf("%d pending, last used at %s", r.Pending(), w.record.Status.LastUsedAt)
	}
	if last := outcomes[len(outcomes)-1]; outcomes[0] != OutcomeFailed || last != OutcomeWritten {
		t.Errorf("outcomes %v", outcomes)
	}
}

// crowd is many tokens, and a Writer that takes every write.
type crowd struct {
	clock  *clocktesting.FakeClock
	tokens map[token.ID]*verify.Token

	mu      sync.Mutex
	written []string // names, in order
	held    chan struct{}
}

func newCrowd(t *testing.T, number int, change func(i int, rec *v1alpha1.TokenRecord)) *crowd {
	t.Helper()
	c := &crowd{clock: clocktesting.NewFakeClock(noon), tokens: map[token.ID]*verify.Token{}}
	for i := range number {
		name := fmt.Sprintf("token-%04d", i)
		rec, _ := mint.Record(t, "ci", name, noon, func(rec *v1alpha1.TokenRecord) { change(i, rec) })
		made := mint.Token(t, rec)
		c.tokens[made.Key()] = made
	}
	return c
}

func (c *crowd) Lookup(id token.ID) *verify.Token { return c.tokens[id] }

func (c *crowd) WriteUse(ctx context.Context, use Use) error {
	if c.held != nil {
		select {
		case <-c.held:
		case <-ctx.Done():
			return apierrors.NewTimeoutError("held", 0)
		}
	}
	id, _ := token.ParseID(use.Name)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written = append(c.written, c.tokens[id].Name())
	return nil
}

func (c *crowd) writes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.written)
}

// useAll uses every token once.
func (c *crowd) useAll(r *Recorder) {
	for _, t := range c.tokens {
		accepted := verify.Verdict{Token: t}
		_, _ = r.Around(verify.Func(func(context.Context, verify.Request) (verify.Verdict, error) { return accepted, nil })).
			Verify(context.Background(), verify.Request{Protocol: verify.ProtocolExtAuthz})
	}
}

func TestManyTokensCostTheBudgetAtMost(t *testing.T) {
	c := newCrowd(t, 1000, func(int, *v1alpha1.TokenRecord) {})
	r := New(Options{Index: c, Writer: c, Clock: c.clock})
	const seconds = 10
	for range seconds {
		for range 4 {
			for range 25 { // in all each token is used a thousand times
				c.useAll(r)
			}
			c.clock.Step(interval)
			r.flush(t.Context(), false)
			r.writes.Wait()
		}
	}
	if got := c.writes(); got > DefaultWritesPerSecond*seconds+int(DefaultWritesPerSecond*interval.Seconds()) || got < DefaultWritesPerSecond*(seconds-1) {
		t.Errorf("%d writes in %d s", got, seconds)
	}
	if r.Overdue() != 1000-c.writes() {
		t.Errorf("%d overdue, %d written of 1000", r.Overdue(), c.writes())
	}
	for range 4 * 11 {
		c.clock.Step(interval)
		r.flush(t.Context(), false)
		r.writes.Wait()
	}
	if c.writes() != 1000 || r.Overdue() != 0 {
		t.Errorf("%d written, %d overdue", c.writes(), r.Overdue())
	}
}

func TestTheMostUrgentAreWrittenFirst(t *testing.T) {
	// Every third ends soon, each at another time; the others are only shown.
	c := newCrowd(t, 90, func(i int, rec *v1alpha1.TokenRecord) {
		if i%3 == 0 {
			mint.Sliding(time.Duration(1000-i)*time.Second, 100*hour)(rec)
		}
	})
	r := New(Options{Index: c, Writer: c, Clock: c.clock, WritesPerSecond: 4})
	c.clock.Step(800 * time.Second)
	c.useAll(r)
	c.clock.Step(time.Second)
	var want []string
	for i := 87; i >= 0; i -= 3 { // the last has the shortest age
		want = append(want, fmt.Sprintf("token-%04d", i))
		c.clock.Step(interval)
		r.flush(t.Context(), false)
		r.writes.Wait()
	}
	if !slices.Equal(c.written, want) {
		t.Errorf("written in the order %v, want %v", c.written, want)
	}
}

func TestNoMoreThanAFewWritesAreOnTheirWay(t *testing.T) {
	c := newCrowd(t, 100, func(int, *v1alpha1.TokenRecord) {})
	c.held = make(chan struct{})
	r := New(Options{Index: c, Writer: c, Clock: c.clock, WritesPerSecond: 1000})
	c.useAll(r)
	for range 3 {
		c.clock.Step(interval)
		r.flush(t.Context(), false)
	}
	if r.Overdue() != 100-inFlight {
		t.Errorf("%d overdue", r.Overdue())
	}
	close(c.held)
	r.writes.Wait()
	if c.writes() != inFlight {
		t.Errorf("%d written", c.writes())
	}
}

func TestMemoryIsBounded(t *testing.T) {
	c := newCrowd(t, 2, func(i int, rec *v1alpha1.TokenRecord) {
		if i == 1 {
			mint.Sliding(hour, 100*hour)(rec)
		}
	})
	var outcomes []Outcome
	r := New(Options{Index: c, Writer: c, Clock: c.clock, Observe: func(o Outcome) { outcomes = append(outcomes, o) }})
	r.noted.Store(mostNoted)
	c.useAll(r)
	if r.Pending() != 1 || !slices.Equal(outcomes, []Outcome{OutcomeDropped}) {
		t.Errorf("%d pending, outcomes %v: of two, the one that use extends is taken in", r.Pending(), outcomes)
	}
}

// startAndStop runs Start, uses every token and ends it, in real time.
func (c *crowd) startAndStop(t *testing.T, options Options) *Recorder {
	t.Helper()
	options.Index, options.Writer, options.Clock = c, c, clock.RealClock{}
	r := New(options)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Start(ctx) }()
	c.useAll(r)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	return r
}

// TestAtTheEndAllIsWritten has far more to write than fits into the places that
// there are, as often as the recorder looks.
func TestAtTheEndAllIsWritten(t *testing.T) {
	const crowd = 2000
	c := newCrowd(t, crowd, func(i int, rec *v1alpha1.TokenRecord) {
		now := clock.RealClock{}.Now()
		rec.Spec.IssuedAt = v1alpha1.NewTimestamp(now)
		rec.CreationTimestamp.Time = now
		if i%2 == 0 {
			mint.Sliding(100*hour, 1000*hour)(rec)
		}
		rec.Status.LastUsedAt = v1alpha1.NewTimestamp(now.Add(-time.Minute)) // the next is due in nine minutes
	})
	r := c.startAndStop(t, Options{})
	if c.writes() != crowd || r.Pending() != 0 {
		t.Errorf("%d written, %d pending", c.writes(), r.Pending())
	}
}

func TestTheEndWaitsForTheGracePeriodOnly(t *testing.T) {
	c := newCrowd(t, 20, func(int, *v1alpha1.TokenRecord) {})
	c.held = make(chan struct{}) // never opened: the API server does not answer
	var dropped atomic.Int64
	c.startAndStop(t, Options{Grace: 2 * interval, Observe: func(o Outcome) {
		if o == OutcomeDropped {
			dropped.Add(1)
		}
	}})
	if dropped.Load() != 20 || c.writes() != 0 {
		t.Errorf("%d dropped, %d written", dropped.Load(), c.writes())
	}
}

func TestAUseThatIsNotedAlreadyCostsNothing(t *testing.T) {
	r := newWorld(t).replica()
	accepted := verify.Verdict{Token: r.seen}
	around := r.Around(verify.Func(func(context.Context, verify.Request) (verify.Verdict, error) { return accepted, nil }))
	if n := testing.AllocsPerRun(1000, func() { _, _ = around.Verify(t.Context(), verify.Request{UserAgent: "git"}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
