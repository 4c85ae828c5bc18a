package main

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// writers is how many requests a plain client has under way at once.
const writers = 32

// parallel calls do for 0 to n-1, as many at once as there are writers, and
// returns when all have returned: with the first error, after which no other is
// begun.
func parallel(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return do(ctx, i) })
	}
	return group.Wait()
}

// pause waits, or returns early with the context's error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
