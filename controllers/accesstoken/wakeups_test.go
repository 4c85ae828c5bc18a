package accesstoken_test

import (
	"context"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// wakeups is the queue of a controller that works on one object, with the clock
// of its world: it keeps when the object is looked at next.
type wakeups struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request] // of which watches call nothing else
	*world

	mu      sync.Mutex
	waiting bool
	due     time.Time
}

func (q *wakeups) Add(request reconcile.Request) { q.AddAfter(request, 0) }

func (q *wakeups) AddAfter(woken reconcile.Request, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	at := q.clock.Now().Add(wait)
	if woken == request(q.world) && (!q.waiting || at.Before(q.due)) {
		q.waiting, q.due = true, at
	}
}

// take says whether the object is due; then it is, once.
func (q *wakeups) take() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.waiting || q.clock.Now().Before(q.due) {
		return false
	}
	q.waiting = false
	return true
}

// next is when the object is due, if ever.
func (q *wakeups) next() (time.Time, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.due, q.waiting
}

// watched is a process that works only when its watches wake it, or when it
// asked to look again.
type watched struct {
	*process
	queue *wakeups
}

// startWatched starts a process with the watches of a running controller.
func (w *world) startWatched(ctx context.Context, replica int) *watched {
	p := &watched{process: w.start(replica), queue: &wakeups{world: w}}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	DeferCleanup(cancel)
	for _, watch := range p.reconciler.Watches(caches[replica]) {
		Expect(watch.Start(ctx, p.queue)).To(Succeed())
	}
	return p
}

// attend does what the process is woken for, stepping the clock to each moment
// within the span, until what it leads to holds.
func (p *watched) attend(ctx context.Context, span time.Duration, holds func()) {
	GinkgoHelper()
	end := p.clock.Now().Add(span)
	Eventually(func() error {
		p.work(ctx, end)
		p.settled(ctx)
		return InterceptGomegaFailure(holds)
	}).WithTimeout(patience).Should(Succeed())
}

func (p *watched) work(ctx context.Context, end time.Time) {
	for range 200 {
		for p.queue.take() {
			result, err := p.reconcile(ctx)
			if err != nil {
				p.queue.AddAfter(request(p.world), time.Second)
			} else if result.RequeueAfter > 0 {
				p.queue.AddAfter(request(p.world), result.RequeueAfter)
			}
		}
		at, ok := p.queue.next()
		if !ok || at.After(end) {
			return
		}
		if at.After(p.clock.Now()) {
			p.clock.SetTime(at)
		}
	}
	Fail("the operator comes to no rest")
}
