package accesstoken

import (
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
)

const (
	// The operator repairs what somebody else changed at once, and then ever
	// more slowly: a fight that it cannot win must not cost the API server.
	repairFirst = time.Second
	repairMost  = 10 * time.Minute

	// contestedAfter repairs in a row say that somebody writes on purpose.
	contestedAfter = 5

	// A Secret that belongs to somebody else is looked at again this often; it
	// may not carry the label that the watch selects by.
	conflictFirst = 10 * time.Second
	conflictMost  = 5 * time.Minute

	// An issue that failed is tried again, ever more slowly: each try costs a
	// record.
	failureFirst = time.Second
	failureMost  = 10 * time.Minute

	// A pass that was overtaken is repeated about as soon as a watch shows by
	// what.
	staleFirst = 20 * time.Millisecond
	staleMost  = 5 * time.Second
)

// streak is how often in a row something happened, and when last.
type streak struct {
	count int
	last  time.Time

	writers    []string // of repairs: whose change it was
	message    string   // of failures: what went wrong
	generation int64    // of failures: with which spec
}

// delay doubles with each time.
func (s streak) delay(first, most time.Duration) time.Duration {
	if s.count == 0 {
		return 0
	}
	return min(first<<min(s.count-1, 20), most)
}

// streaks remembers streaks by object. They live in memory only: a restarted
// operator begins with patience anew.
type streaks struct {
	mu    sync.Mutex
	byKey map[client.ObjectKey]streak
}

func newStreaks() streaks { return streaks{byKey: map[client.ObjectKey]streak{}} }

func (s *streaks) get(key client.ObjectKey) streak {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byKey[key]
}

func (s *streaks) put(key client.ObjectKey, value streak) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byKey[key] = value
}

func (s *streaks) forget(key client.ObjectKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byKey, key)
}

// repairs counts repairs of what others changed.
type repairs struct{ streaks }

// note counts one repair of what the writers, if they are known, changed.
func (r *repairs) note(key client.ObjectKey, now time.Time, writers []string) {
	earlier := r.get(key)
	if !now.Before(quietAt(earlier)) {
		earlier.count = 0
	}
	if len(writers) == 0 {
		writers = earlier.writers
	}
	r.put(key, streak{count: earlier.count + 1, last: now, writers: writers})
}

// observe says when the next repair may be, and whether the last ones were too
// many in a row.
func (r *repairs) observe(key client.ObjectKey, now time.Time) lifecycle.Repairs {
	row := r.get(key)
	if row.count == 0 {
		return lifecycle.Repairs{}
	}
	if !now.Before(quietAt(row)) {
		r.forget(key)
		return lifecycle.Repairs{}
	}
	return lifecycle.Repairs{
		NotBefore: row.last.Add(row.delay(repairFirst, repairMost)),
		Contested: row.count >= contestedAfter,
		QuietAt:   quietAt(row),
		Writers:   row.writers,
	}
}

// quietAt is when a streak is over: after as long again as the next repair
// would have waited, and a minute at least.
func quietAt(row streak) time.Time {
	return row.last.Add(max(2*row.delay(repairFirst, repairMost), time.Minute))
}

// conflicts remembers which objects want a Secret that belongs to somebody
// else.
type conflicts struct{ streaks }

// note counts one look that found somebody else's Secret, and says when to look
// again.
func (c *conflicts) note(key client.ObjectKey, now time.Time) (recheck time.Time) {
	row := c.get(key)
	if next := row.last.Add(row.delay(conflictFirst, conflictMost)); row.count > 0 && now.Before(next) {
		return next
	}
	row = streak{count: row.count + 1, last: now}
	c.put(key, row)
	return now.Add(row.delay(conflictFirst, conflictMost))
}

func (c *conflicts) known(key client.ObjectKey) bool { return c.get(key).count > 0 }

// failures remembers issues that failed.
type failures struct{ streaks }

// note counts one under this generation of the spec.
func (f *failures) note(key client.ObjectKey, now time.Time, generation int64, message string) {
	count := 1
	if earlier := f.get(key); earlier.generation == generation {
		count = earlier.count + 1
	}
	f.put(key, streak{count: count, last: now, message: message, generation: generation})
}

// observe says when the next try may be. A changed spec is tried at once.
func (f *failures) observe(key client.ObjectKey, generation int64) lifecycle.Failure {
	row := f.get(key)
	if row.count == 0 || row.generation != generation {
		return lifecycle.Failure{}
	}
	return lifecycle.Failure{NotBefore: row.last.Add(row.delay(failureFirst, failureMost)), Message: row.message}
}

// overtaken remembers passes in a row that were overtaken.
type overtaken struct{ streaks }

// note counts one, and says how soon to try again.
func (o *overtaken) note(key client.ObjectKey) (retry time.Duration) {
	row := streak{count: o.get(key).count + 1}
	o.put(key, row)
	return row.delay(staleFirst, staleMost)
}
