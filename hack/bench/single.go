package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

const (
	singleTokens = 100
	singlePause  = 50 * time.Millisecond
	aimSingle    = 50.0 // ms
)

// measureSingle declares one token after the other, each in an idle cluster.
func measureSingle(ctx context.Context, b *bench, r *results) (err error) {
	l, err := b.openLab(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.shut()) }()
	if err := l.startManager(ctx); err != nil {
		return err
	}
	if _, err := l.takeSample(ctx); err != nil {
		return err
	}
	const namespace = "single"
	if err := l.createNamespace(ctx, namespace); err != nil {
		return err
	}
	b.say("one token at a time, %d times", singleTokens)
	took, err := l.oneByOne(ctx, namespace)
	if err != nil {
		return err
	}
	r.add("one token alone: created to Ready, p50", milliseconds(took.quantile(0.5)), "ms", aim{})
	r.add("one token alone: created to Ready, p99", milliseconds(took.quantile(0.99)), "ms", atMost(aimSingle))
	return l.reportBad(ctx, namespace, "one token alone: ", r)
}

func (l *lab) oneByOne(ctx context.Context, namespace string) (spread, error) {
	readyAt := make(chan event, singleTokens) // Ready comes once for each, here
	seen := map[string]bool{}
	watch, err := l.watchTokens(ctx, namespace, func(e event) bool {
		if ready, _ := e.ready(); ready && !seen[e.Object.Metadata.Name] {
			seen[e.Object.Metadata.Name] = true
			readyAt <- e
		}
		return len(seen) == singleTokens
	})
	if err != nil {
		return nil, err
	}
	defer watch.cancel()
	var took spread
	for i := range singleTokens {
		token := declared(namespace, numbered(i))
		sent := time.Now()
		if err := l.admin.Create(ctx, token); err != nil {
			return nil, fmt.Errorf("create AccessToken: %w", err)
		}
		at, err := readyOrBroken(watch, readyAt, token)
		if err != nil {
			return nil, err
		}
		took = append(took, at.Sub(sent))
		if err := pause(ctx, singlePause); err != nil {
			return nil, err
		}
	}
	return took, nil
}

func readyOrBroken(w *watch, ready <-chan event, token *v1alpha1.AccessToken) (time.Time, error) {
	select {
	case e := <-ready:
		return e.at, nil
	default:
	}
	select {
	case e := <-ready:
		return e.at, nil
	case err := <-w.ended:
		if err == nil { // it was the last, and both came at once
			return (<-ready).at, nil
		}
		return time.Time{}, fmt.Errorf("wait until %s is Ready: %w", token.Name, err)
	}
}

// reportBad fails the run where a Secret holds no good token, and says which.
func (l *lab) reportBad(ctx context.Context, namespace, name string, r *results) error {
	bad, err := l.badSecrets(ctx, namespace)
	if err != nil {
		return err
	}
	for _, err := range bad[:min(len(bad), 3)] {
		l.say("wrong: %s", err)
	}
	r.add(name+"Secrets without a good token", float64(len(bad)), "", mustBeZero())
	return nil
}
