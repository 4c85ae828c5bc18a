package store

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// DefaultMaxStaleness is how long answers go on after nothing was heard from the
// API server any more.
const DefaultMaxStaleness = 5 * time.Minute

// Kind is what is watched.
type Kind int

// The kinds, each with a watch of its own.
const (
	KindTokenRecord Kind = iota
	KindAccessToken
	KindNamespace
	KindServiceAccount
	KindKeySecret
	KindTokenRevocation
	KindClusterTokenRevocation
	kinds
)

// Freshness is when each watched kind was last heard of: by an event, or by a
// bookmark, which the API server sends each minute where nothing happens. The
// zero Freshness has heard of none. It is safe for concurrent use.
type Freshness struct{ heard [kinds]atomic.Int64 }

// Hear notes that a kind was heard of.
func (f *Freshness) Hear(kind Kind, now time.Time) { f.heard[kind].Store(now.UnixNano()) }

// Staleness is how long ago the kind was heard of that was silent for longest;
// ok is false while one of them was never heard of.
func (f *Freshness) Staleness(now time.Time) (staleness time.Duration, ok bool) {
	oldest := int64(math.MaxInt64)
	for i := range f.heard {
		oldest = min(oldest, f.heard[i].Load())
	}
	if oldest == 0 {
		return 0, false
	}
	// A clock that was set back makes what was heard lie in the future: how long ago
	// it was is then not known, and as much is assumed.
	return time.Duration(now.UnixNano() - oldest).Abs(), true
}

// Check says whether what was read can be trusted: nil, verify.ErrNotReady
// before everything was read once, verify.ErrStale when a kind was silent for
// longer than most.
func (f *Freshness) Check(now time.Time, most time.Duration) error {
	staleness, ok := f.Staleness(now)
	switch {
	case !ok:
		return verify.ErrNotReady
	case staleness > most:
		return verify.ErrStale
	}
	return nil
}
