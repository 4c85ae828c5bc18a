package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

const (
	drainTokens = 1000
	aimDrain    = 0.85

	// drainNotice is given before the due moment, so that all tokens are issued
	// and the manager is quiet by then: even a slow machine issues 40 a second.
	drainNotice = 10*time.Second + drainTokens*time.Second/40
)

// measureDrain has a thousand tokens fall due at one instant, and compares how
// fast they are rotated with a plain client that writes the same.
func measureDrain(ctx context.Context, b *bench, r *results) (err error) {
	l, err := b.openLab(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.shut()) }()
	if err := l.startManager(ctx); err != nil {
		return err
	}
	sample, err := l.takeSample(ctx)
	if err != nil {
		return err
	}
	if err := l.stopManager(); err != nil {
		return err
	}
	b.say("%d rotations at one instant: the floor, before the operator", drainTokens)
	if _, err := l.floorOfIssue(ctx, "floor", drainTokens, sample); err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	before, err := l.floorOfRotation(ctx, "floor", sample)
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	if err := l.clear(ctx, "floor"); err != nil {
		return err
	}
	b.say("%d rotations at one instant: the operator", drainTokens)
	if err := l.startManager(ctx); err != nil {
		return err
	}
	run, err := l.drain(ctx, "drain")
	if err != nil {
		return err
	}
	if err := l.stopManager(); err != nil {
		return err
	}
	b.say("%d rotations at one instant: the floor, after the operator", drainTokens)
	after, err := l.floorOfRotation(ctx, "drain", sample)
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	run.report(r, between(before, after))
	return nil
}

// drained is a run in which everything fell due at once.
type drained struct {
	elapsed time.Duration // from the due moment to the last status
	cost
	early int
	bad   int
}

func (l *lab) drain(ctx context.Context, namespace string) (*drained, error) {
	if err := l.createNamespace(ctx, namespace); err != nil {
		return nil, err
	}
	if err := l.awaitLead(ctx); err != nil {
		return nil, err
	}
	due := time.Now().Add(drainNotice).Truncate(time.Second)
	_, err := l.issue(ctx, namespace, drainTokens, func(namespace, name string) *v1alpha1.AccessToken {
		token := declared(namespace, name)
		token.Spec.Rotation = &v1alpha1.Rotation{NotIssuedBefore: v1alpha1.NewTimestamp(due), Overlap: "1h"}
		return token
	})
	if err != nil {
		return nil, err
	}
	if err := l.waitQuiet(ctx); err != nil {
		return nil, err
	}
	if time.Now().After(due) {
		return nil, fmt.Errorf("the issue of %d tokens took longer than %s: this machine is too slow or too busy", drainTokens, drainNotice)
	}
	run := &drained{}
	before, err := l.cpuTimes()
	if err != nil {
		return nil, err
	}
	if err := l.awaitRotated(ctx, namespace, due, run); err != nil {
		return nil, err
	}
	if err := l.waitQuiet(ctx); err != nil {
		return nil, err
	}
	after, err := l.cpuTimes()
	if err != nil {
		return nil, err
	}
	run.cost = after.since(before, drainTokens)
	bad, err := l.badSecrets(ctx, namespace)
	run.bad = len(bad)
	return run, err
}

func (l *lab) awaitRotated(ctx context.Context, namespace string, due time.Time, run *drained) error {
	rotated := map[string]bool{}
	watch, err := l.watchTokens(ctx, namespace, func(e event) bool {
		if e.Object.Status.Revision < 2 {
			return false
		}
		rotated[e.Object.Metadata.Name] = true
		if e.at.Before(due) {
			run.early++
		}
		run.elapsed = e.at.Sub(due)
		return len(rotated) == drainTokens
	})
	if err != nil {
		return err
	}
	return watch.wait()
}

func (run *drained) report(r *results, floor pace) {
	name := fmt.Sprintf("%d rotations at one instant: ", drainTokens)
	r.addBeside(name+"rate", drainTokens/run.elapsed.Seconds(), floor.perSecond, "tokens/s", leastRatio(aimDrain))
	r.reportCPU(name, run.cost, floor.cost, aim{})
	r.add(name+"early", float64(run.early), "", mustBeZero())
	r.add(name+"Secrets without a good token", float64(run.bad), "", mustBeZero())
}
