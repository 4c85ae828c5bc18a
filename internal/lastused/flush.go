package lastused

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// Start writes what is noted until the context ends, and then, for the grace
// period at most, all that is left, over the budget and without regard to when
// the last write was. What meets another writer then is decided by the record's
// new state, so the watches have to run on until Start returns.
func (r *Recorder) Start(ctx context.Context) error {
	ticker := r.options.Clock.NewTicker(interval)
	defer ticker.Stop()
	writes, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-ticker.C():
			r.flush(writes, false)
		case <-r.left:
			r.flush(writes, false)
		}
	}
	over := r.options.Clock.NewTimer(r.options.Grace)
	defer over.Stop()
	closing, end := context.WithCancel(writes)
	defer end()
	go func() {
		select {
		case <-over.C():
			end()
		case <-closing.Done():
		}
	}()
	for r.flush(closing, true); r.Pending() > 0; r.flush(closing, true) {
		select {
		case <-ticker.C():
		case <-closing.Done():
			r.abandon()
			return nil
		}
	}
	r.writes.Wait()
	return nil
}

// NeedLeaderElection says that every replica writes what it saw.
func (r *Recorder) NeedLeaderElection() bool { return false }

// abandon counts what is not written when there is no more time.
func (r *Recorder) abandon() {
	left := r.Pending()
	for range left {
		r.options.Observe(OutcomeDropped)
	}
	r.options.Log.Info("some last uses were not written before the end", "tokens", left)
}

const (
	// lookAgain is how long a use is left alone at most: status.maxAgeSeconds may
	// have become lower meanwhile.
	lookAgain = 15 * time.Second

	// What failed is tried again after a second, and ever more seldom.
	firstRetry  = time.Second
	latestRetry = 30 * time.Second
)

// candidate is a use that is due.
type candidate struct {
	id    token.ID
	use   use
	plan  plan
	token *verify.Token
}

// flush goes through what is noted and sends off what is due, the most urgent
// first, as far as the budget and the places go. What is closing is all due, and
// needs no budget.
func (r *Recorder) flush(ctx context.Context, closing bool) {
	now := r.options.Clock.Now()
	var ready []candidate
	for i := range r.shards {
		ready = append(ready, r.shards[i].due(r, now, closing)...)
	}
	slices.SortFunc(ready, func(a, b candidate) int { return a.plan.before(b.plan) })
	sent := 0
	for _, c := range ready {
		if !r.take(ctx, closing) {
			break
		}
		sent++
		r.send(ctx, c)
	}
	r.overdue.Store(int64(len(ready) - sent))
}

// take gets a place and budget for one write. At the end it waits for a place:
// there is nothing else to do.
func (r *Recorder) take(ctx context.Context, closing bool) bool {
	if closing {
		select {
		case r.places <- struct{}{}:
			return true
		case <-ctx.Done():
			return false
		}
	}
	select {
	case r.places <- struct{}{}:
	default:
		return false
	}
	if r.budget.AllowN(r.options.Clock.Now(), 1) {
		return true
	}
	<-r.places
	return false
}

// leave gives a place back, and has those looked at that wait for one.
func (r *Recorder) leave() {
	<-r.places
	if r.overdue.Load() > 0 {
		select {
		case r.left <- struct{}{}:
		default: // it is known already
		}
	}
}

// due looks at what may be due, forgets what is done with, and returns what is to
// be written now.
func (s *shard) due(r *Recorder, now time.Time, closing bool) []candidate {
	visibility := r.options.Visibility
	if closing {
		visibility = -r.options.Visibility // the last write was long enough ago
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var ready []candidate
	for id, u := range s.uses {
		switch {
		case u.writing:
		case !u.pending:
			// It is kept for as long as the next write has to wait for this one.
			if now.Sub(u.writtenAt) >= r.options.Visibility {
				delete(s.uses, id)
				r.noted.Add(-1)
			}
		case !now.Before(u.due), closing && u.failures == 0:
			t := r.options.Index.Lookup(id)
			p := decide(t, *u, now, visibility)
			switch {
			case p.drop:
				r.done(u)
			case p.stuck:
			case now.Before(p.at):
				u.due = earliest(p.at, now.Add(lookAgain))
			default:
				ready = append(ready, candidate{id: id, use: *u, plan: p, token: t})
			}
		}
	}
	return ready
}

// done notes that nothing of a use is left to write.
func (r *Recorder) done(u *use) {
	u.pending = false
	r.pending.Add(-1)
}

// send writes one use, beside others.
func (r *Recorder) send(ctx context.Context, c candidate) {
	s := r.shard(c.id)
	s.mu.Lock()
	s.uses[c.id].writing = true
	s.mu.Unlock()
	r.writes.Go(func() {
		defer r.leave()
		bounded, cancel := context.WithTimeout(ctx, writeTimeout)
		defer cancel()
		err := r.options.Writer.WriteUse(bounded, c.written())
		outcome := outcomeOf(err)
		r.settle(c, outcome)
		r.options.Observe(outcome)
		if outcome == OutcomeFailed && r.tell.AllowN(r.options.Clock.Now(), 1) {
			r.options.Log.Error(err, "the last use of a token was not written, it is tried again", "namespace", c.token.Namespace(), "tokenID", c.token.ID())
		}
	})
}

// written is the use as it is written.
func (c candidate) written() Use {
	w := Use{
		Namespace: c.token.Namespace(), Name: c.token.ID(), ResourceVersion: c.token.ResourceVersion(),
		LastUsedAt:    v1alpha1.NewTimestamp(time.Unix(c.plan.lastUsedAt, 0)),
		LastUserAgent: c.use.agent.Value(),
		LastUsedFor:   string(c.use.protocol),
	}
	if c.use.from.IsValid() {
		w.LastUsedFrom = c.use.from.String()
	}
	if host := c.use.host.Value(); host != "" {
		w.LastUsedFor = strings.TrimSpace(w.LastUsedFor + " " + host)
	}
	return w
}

// settle folds in what came of a write.
func (r *Recorder) settle(c candidate, outcome Outcome) {
	now := r.options.Clock.Now()
	s := r.shard(c.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.uses[c.id]
	u.writing, u.due = false, now
	switch outcome {
	case OutcomeWritten:
		u.written, u.writtenAt, u.failures = c.plan.lastUsedAt, now, 0
		u.tried = c.token.ResourceVersion()
		_, sliding := c.token.Lifetime().Sliding()
		if last, _ := lastUsedAt(*u, sliding); last <= u.written {
			r.done(u)
		}
		u.first = u.second
	case OutcomeConflict:
		u.failures, u.tried = 0, c.token.ResourceVersion()
	case OutcomeGone:
		r.done(u)
		delete(s.uses, c.id)
		r.noted.Add(-1)
	default:
		u.failures++
		u.due = now.Add(min(firstRetry<<min(u.failures-1, 16), latestRetry))
	}
}
