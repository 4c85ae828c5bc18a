package accesstoken

import (
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
	"github.com/accesstoken-dev/accesstoken-operator/internal/quota"
)

// grantPatience is how long a new object waits for its place without a status that
// says so. A place mostly comes within milliseconds, which is no news.
const grantPatience = 10 * time.Second

// awaited remembers which objects wait for a place that may be on its way, and
// since when.
type awaited struct{ streaks }

// since is when the wait of an object began.
func (a *awaited) since(key client.ObjectKey, now time.Time) time.Time {
	row := a.get(key)
	if row.count == 0 {
		row = streak{count: 1, last: now}
		a.put(key, row)
	}
	return row.last
}

func (p *pass) ledgerKey() client.ObjectKey {
	return client.ObjectKey{Namespace: p.token.Namespace, Name: v1alpha1.AccessTokenQuotaName}
}

// observePlace looks the AccessToken up in the ledger, as soon as a token that
// takes a place is due.
func (p *pass) observePlace(ctx context.Context, state *lifecycle.State) error {
	if p.placed || !state.AwaitsGrant() {
		return nil
	}
	p.placed = true
	ledger := &v1alpha1.AccessTokenQuota{}
	err := p.Client.Get(ctx, p.ledgerKey(), ledger, client.UnsafeDisableDeepCopy)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read AccessTokenQuota %s: %w", p.ledgerKey(), err)
	}
	if _, held := quota.Holds(&ledger.Status, string(p.token.UID)); held {
		state.Place = lifecycle.Place{Held: true}
	} else if err == nil {
		state.Place = lifecycle.Place{Refusal: quota.Refusal(ledger.Status, p.token.Namespace, quota.SubjectOf(p.token))}
	}
	return nil
}

// holdsPlace says whether a record may be created now. What the cache shows of the
// ledger counts for a while after a grant that nobody used, since nobody gives the
// place away. Otherwise the ledger itself has to show it, and the AccessToken has
// to be as this pass is about it: what ended may have ended for good.
func (p *pass) holdsPlace(ctx context.Context, state *lifecycle.State) (bool, error) {
	ledger := &v1alpha1.AccessTokenQuota{}
	if err := p.Client.Get(ctx, p.ledgerKey(), ledger, client.UnsafeDisableDeepCopy); err != nil {
		return false, notHeld(err)
	}
	holder, held := quota.Holds(&ledger.Status, string(p.token.UID))
	if !held || quota.Trusted(holder, lastIssue(state), p.Clock.Now(), p.Times.Trust) {
		return held, nil
	}
	token := &v1alpha1.AccessToken{}
	if err := p.Live.Get(ctx, p.key(), token); client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("read AccessToken %s again before an issue: %w", p.key(), err)
	}
	if token.UID != p.token.UID || token.Generation != p.token.Generation || !token.DeletionTimestamp.IsZero() {
		return false, errStale
	}
	current, err := p.ledgers.read(ctx, p.Reconciler, p.token.Namespace)
	if err != nil {
		return false, notHeld(err)
	}
	return current.held[string(p.token.UID)], nil
}

// lastIssue is when a token was issued last, as far as was observed.
func lastIssue(state *lifecycle.State) time.Time {
	last, err := state.Token.Status.IssuedAt.Parse()
	if err != nil {
		last = time.Time{}
	}
	for _, r := range state.Records {
		if r.IssuedAt.After(last) {
			last = r.IssuedAt
		}
	}
	return last
}

// notHeld is no error where there is no ledger: it was lost, and is made anew.
func notHeld(err error) error {
	if client.IgnoreNotFound(err) == nil {
		return nil
	}
	return fmt.Errorf("read AccessTokenQuota before an issue: %w", err)
}

// createRecord creates the record of a revision, for the holder of a place only
// where it takes one. The error is errNoPlace where there is none any more.
func (p *pass) createRecord(ctx context.Context, state *lifecycle.State, object *v1alpha1.TokenRecord) error {
	if !state.TakesPlace() {
		return p.Client.Create(ctx, object, client.FieldOwner(FieldManager))
	}
	defer p.Fence.Issue(p.token.Namespace)()
	ctx, cancel := context.WithTimeout(ctx, p.Times.Create-ledgerAge)
	defer cancel()
	held, err := p.holdsPlace(ctx, state)
	if err != nil {
		return err
	}
	if !held {
		return errNoPlace
	}
	return p.Client.Create(ctx, object, client.FieldOwner(FieldManager))
}

// quietly says that a pass has nothing to tell yet: a new object waits for its
// place, which is about to come. It says how long that may go on, too.
func (p *pass) quietly(state *lifecycle.State) (until time.Time, quiet bool) {
	if !state.AwaitsGrant() {
		p.Reconciler.awaited.forget(p.key())
		return time.Time{}, false
	}
	until = p.Reconciler.awaited.since(p.key(), state.Now).Add(grantPatience)
	return until, p.token.Status.ObservedGeneration == 0 && state.Now.Before(until)
}

// places wakes those who got a place or lost one, and those who wait when what they
// are told changes.
func (r *Reconciler) places() handler.EventHandler {
	return handler.Funcs{
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			before, ok := e.ObjectOld.(*v1alpha1.AccessTokenQuota)
			after, also := e.ObjectNew.(*v1alpha1.AccessTokenQuota)
			if !ok || !also {
				return
			}
			for _, name := range quota.Moved(before.Status, after.Status) {
				queue.Add(reconcile.Request{NamespacedName: client.ObjectKey{Namespace: after.Namespace, Name: name}})
			}
			if !quota.SameRefusals(before.Status, after.Status) {
				r.enqueueWaiting(ctx, after, queue)
			}
		},
	}
}

// enqueueWaiting wakes whoever holds no place.
func (r *Reconciler) enqueueWaiting(ctx context.Context, ledger *v1alpha1.AccessTokenQuota, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	list := &v1alpha1.AccessTokenList{}
	if err := r.Client.List(ctx, list, client.InNamespace(ledger.Namespace), client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		log.FromContext(ctx).Error(err, "list AccessTokens that wait for a place", "namespace", ledger.Namespace)
		return
	}
	held := quota.HeldBy(&ledger.Status)
	for i := range list.Items {
		if !held[string(list.Items[i].UID)] {
			queue.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
}
