package program_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/accesstoken-dev/accesstoken-operator/internal/program"
)

// watched is what Readiness said of a program, with a clock that a test steps.
type watched struct {
	t     *testing.T
	clock *clocktesting.FakeClock
	looks atomic.Int64
	why   atomic.Pointer[error]
	log   *bytes.Buffer
	stop  func() error
}

func watch(t *testing.T) *watched {
	t.Helper()
	w := &watched{t: t, clock: clocktesting.NewFakeClock(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)), log: &bytes.Buffer{}}
	r := &program.Readiness{
		Check: func() error {
			defer w.looks.Add(1)
			if why := w.why.Load(); why != nil {
				return *why
			}
			return nil
		},
		Meanwhile: "nothing works", Clock: w.clock, Log: logr.FromSlogHandler(slog.NewJSONHandler(w.log, nil)),
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Start(ctx) }()
	w.stop = func() error {
		cancel()
		return <-ended
	}
	gomega.NewWithT(t).Eventually(w.clock.HasWaiters).Should(gomega.BeTrue())
	return w
}

// pass lets seconds go by, in each of which the program is looked at.
func (w *watched) pass(seconds int, why error) {
	w.t.Helper()
	w.why.Store(&why)
	for range seconds {
		before := w.looks.Load()
		w.clock.Step(time.Second)
		gomega.NewWithT(w.t).Eventually(w.looks.Load).Should(gomega.Equal(before + 1))
	}
}

func (w *watched) lines() (lines []map[string]any) {
	w.t.Helper()
	if err := w.stop(); err != nil {
		w.t.Error(err)
	}
	for line := range bytes.Lines(w.log.Bytes()) {
		var fields map[string]any
		if err := json.Unmarshal(line, &fields); err != nil {
			w.t.Fatal(err)
		}
		delete(fields, "time")
		lines = append(lines, fields)
	}
	return lines
}

func TestEachChangeOfReadinessIsToldOnce(t *testing.T) {
	g := gomega.NewWithT(t)
	w := watch(t)
	w.pass(3, errors.New("the keys were not read yet"))
	w.pass(60, nil)
	w.pass(600, errors.New("nothing was heard"))
	w.pass(60, nil)
	w.pass(1, errors.New("nothing was heard"))
	g.Expect(w.lines()).To(gomega.Equal([]map[string]any{
		{"level": "INFO", "msg": "ready", "notReadySince": "2026-11-24T12:00:00Z", "for": "4s"},
		{"level": "ERROR", "msg": "not ready", "err": "nothing was heard", "since": "2026-11-24T12:01:04Z", "meanwhile": "nothing works"},
		{"level": "INFO", "msg": "ready", "notReadySince": "2026-11-24T12:01:04Z", "for": "10m0s"},
		{"level": "ERROR", "msg": "not ready", "err": "nothing was heard", "since": "2026-11-24T12:12:04Z", "meanwhile": "nothing works"},
	}))
}

func TestAStartThatTakesLongSaysWhatItWaitsFor(t *testing.T) {
	g := gomega.NewWithT(t)
	w := watch(t)
	w.pass(14, errors.New("forbidden"))
	g.Expect(w.log.String()).To(gomega.BeEmpty())
	w.pass(60, errors.New("forbidden"))
	g.Expect(w.lines()).To(gomega.Equal([]map[string]any{
		{"level": "ERROR", "msg": "not ready", "err": "forbidden", "since": "2026-11-24T12:00:00Z", "meanwhile": "nothing works"},
	}))
}
