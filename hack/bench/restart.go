package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	aimRestart     = 20 * time.Second
	restartTimeout = 3 * time.Minute

	reconciles = "controller_runtime_reconcile_total"
	queued     = "workqueue_depth"
)

// measureRestart ends the running manager, which holds n tokens, in good order,
// as an upgrade does, and starts it again: how long until it has looked at every
// token, and what it asked of the API server to do so.
func (l *lab) measureRestart(ctx context.Context, n int, r *results) error {
	if err := l.stopManager(); err != nil {
		return err
	}
	mark, err := l.auditMark()
	if err != nil {
		return err
	}
	start := time.Now()
	if err := l.startManager(ctx); err != nil {
		return err
	}
	inHand, err := l.allInHand(ctx, n)
	if err != nil {
		return err
	}
	requests, others, err := l.managerRequests(mark, issueNamespace)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("restart with %d: ", n)
	r.add(name+"all in hand", inHand.Sub(start).Seconds(), "s", atMost(aimRestart.Seconds()))
	r.add(name+"requests about tokens", float64(requests.total()), "", mustBeZero())
	r.add(name+"requests about no token", float64(others.total()), "", aim{})
	if stat, err := l.managerStat(); err != nil {
		return err
	} else if hasProc() {
		r.add(name+"manager peak memory", stat.peakRSS, "MB", atMost(peakAim(n)))
		r.add(name+"manager memory", stat.rss, "MB", aim{})
		r.add(name+"manager CPU per token", milliseconds(stat.cpu)/float64(n), "ms", aim{})
	}
	return nil
}

// allInHand waits until the manager has looked at n tokens and has nothing left
// to do, and says since when.
func (l *lab) allInHand(ctx context.Context, n int) (since time.Time, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, restartTimeout, errors.New("not all tokens were looked at"))
	defer cancel()
	for {
		since, err = l.quietSince(ctx)
		if err != nil {
			return since, err
		}
		counted, err := l.counters(ctx, reconciles, queued)
		if err != nil {
			return since, err
		}
		if int(counted[reconciles]) >= n && counted[queued] == 0 {
			return since, nil
		}
	}
}

// awaitLead waits until a manager that was just started leads and has taken in
// what there is.
func (l *lab) awaitLead(ctx context.Context) error {
	_, err := l.allInHand(ctx, 1) // the sample
	return err
}
