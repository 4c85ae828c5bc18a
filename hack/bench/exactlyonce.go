package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/faultproxy"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
)

const (
	onceTokens   = 1000
	onceInterval = 10 * time.Second
	onceWorkers  = 32
	onceSeed     = 1

	// onceSettle is longer than an issue in flight is waited for, which a write
	// of unknown outcome can make necessary.
	onceSettle = 45 * time.Second
)

// measureExactlyOnce has tokens rotate again and again while one write in ten
// goes wrong, and counts what reached their Secrets: for each due moment one
// token. The next due moment is the issue of the token before plus the interval.
func measureExactlyOnce(ctx context.Context, b *bench, r *results) (err error) {
	l, err := b.openLab(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.shut()) }()
	config, err := l.ServiceAccountConfig(ctx, operator.Namespace, operator.Account)
	if err != nil {
		return err
	}
	proxy, err := faultproxy.Start(ctx, config, onceSeed)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, proxy.Close()) }()
	config.Host = proxy.URL
	kubeconfig := filepath.Join(l.Dir(), "proxied.kubeconfig")
	if err := controlplane.WriteKubeconfig(config, kubeconfig); err != nil {
		return err
	}
	workers := onceWorkers
	if b.workers > 0 {
		workers = b.workers
	}
	if err := l.startManager(ctx, "--kubeconfig="+kubeconfig, "--workers="+strconv.Itoa(workers)); err != nil {
		return err
	}
	if _, err := l.takeSample(ctx); err != nil {
		return err
	}
	published, err := l.rotateWithFaults(ctx, "once", proxy)
	if err != nil {
		return err
	}
	return l.reportOnce(ctx, "once", published, proxy, r)
}

// publications are the revisions that each Secret showed, and when first.
type publications map[string]map[int64]time.Time

// rotateWithFaults runs until there were as many rotations as were asked for,
// then lets what is under way end without faults, and stops the manager.
func (l *lab) rotateWithFaults(ctx context.Context, namespace string, proxy *faultproxy.Proxy) (publications, error) {
	if err := l.createNamespace(ctx, namespace); err != nil {
		return nil, err
	}
	published, rotations := publications{}, 0
	enough := make(chan struct{})
	watch, err := l.watchSecrets(ctx, namespace, func(e event) bool {
		if published.see(e) > 1 {
			if rotations++; rotations == l.rotations {
				close(enough)
			}
		}
		return false
	})
	if err != nil {
		return nil, err
	}
	defer watch.cancel()
	proxy.SetActive(true)
	l.say("%d rotations, one write in ten of which goes wrong", l.rotations)
	err = parallel(ctx, onceTokens, func(ctx context.Context, i int) error {
		token := declared(namespace, numbered(i))
		token.Spec.Rotation = &v1alpha1.Rotation{Interval: v1alpha1.RotationInterval(onceInterval.String()), Overlap: "1s"}
		return l.admin.Create(ctx, token)
	})
	if err != nil {
		return nil, fmt.Errorf("create AccessToken: %w", err)
	}
	select {
	case <-enough:
	case err := <-watch.ended:
		return nil, err
	}
	proxy.SetActive(false)
	if err := errors.Join(pause(ctx, onceSettle), l.stopManager(), pause(ctx, time.Second)); err != nil {
		return nil, err
	}
	watch.cancel()
	for range watch.ended { // until it is closed: from then on nobody writes what was published
	}
	return published, nil
}

// see notes a Secret's revision and returns it if it is new, otherwise 0.
func (p publications) see(e event) int64 {
	annotations := e.Object.Metadata.Annotations
	revision, err := strconv.ParseInt(annotations[v1alpha1.AnnotationRevision], 10, 64)
	if err != nil || e.Type == "DELETED" || annotations[v1alpha1.AnnotationTokenID] == "" {
		return 0
	}
	name := e.Object.Metadata.Name
	if p[name] == nil {
		p[name] = map[int64]time.Time{}
	}
	if !p[name][revision].IsZero() {
		return 0
	}
	p[name][revision] = e.at
	return revision
}

// onceCount is what became of the due moments.
type onceCount struct {
	rotations int
	twice     []string // published before the interval of the one before was over
	unseen    int      // published without a record
	longest   time.Duration
}

// issuedRecords are the records by token name and revision.
type issuedRecords map[string]issuedRecord

type issuedRecord struct {
	at     time.Time
	reason v1alpha1.EndReason
}

// count compares each publication with the one before it.
func (p publications) count(records issuedRecords) onceCount {
	var c onceCount
	for name, revisions := range p {
		var before issuedRecord
		for i, revision := range slices.Sorted(maps.Keys(revisions)) {
			record, ok := records[entry(name, revision)]
			if !ok {
				c.unseen++
				continue
			}
			if i > 0 {
				c.rotations++
				due := before.at.Add(onceInterval)
				if record.at.Before(due) {
					c.twice = append(c.twice, fmt.Sprintf("%s has revision %d after %s; the one before ended with reason %q",
						name, revision, record.at.Sub(before.at), before.reason))
				}
				c.longest = max(c.longest, revisions[revision].Sub(due))
			}
			before = record
		}
	}
	return c
}

func (l *lab) reportOnce(ctx context.Context, namespace string, published publications, proxy *faultproxy.Proxy, r *results) error {
	records, err := l.recordsByName(ctx, namespace)
	if err != nil {
		return err
	}
	issued := issuedRecords{}
	for _, record := range records {
		if at, err := record.Spec.IssuedAt.Parse(); err == nil {
			issued[entry(record.Spec.AccessTokenName, record.Spec.Revision)] = issuedRecord{at, record.Status.Reason}
		}
	}
	c := published.count(issued)
	for _, twice := range c.twice[:min(len(c.twice), 5)] {
		l.say("wrong: %s", twice)
	}
	wrong := 0
	for what, n := range proxy.Counts() {
		l.say("writes that went wrong: %d (%s)", n, what)
		wrong += n
	}
	r.add("exactly once: rotations", float64(c.rotations), "", aim{})
	r.add("exactly once: writes that went wrong", float64(wrong), "", aim{})
	r.add("exactly once: records beyond those published", float64(len(records)-c.rotations-len(published)), "", aim{})
	r.add("exactly once: two tokens for one due moment", float64(len(c.twice)), "", mustBeZero())
	r.add("exactly once: published without a record", float64(c.unseen), "", mustBeZero())
	r.add("exactly once: longest wait after a due moment", c.longest.Seconds(), "s", aim{})
	return l.reportBad(ctx, namespace, "exactly once: ", r)
}
