package lastused

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"k8s.io/utils/clock"

	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/untrusted"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// Defaults of Options.
const (
	DefaultVisibility      = 10 * time.Minute
	DefaultWritesPerSecond = 50
	DefaultGrace           = 10 * time.Second
)

const (
	// interval is how often the noted uses are gone through. The shortest maxAge in
	// development is 2 s, half of which is left when its use is written.
	interval = 250 * time.Millisecond

	// inFlight is how many writes are on their way at once.
	inFlight = 16

	// writeTimeout bounds one write, lest one that hangs keeps its place for ever.
	writeTimeout = 10 * time.Second

	// mostNoted bounds how many tokens a use is kept of, at about 200 bytes each
	// beside the names of clients and hosts. Beyond it only those are taken in that
	// use extends.
	mostNoted = 100_000

	// What is kept of a client's name and of a host, in bytes.
	mostAgent = 256
	mostHost  = 255
)

// Options are what a Recorder is made of.
type Options struct {
	// Index finds a token's record as it is now.
	Index verify.Index

	// Writer writes to records.
	Writer Writer

	// Clock tells the time.
	Clock clock.WithTicker

	// Visibility is how often the use of one token is written at most, unless its
	// end depends on it. Zero means DefaultVisibility.
	Visibility time.Duration

	// WritesPerSecond bounds all writes of this replica. Zero means
	// DefaultWritesPerSecond.
	WritesPerSecond float64

	// Grace is how long Start goes on writing after its context has ended. Zero
	// means DefaultGrace.
	Grace time.Duration

	// Observe is told of the outcome of each write. It must not block. Nil is
	// silent.
	Observe func(Outcome)

	// Log is told of writes that fail, once a minute at most.
	Log logr.Logger
}

// Recorder notes uses and writes them. It is safe for concurrent use.
type Recorder struct {
	options Options
	budget  *rate.Limiter
	tell    *rate.Limiter
	places  chan struct{} // one taken for each write on its way
	left    chan struct{} // a place was left while others wait
	writes  sync.WaitGroup

	shards  [64]shard
	noted   atomic.Int64 // entries in all shards
	pending atomic.Int64 // those with a use that is not written
	overdue atomic.Int64 // those that waited for budget or a place when last looked at
}

type shard struct {
	mu   sync.Mutex
	uses map[token.ID]*use
}

// use is the last use of one token, and how far it is written.
type use struct {
	second   int64 // of the last use, Unix
	first    int64 // of the earliest use that is not written, Unix
	protocol verify.Protocol
	from     netip.Addr
	agent    unique.Handle[string]
	host     unique.Handle[string]

	pending   bool      // there is a use that is not written
	writing   bool      // a write is on its way
	due       time.Time // when to look at it next
	written   int64     // what this replica wrote last, Unix
	writtenAt time.Time // when it did
	tried     string    // the resourceVersion that it last wrote over, or met another writer at
	failures  int       // in a row
}

// New makes a Recorder.
func New(options Options) *Recorder {
	if options.Visibility == 0 {
		options.Visibility = DefaultVisibility
	}
	if options.WritesPerSecond == 0 {
		options.WritesPerSecond = DefaultWritesPerSecond
	}
	if options.Grace == 0 {
		options.Grace = DefaultGrace
	}
	if options.Observe == nil {
		options.Observe = func(Outcome) {}
	}
	r := &Recorder{
		options: options,
		// What one look may write at once, so that no second sees more than the budget
		// and a little.
		budget: rate.NewLimiter(rate.Limit(options.WritesPerSecond), max(1, int(options.WritesPerSecond*interval.Seconds()))),
		tell:   rate.NewLimiter(rate.Every(time.Minute), 1),
		places: make(chan struct{}, inFlight),
		left:   make(chan struct{}, 1),
	}
	for i := range r.shards {
		r.shards[i].uses = map[token.ID]*use{}
	}
	return r
}

// Around returns a Verifier that answers as the other one does, and notes each
// accepted use that is not a probe.
func (r *Recorder) Around(next verify.Verifier) verify.Verifier {
	return verify.Func(func(ctx context.Context, request verify.Request) (verify.Verdict, error) {
		verdict, err := next.Verify(ctx, request)
		if err == nil && !request.Probe && verdict.Active() {
			if now := r.options.Clock.Now(); verdict.Token.Note(now) {
				r.note(verdict.Token, &request, now)
			}
		}
		return verdict, err
	})
}

// Pending is how many tokens have a use that is not written yet, most of them
// because the last write is not long ago.
func (r *Recorder) Pending() int { return int(r.pending.Load()) }

// Overdue is how many of them are due and wait for the budget, or for a write to
// come back.
func (r *Recorder) Overdue() int { return int(r.overdue.Load()) }

func (r *Recorder) shard(id token.ID) *shard {
	return &r.shards[(int(id[len(id)-1])^int(id[len(id)-2])<<3)%len(r.shards)]
}

// note keeps a use. It comes here once a second at most for each token.
func (r *Recorder) note(t *verify.Token, request *verify.Request, now time.Time) {
	id, s := t.Key(), r.shard(t.Key())
	agent := unique.Make(untrusted.Text(request.UserAgent, mostAgent))
	host := unique.Make(untrusted.Text(request.Host, mostHost))
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.uses[id]
	if u == nil {
		if _, sliding := t.Lifetime().Sliding(); !sliding && r.noted.Load() >= mostNoted {
			r.options.Observe(OutcomeDropped)
			return
		}
		u = &use{}
		s.uses[id] = u
		r.noted.Add(1)
	}
	u.second, u.protocol, u.from, u.agent, u.host = now.Unix(), request.Protocol, request.ClientIP.Unmap().WithZone(""), agent, host
	if !u.pending {
		u.pending, u.first, u.due = true, u.second, now
		r.pending.Add(1)
	}
}
