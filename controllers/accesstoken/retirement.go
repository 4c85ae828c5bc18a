package accesstoken

import (
	"context"
	"fmt"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lastused"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
	"github.com/accesstoken-dev/accesstoken-operator/internal/policy"
)

const (
	// mountedRetry is how soon a token that is due to be taken back unused, but whose
	// Secret a Pod uses, is looked at again.
	mountedRetry = time.Hour
	// trackingRest is how long one look whether verifiers note uses does for all
	// tokens, where they do not yet.
	trackingRest = time.Minute
	// unjudgedRetry is how soon what could not be read is read again.
	unjudgedRetry = time.Minute
	// untrackedRetry is how soon a token is looked at again meanwhile.
	untrackedRetry = time.Hour
)

// observeRetirement reads what policies ask for of a token that nobody uses. Where it
// cannot be read since when uses are noted, nothing is due: the rest of the pass does
// not wait for that.
func (p *pass) observeRetirement(ctx context.Context, state *lifecycle.State, selecting []*v1alpha1.AccessTokenPolicy) {
	unusedFor, asked := policy.UnusedFor(selecting)
	if !asked || lifecycle.TakenBack(p.token) {
		return
	}
	since, err := p.tracking.since(ctx, p.Reconciler)
	if err != nil {
		p.unjudged(ctx, state, fmt.Errorf("read since when uses are noted: %w", err))
	}
	if err == nil && since.IsZero() {
		p.recheck = state.Now.Add(untrackedRetry)
	}
	state.Retirement = &lifecycle.Retirement{UnusedFor: unusedFor, TrackedSince: since}
}

// confirmUnused looks, before a token is taken back, at its records in the API
// server, of which the cache may lack a use, and at the Pods that may be about to
// use it. While that cannot be seen, the token is kept.
func (p *pass) confirmUnused(ctx context.Context, state *lifecycle.State) {
	if lifecycle.TakenBack(p.token) || !state.RetirementDue() {
		return
	}
	if until := p.mounted.until(p.key()); until.After(state.Now) {
		state.Retirement.Mounted, p.recheck = true, until
		return
	}
	err := p.rereadRecords(ctx, state)
	if err == nil && !state.RetirementDue() {
		return
	}
	used := false
	if err == nil {
		used, err = p.usedByPod(ctx, state)
	}
	switch {
	case err != nil:
		state.Retirement.Mounted = true
		p.unjudged(ctx, state, err)
	case used:
		state.Retirement.Mounted = true
		p.recheck = p.mounted.note(p.key(), state.Now)
	}
}

// unjudged tells why a token that may have to be taken back unused is kept, and has it
// looked at again soon.
func (p *pass) unjudged(ctx context.Context, state *lifecycle.State, why error) {
	log.FromContext(ctx).Error(why, "no unused token is taken back meanwhile")
	p.recheck = state.Now.Add(unjudgedRetry)
}

func (p *pass) rereadRecords(ctx context.Context, state *lifecycle.State) error {
	for i := range state.Records {
		live := &v1alpha1.TokenRecord{}
		err := p.Live.Get(ctx, client.ObjectKeyFromObject(state.Records[i].Object), live)
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("read record %s again before it is taken back: %w", state.Records[i].Object.Name, err)
		}
		if err == nil {
			state.Records[i] = p.open(live)
		}
	}
	return nil
}

// usedByPod says that a Pod which has not ended refers to a Secret of the token.
func (p *pass) usedByPod(ctx context.Context, state *lifecycle.State) (bool, error) {
	referred, err := p.podSecrets.read(ctx, p.Reconciler, p.token.Namespace)
	if err != nil {
		return false, fmt.Errorf("list the Pods that may use a Secret of AccessToken %s: %w", p.key(), err)
	}
	for _, secret := range state.Secrets {
		if referred[secret.Name] {
			return true, nil
		}
	}
	return false, nil
}

// tracking remembers since when uses are noted, which is written once. Safe for
// concurrent use.
type tracking struct {
	mu     sync.Mutex
	known  time.Time
	looked time.Time
}

// since is when verifiers began to note uses; zero while they do not.
func (t *tracking) since(ctx context.Context, r *Reconciler) (time.Time, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := r.Clock.Now()
	if !t.known.IsZero() || !t.looked.IsZero() && now.Sub(t.looked).Abs() < trackingRest {
		return t.known, nil
	}
	since, tracked, err := lastused.TrackedSince(ctx, r.Live, r.Namespace)
	if t.looked = now; tracked {
		t.known = since
	}
	return t.known, err
}

// mounted remembers which tokens that are due to be taken back were last seen used by
// a Pod, so that an edit of such an AccessToken lists no Pods.
type mounted struct{ streaks }

// note says until when a token counts as used that was seen so.
func (m *mounted) note(key client.ObjectKey, now time.Time) (until time.Time) {
	m.put(key, streak{last: now})
	return now.Add(mountedRetry)
}

// until is until when a token counts as used; long ago for one that was never seen so.
func (m *mounted) until(key client.ObjectKey) time.Time { return m.get(key).last.Add(mountedRetry) }
