package program

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

const (
	// lookEvery is how often readiness is looked at.
	lookEvery = time.Second

	// startPatience is how long a program may take to get ready before the log says
	// what it waits for.
	startPatience = 15 * time.Second
)

// Readiness tells the log of each change between ready and not, once: probes ask
// all the time, and nobody reads what they are told. It is a manager.Runnable.
type Readiness struct {
	// Check is nil while the program is ready; else its error says what is missing
	// and what to do. It must not block.
	Check func() error

	// Meanwhile says what does not work while the program is not ready. Empty says
	// nothing.
	Meanwhile string

	Clock clock.WithTicker
	Log   logr.Logger

	ready, told bool
	since       time.Time
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: each replica is
// ready or not.
func (r *Readiness) NeedLeaderElection() bool { return false }

// Start looks until the context ends.
func (r *Readiness) Start(ctx context.Context) error {
	r.since = r.Clock.Now()
	ticker := r.Clock.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
			r.look()
		}
	}
}

func (r *Readiness) look() {
	now, err := r.Clock.Now(), r.Check()
	switch {
	case err == nil && !r.ready:
		r.Log.Info("ready", "notReadySince", r.since.UTC().Format(time.RFC3339), "for", now.Sub(r.since).Round(time.Second).String())
		r.ready, r.told, r.since = true, false, now
	case err != nil && r.ready:
		r.ready, r.since = false, now
		r.tell(err)
	case err != nil && !r.told && now.Sub(r.since) >= startPatience:
		r.tell(err)
	}
}

func (r *Readiness) tell(err error) {
	r.told = true
	fields := []any{"since", r.since.UTC().Format(time.RFC3339)}
	if r.Meanwhile != "" {
		fields = append(fields, "meanwhile", r.Meanwhile)
	}
	r.Log.Error(err, "not ready", fields...)
}
