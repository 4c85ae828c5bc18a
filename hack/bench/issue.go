package main

import (
	"context"
	"fmt"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// issued is a run in which the manager issued tokens.
type issued struct {
	tokens  []*v1alpha1.AccessToken // as they were created
	elapsed time.Duration           // from the first create to the last Ready
	ready   spread                  // of each token, from the sending of its create
}

// issue declares n tokens, as many at once as there are writers, and waits until
// all of them are Ready.
func (l *lab) issue(ctx context.Context, namespace string, n int, declare func(namespace, name string) *v1alpha1.AccessToken) (*issued, error) {
	readyAt := make(map[string]time.Time, n)
	watch, err := l.watchTokens(ctx, namespace, func(e event) bool {
		name := e.Object.Metadata.Name
		if ready, _ := e.ready(); ready && readyAt[name].IsZero() {
			readyAt[name] = e.at
		}
		return len(readyAt) == n
	})
	if err != nil {
		return nil, err
	}
	run := &issued{tokens: make([]*v1alpha1.AccessToken, n)}
	sentAt := make([]time.Time, n)
	start := time.Now()
	err = parallel(ctx, n, func(ctx context.Context, i int) error {
		run.tokens[i] = declare(namespace, numbered(i))
		sentAt[i] = time.Now()
		return l.admin.Create(ctx, run.tokens[i])
	})
	if err != nil {
		watch.cancel()
		return nil, fmt.Errorf("create AccessToken: %w", err)
	}
	if err := watch.wait(); err != nil {
		return nil, fmt.Errorf("wait until %d tokens are Ready: %w", n, err)
	}
	last := start
	for i, token := range run.tokens {
		at := readyAt[token.Name]
		run.ready = append(run.ready, at.Sub(sentAt[i]))
		if at.After(last) {
			last = at
		}
	}
	run.elapsed = last.Sub(start)
	return run, nil
}
