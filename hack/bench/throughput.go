package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// What the issue of a token may cost.
const (
	aimFloorShare = 0.8
	aimRequests   = 4   // record, Secret, status, one event
	aimManagerCPU = 1.5 // ms
	aimSameCost   = 0.1 // between the smallest and the largest number of tokens

	// aimPeakMB is what the manager may take for 1,000 tokens, and
	// aimPeakMBMore for each 1,000 more, so that 20,000 take 400 MB.
	aimPeakMB     = 100.0
	aimPeakMBMore = 300.0 / 19

	// The floor's rate does not depend on how many it writes, as long as it
	// takes a few seconds.
	floorTokens = 1000
)

// measureThroughput declares N tokens at once, for every N that was asked for.
func measureThroughput(ctx context.Context, b *bench, r *results) error {
	reached := map[int]pace{}
	for _, n := range b.sizes {
		rate, err := b.throughputOf(ctx, n, r)
		if err != nil {
			return fmt.Errorf("with %d tokens: %w", n, err)
		}
		reached[n] = rate
	}
	least, most := slices.Min(b.sizes), slices.Max(b.sizes)
	if least == most {
		return nil
	}
	name := fmt.Sprintf("issue, %d beside %d: ", most, least)
	same := within(1-aimSameCost, 1+aimSameCost)
	r.add(name+"rate", reached[most].perSecond/reached[least].perSecond, "ratio", same)
	if hasProc() {
		r.add(name+"manager CPU per token", reached[most].manager/reached[least].manager, "ratio", same)
	}
	return nil
}

func (b *bench) throughputOf(ctx context.Context, n int, r *results) (reached pace, err error) {
	l, err := b.openLab(ctx)
	if err != nil {
		return reached, err
	}
	defer func() { err = errors.Join(err, l.shut()) }()
	if err := l.startManager(ctx); err != nil {
		return reached, err
	}
	sample, err := l.takeSample(ctx)
	if err != nil {
		return reached, err
	}
	if err := l.stopManager(); err != nil {
		return reached, err
	}
	b.say("issue %d: the floor, before the operator", n)
	before, err := l.floorOfIssue(ctx, "floor-before", min(n, floorTokens), sample)
	if err != nil {
		return reached, fmt.Errorf("floor: %w", err)
	}
	if err := l.clear(ctx, "floor-before"); err != nil {
		return reached, err
	}
	b.say("issue %d: the operator", n)
	run, err := l.issueMeasured(ctx, n)
	if err != nil {
		return reached, err
	}
	b.say("issue %d: the manager starts again", n)
	if err := l.measureRestart(ctx, n, r); err != nil {
		return reached, fmt.Errorf("restart: %w", err)
	}
	if err := l.stopManager(); err != nil {
		return reached, err
	}
	b.say("issue %d: the floor, after the operator", n)
	after, err := l.floorOfIssue(ctx, "floor-after", min(n, floorTokens), sample)
	if err != nil {
		return reached, fmt.Errorf("floor: %w", err)
	}
	return run.report(r, n, between(before, after)), nil
}

// issueRun is a measured run, and what it took.
type issueRun struct {
	*issued
	cost
	memory           procStat // of the manager, at the end
	requests, others requestCount
	bad              int
}

const issueNamespace = "issue"

// issueMeasured has a fresh manager issue n tokens.
func (l *lab) issueMeasured(ctx context.Context, n int) (*issueRun, error) {
	if err := l.createNamespace(ctx, issueNamespace); err != nil {
		return nil, err
	}
	if err := l.startManager(ctx, l.profileArgs()...); err != nil {
		return nil, err
	}
	if err := l.awaitLead(ctx); err != nil {
		return nil, err
	}
	mark, err := l.auditMark()
	if err != nil {
		return nil, err
	}
	run := &issueRun{}
	before, err := l.cpuTimes()
	if err != nil {
		return nil, err
	}
	finishProfile := l.startProfile(ctx, fmt.Sprintf("issue-%d", n))
	if run.issued, err = l.issue(ctx, issueNamespace, n, declared); err != nil {
		return nil, err
	}
	if err := errors.Join(l.waitQuiet(ctx), finishProfile()); err != nil { // the last events are written
		return nil, err
	}
	after, err := l.cpuTimes()
	if err != nil {
		return nil, err
	}
	run.cost = after.since(before, n)
	if run.memory, err = l.managerStat(); err != nil {
		return nil, err
	}
	if run.requests, run.others, err = l.managerRequests(mark, issueNamespace); err != nil {
		return nil, err
	}
	bad, err := l.badSecrets(ctx, issueNamespace)
	run.bad = len(bad)
	for _, err := range bad[:min(len(bad), 3)] {
		l.say("wrong: %s", err)
	}
	return run, err
}

func (run *issueRun) report(r *results, n int, floor pace) (reached pace) {
	name := fmt.Sprintf("issue %d: ", n)
	reached = pace{perSecond: float64(n) / run.elapsed.Seconds(), cost: run.cost}
	r.addBeside(name+"rate", reached.perSecond, floor.perSecond, "tokens/s", leastRatio(aimFloorShare))
	r.reportCPU(name, run.cost, floor.cost, atMost(aimManagerCPU))
	if hasProc() {
		r.add(name+"manager peak memory", run.memory.peakRSS, "MB", atMost(peakAim(n)))
	}
	r.add(name+"created to Ready, p50", milliseconds(run.ready.quantile(0.5)), "ms", aim{})
	r.add(name+"created to Ready, p99", milliseconds(run.ready.quantile(0.99)), "ms", aim{})
	r.add(name+"requests per token", float64(run.requests.total())/float64(n), "", atMost(aimRequests))
	for _, what := range slices.Sorted(maps.Keys(run.requests)) {
		r.add(name+"requests per token, "+what, float64(run.requests[what])/float64(n), "", aim{})
	}
	r.add(name+"requests about no token", float64(run.others.total()), "", aim{})
	r.add(name+"Secrets without a good token", float64(run.bad), "", mustBeZero())
	return reached
}

func peakAim(n int) float64 { return aimPeakMB + aimPeakMBMore*max(float64(n)/1000-1, 0) }
