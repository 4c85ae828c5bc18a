package program

import (
	"context"
	"log/slog"
)

// probeFailed is what controller-runtime logs whenever somebody asks a program
// that is not ready, with the reasons left out.
const probeFailed = "healthz check failed"

// quiet is a log without probes that failed: Readiness says why, once.
type quiet struct{ slog.Handler }

// Handle implements slog.Handler.
func (q quiet) Handle(ctx context.Context, record slog.Record) error {
	if record.Level == slog.LevelInfo && record.Message == probeFailed {
		return nil
	}
	return q.Handler.Handle(ctx, record)
}

// WithAttrs implements slog.Handler.
func (q quiet) WithAttrs(attributes []slog.Attr) slog.Handler {
	return quiet{q.Handler.WithAttrs(attributes)}
}

// WithGroup implements slog.Handler.
func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }
