package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

const (
	preciseTokens = 100
	// They are declared that far apart, so that they fall due within four
	// seconds, 25 at an instant: due moments are whole seconds.
	precisePace = 40 * time.Millisecond

	preciseAge       = 8 * time.Second
	preciseRotations = 3

	aimLateness = 250.0 // ms
)

// measurePrecision has a hundred tokens rotate, and another hundred expire,
// within a few seconds, and compares with the moments that their status said.
func measurePrecision(ctx context.Context, b *bench, r *results) (err error) {
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
	b.say("expiry of %d within a few seconds", preciseTokens)
	expiry := newDueMoments()
	err = l.observeDue(ctx, "expiry", expiry, preciseTokens, expiring, expiry.seeExpiringToken, expiry.seeExpiringSecret)
	if err != nil {
		return fmt.Errorf("expiry: %w", err)
	}
	expiry.report(r, "expiry")

	b.say("rotation of %d within a few seconds, %d times", preciseTokens, preciseRotations)
	rotation := newDueMoments()
	err = l.observeDue(ctx, "rotation", rotation, preciseTokens*preciseRotations, rotating, rotation.seeRotatingToken, rotation.seeRotatingSecret)
	if err != nil {
		return fmt.Errorf("rotation: %w", err)
	}
	rotation.report(r, "rotation")
	return nil
}

func expiring(namespace, name string) *v1alpha1.AccessToken {
	token := declared(namespace, name)
	token.Spec.MaxAge, token.Spec.Rotation = v1alpha1.MaxAge(preciseAge.String()), nil
	return token
}

func rotating(namespace, name string) *v1alpha1.AccessToken {
	token := declared(namespace, name)
	token.Spec.Rotation = &v1alpha1.Rotation{Interval: v1alpha1.RotationInterval(preciseAge.String()), Overlap: "2s"}
	return token
}

// observeDue declares tokens at a steady pace and watches until done due moments
// have been dealt with.
func (l *lab) observeDue(ctx context.Context, namespace string, d *dueMoments, done int,
	declare func(namespace, name string) *v1alpha1.AccessToken, seeToken, seeSecret func(event),
) error {
	if err := l.createNamespace(ctx, namespace); err != nil {
		return err
	}
	until := func(see func(event)) func(event) bool {
		return func(e event) bool {
			d.mu.Lock()
			defer d.mu.Unlock()
			see(e)
			return d.done() >= done
		}
	}
	secrets, err := l.watchSecrets(ctx, namespace, until(seeSecret))
	if err != nil {
		return err
	}
	defer secrets.cancel()
	tokens, err := l.watchTokens(ctx, namespace, until(seeToken))
	if err != nil {
		return err
	}
	defer tokens.cancel()
	for i := range preciseTokens {
		if err := l.admin.Create(ctx, declare(namespace, numbered(i))); err != nil {
			return fmt.Errorf("create AccessToken: %w", err)
		}
		if err := pause(ctx, precisePace); err != nil {
			return err
		}
	}
	select { // whichever saw the last
	case err = <-secrets.ended:
	case err = <-tokens.ended:
	}
	return err
}

// dueMoments compares what was announced with what was seen. An entry is one
// token and the revision that follows, or that ends.
type dueMoments struct {
	mu     sync.Mutex
	due    map[string]time.Time // as the status announced it
	secret map[string]time.Time // when the Secret showed it
	status map[string]time.Time // when the status did
}

func newDueMoments() *dueMoments {
	return &dueMoments{due: map[string]time.Time{}, secret: map[string]time.Time{}, status: map[string]time.Time{}}
}

func entry(name string, revision int64) string { return name + " " + strconv.FormatInt(revision, 10) }

func note(moments map[string]time.Time, key string, at time.Time) {
	if moments[key].IsZero() {
		moments[key] = at
	}
}

func (d *dueMoments) announce(key string, due v1alpha1.Timestamp) {
	if at, err := due.Parse(); err == nil {
		note(d.due, key, at)
	}
}

func (d *dueMoments) seeExpiringToken(e event) {
	key := entry(e.Object.Metadata.Name, 1)
	d.announce(key, e.Object.Status.ExpiresAt)
	if _, reason := e.ready(); reason == v1alpha1.ReasonExpired {
		note(d.status, key, e.at)
	}
}

func (d *dueMoments) seeExpiringSecret(e event) {
	if e.Type == "DELETED" {
		note(d.secret, entry(e.Object.Metadata.Name, 1), e.at)
	}
}

func (d *dueMoments) seeRotatingToken(e event) {
	name, status := e.Object.Metadata.Name, e.Object.Status
	d.announce(entry(name, status.Revision+1), status.NextRotationAt)
	if status.Revision > 1 {
		note(d.status, entry(name, status.Revision), e.at)
	}
}

func (d *dueMoments) seeRotatingSecret(e event) {
	revision, err := strconv.ParseInt(e.Object.Metadata.Annotations[v1alpha1.AnnotationRevision], 10, 64)
	if err == nil && revision > 1 {
		note(d.secret, entry(e.Object.Metadata.Name, revision), e.at)
	}
}

// done is how many moments were dealt with in Secret and status.
func (d *dueMoments) done() int { return min(len(d.secret), len(d.status)) }

// late is how long after its due moment each was dealt with. Early are those
// whose Secret changed before, or that nothing announced.
func (d *dueMoments) late() (late spread, early int) {
	for key, at := range d.secret {
		due, announced := d.due[key]
		if !announced || at.Before(due) {
			early++
			continue
		}
		if seen, ok := d.status[key]; ok && seen.After(at) {
			at = seen
		}
		late = append(late, at.Sub(due))
	}
	return late, early
}

func (d *dueMoments) report(r *results, what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	late, early := d.late()
	name := fmt.Sprintf("%s, %d in a few seconds: ", what, preciseTokens)
	r.add(name+"late, p50", milliseconds(late.quantile(0.5)), "ms", aim{})
	r.add(name+"late, p99", milliseconds(late.quantile(0.99)), "ms", atMost(aimLateness))
	r.add(name+"late, most", milliseconds(late.quantile(1)), "ms", aim{})
	r.add(name+"early", float64(early), "", mustBeZero())
}
