package caller

import (
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func key(n int) (d digest) {
	binary.BigEndian.PutUint64(d[:], uint64(n))
	return d
}

// world is a memo and what the API server would say.
type world struct {
	*memo[string]
	clock *clocktesting.FakePassiveClock
	yes   bool
	err   error
	asked int
}

func newWorld(most int) *world {
	w := &world{clock: clocktesting.NewFakePassiveClock(noon)}
	w.memo = newMemo[string](&Options{KeepYes: DefaultKeepYes, KeepNo: DefaultKeepNo, MostAnswers: most, Clock: w.clock})
	return w
}

func (w *world) question(context.Context) (string, bool, error) {
	w.asked++
	return "value", w.yes, w.err
}

// want asks, and checks the answer and how often the API server was asked so far.
func (w *world) want(t *testing.T, n int, yes bool, wrong error, asked int) {
	t.Helper()
	value, got, err := w.ask(t.Context(), key(n), w.question)
	if got != yes || !errors.Is(err, wrong) || (err == nil && value != "value") {
		t.Fatalf("ask = %q, %t, %v, want %t, %v", value, got, err, yes, wrong)
	}
	if w.asked != asked {
		t.Fatalf("the API server was asked %d times, want %d", w.asked, asked)
	}
}

func (w *world) step(d time.Duration) { w.clock.SetTime(w.clock.Now().Add(d)) }

var errAway = errors.New("the API server is away")

func TestAnswersHoldForAShortWhile(t *testing.T) {
	for _, test := range []struct {
		yes  bool
		keep time.Duration
	}{{true, 10 * time.Second}, {false, 2 * time.Second}} {
		w := newWorld(10)
		w.yes = test.yes
		w.want(t, 1, test.yes, nil, 1)
		w.step(test.keep - time.Nanosecond)
		w.yes = !test.yes
		w.want(t, 1, test.yes, nil, 1)
		w.step(time.Nanosecond)
		w.want(t, 1, !test.yes, nil, 2)
		w.want(t, 1, !test.yes, nil, 2)
	}
}

func TestWhatCouldNotBeFoundOutIsNotRemembered(t *testing.T) {
	w := newWorld(10)
	w.err = errAway
	w.want(t, 1, false, errAway, 1)
	w.want(t, 1, false, errAway, 2)
	w.err, w.yes = nil, true
	w.want(t, 1, true, nil, 3)
	w.err = errAway
	w.want(t, 1, true, nil, 3)
	w.step(DefaultKeepYes)
	w.want(t, 1, false, errAway, 4)
	w.err = nil
	w.want(t, 1, true, nil, 5)
}

func TestAnswersToDifferentQuestionsAreApart(t *testing.T) {
	w := newWorld(10)
	w.yes = true
	w.want(t, 1, true, nil, 1)
	w.yes = false
	w.want(t, 2, false, nil, 2)
	w.want(t, 1, true, nil, 2)
}

func TestTheMemoryIsBounded(t *testing.T) {
	w := newWorld(3)
	for n := range 20 {
		w.yes = n%2 == 0
		w.want(t, n, w.yes, nil, n+1)
	}
	if w.good.Len() != 3 || w.bad.Len() != 3 {
		t.Errorf("%d good and %d bad answers are kept, want 3 each", w.good.Len(), w.bad.Len())
	}
}

func TestStrangersPushOutStrangersOnly(t *testing.T) {
	w := newWorld(2)
	w.yes = true
	w.want(t, 1, true, nil, 1)
	w.yes = false
	for n := range 10 {
		w.want(t, 100+n, false, nil, 2+n)
	}
	w.want(t, 1, true, nil, 11)
}

func TestStrangersWaitAndCallersDoNot(t *testing.T) {
	w := newWorld(100)
	w.limitStrangers(5)
	w.yes = true
	w.want(t, 1, true, nil, 1)
	w.yes = false
	for n := range 9 { // with the first one, twice as many as in a second
		w.want(t, 100+n, false, nil, 2+n)
	}
	w.want(t, 200, false, errBusy, 10)
	w.want(t, 100, false, nil, 10)

	w.step(DefaultKeepYes)
	for n := range 10 {
		w.want(t, 300+n, false, nil, 11+n)
	}
	w.want(t, 400, false, errBusy, 20)
	w.yes = true
	w.want(t, 1, true, nil, 21) // it was good before
	w.yes = false
	w.step(DefaultKeepYes)
	w.want(t, 1, false, nil, 22) // and is not any more:
	w.step(DefaultKeepNo)
	for n := range 10 {
		w.want(t, 500+n, false, nil, 23+n)
	}
	w.want(t, 1, false, errBusy, 32)
}

// TestManyWaitForOneQuestion runs in a bubble, in which it is known when all are
// waiting.
func TestManyWaitForOneQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(10)
		var asked, answered atomic.Int64
		open := make(chan struct{})
		question := func(ctx context.Context) (string, bool, error) {
			asked.Add(1)
			<-open
			return "value", true, ctx.Err()
		}
		for range 50 {
			go func() {
				if value, yes, err := w.ask(t.Context(), key(1), question); value == "value" && yes && err == nil {
					answered.Add(1)
				}
			}()
		}
		synctest.Wait()
		close(open)
		synctest.Wait()
		if asked.Load() != 1 || answered.Load() != 50 {
			t.Errorf("%d questions answered %d callers, want 1 and 50", asked.Load(), answered.Load())
		}
	})
}

func TestOneWhoGivesUpLeavesTheQuestionToTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(10)
		open := make(chan struct{})
		question := func(ctx context.Context) (string, bool, error) {
			select {
			case <-open:
			case <-ctx.Done():
			}
			return "value", true, ctx.Err()
		}
		impatient, giveUp := context.WithCancel(t.Context())
		outcomes := make(chan error, 2)
		ask := func(ctx context.Context) {
			_, _, err := w.ask(ctx, key(1), question)
			outcomes <- err
		}
		go ask(impatient)
		synctest.Wait()
		go ask(t.Context())
		synctest.Wait()
		giveUp()
		if err := <-outcomes; !errors.Is(err, context.Canceled) {
			t.Errorf("the one who gave up got %v", err)
		}
		close(open)
		if err := <-outcomes; err != nil {
			t.Errorf("the other got %v", err)
		}
	})
}

func TestAQuestionIsBoundedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(10)
		silent := func(ctx context.Context) (string, bool, error) {
			<-ctx.Done()
			return "", false, ctx.Err()
		}
		if _, _, err := w.ask(t.Context(), key(1), silent); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ask = %v, want the deadline", err)
		}
	})
}
