package caller

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
	"k8s.io/utils/lru"
)

// patience bounds one question to the API server.
const patience = 5 * time.Second

// errBusy says that the API server was asked about too many strangers just now.
var errBusy = errors.New("too many unknown credentials at once")

type digest [sha256.Size]byte

// answer is what was found out, and until when it holds.
type answer[V any] struct {
	value V
	yes   bool
	until time.Time
}

// memo remembers answers for a short while, and asks the same question once at a
// time. What could not be found out is not remembered.
type memo[V any] struct {
	clock           clock.PassiveClock
	keepYes, keepNo time.Duration

	// Apart, so that strangers push out strangers only. Answers of good that hold
	// no longer stay until they are pushed out: they tell who is no stranger.
	good, bad *lru.Cache

	flights   singleflight.Group
	strangers *rate.Limiter // nil: no limit
}

func newMemo[V any](options *Options) *memo[V] {
	return &memo[V]{
		clock: options.Clock, keepYes: options.KeepYes, keepNo: options.KeepNo,
		good: lru.New(options.MostAnswers), bad: lru.New(options.MostAnswers),
	}
}

// limitStrangers bounds how often a second is asked about what was never good.
func (m *memo[V]) limitStrangers(perSecond float64) {
	m.strangers = rate.NewLimiter(rate.Limit(perSecond), max(1, int(2*perSecond)))
}

// ask returns the answer that is remembered, or asks. Those who wait for the same
// answer get it together; one who gives up does not end the question for the
// others.
func (m *memo[V]) ask(ctx context.Context, key digest, question func(context.Context) (V, bool, error)) (value V, yes bool, err error) {
	if known, ok := m.recall(key); ok {
		return known.value, known.yes, nil
	}
	asking := context.WithoutCancel(ctx)
	flight := m.flights.DoChan(string(key[:]), func() (any, error) { return m.find(asking, key, question) })
	select {
	case <-ctx.Done():
		return value, false, ctx.Err()
	case result := <-flight:
		found, ok := result.Val.(answer[V])
		if result.Err != nil || !ok {
			return value, false, result.Err
		}
		return found.value, found.yes, nil
	}
}

func (m *memo[V]) find(ctx context.Context, key digest, question func(context.Context) (V, bool, error)) (answer[V], error) {
	if known, ok := m.recall(key); ok { // another flight landed meanwhile
		return known, nil
	}
	if _, wasGood := m.good.Get(key); !wasGood && m.strangers != nil && !m.strangers.AllowN(m.clock.Now(), 1) {
		return answer[V]{}, errBusy
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// From before the question, lest an old answer holds for longer than it may.
	now := m.clock.Now()
	value, yes, err := question(ctx)
	if err != nil {
		return answer[V]{}, err
	}
	found := answer[V]{value: value, yes: yes, until: now.Add(m.keepNo)}
	if yes {
		found.until = now.Add(m.keepYes)
	}
	m.remember(key, found)
	return found, nil
}

func (m *memo[V]) recall(key digest) (answer[V], bool) {
	for _, kept := range []*lru.Cache{m.good, m.bad} {
		if value, ok := kept.Get(key); ok {
			if known, ok := value.(answer[V]); ok && m.clock.Now().Before(known.until) {
				return known, true
			}
		}
	}
	return answer[V]{}, false
}

func (m *memo[V]) remember(key digest, found answer[V]) {
	if found.yes {
		m.bad.Remove(key)
		m.good.Add(key, found)
		return
	}
	m.good.Remove(key)
	m.bad.Add(key, found)
}
