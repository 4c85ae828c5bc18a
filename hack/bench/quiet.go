package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	quietStep = 100 * time.Millisecond

	// quietSteps steps in a row with next to no CPU time mean that the manager
	// has nothing to do. What it does when idle takes less than one tick a step.
	quietSteps = 8

	quietTimeout = 5 * time.Minute
)

// waitQuiet waits until the manager has nothing to do, as its CPU time shows.
// Asking for its metrics would be work by itself.
func (l *lab) waitQuiet(ctx context.Context) error {
	_, err := l.quietSince(ctx)
	return err
}

// quietSince waits as waitQuiet does, and says since when the manager has been
// quiet.
func (l *lab) quietSince(ctx context.Context) (since time.Time, err error) {
	if !hasProc() {
		return time.Now(), pause(ctx, quietSteps*quietStep)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, quietTimeout, errors.New("the manager is never quiet"))
	defer cancel()
	before, err := l.managerStat()
	if err != nil {
		return time.Time{}, err
	}
	since = time.Now()
	for steps := 0; steps < quietSteps; steps++ {
		if err := pause(ctx, quietStep); err != nil {
			return time.Time{}, err
		}
		now, err := l.managerStat()
		if err != nil {
			return time.Time{}, err
		}
		if now.cpu-before.cpu > clockTick {
			steps, since = -1, time.Now()
		}
		before = now
	}
	return since, nil
}

// counters reads some of the manager's metrics; those with labels are summed.
func (l *lab) counters(ctx context.Context, names ...string) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, l.manager.MetricsURL(), nil) //nolint:gosec // on loopback
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request) //nolint:gosec // on loopback
	if err != nil {
		return nil, fmt.Errorf("metrics of the manager: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	sums := map[string]float64{}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		for _, name := range names {
			rest, found := strings.CutPrefix(lines.Text(), name)
			if !found || (rest != "" && rest[0] != ' ' && rest[0] != '{') {
				continue
			}
			value, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
			if err != nil {
				return nil, fmt.Errorf("metrics of the manager: %s: %w", name, err)
			}
			sums[name] += value
		}
	}
	return sums, lines.Err()
}
