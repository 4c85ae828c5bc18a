package tokenrevocation

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/audit"
	"github.com/accesstoken-dev/accesstoken-operator/internal/index"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
)

// writers is how many records are written at once: a revocation of all tokens of a
// cluster takes minutes otherwise.
const writers = 16

// cutOff writes into every record that the revocation names that it is revoked,
// and counts.
func (r *Reconciler) cutOff(ctx context.Context, o *order, now time.Time) (tally, error) {
	list := &v1alpha1.TokenRecordList{}
	options := []client.ListOption{client.InNamespace(o.revocation.Namespace), client.UnsafeDisableDeepCopy}
	if o.revocation.User != "" {
		options = append(options, client.MatchingFields{index.RecordSubject: o.revocation.User})
	}
	if err := r.Client.List(ctx, list, options...); err != nil {
		return tally{}, fmt.Errorf("list records: %w", err)
	}
	var matching []*v1alpha1.TokenRecord // of the cache, not to be changed
	for i := range list.Items {
		if o.revocation.Matches(&list.Items[i]) {
			matching = append(matching, &list.Items[i])
		}
	}
	var group errgroup.Group
	group.SetLimit(writers)
	for i := range matching {
		if !o.concerns(matching[i], now) {
			continue
		}
		group.Go(func() (err error) {
			matching[i], err = r.end(ctx, o, matching[i], now)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return tally{}, err
	}
	return o.count(matching, list.Items), nil
}

// concerns says that there is something to write into a record. What ended
// otherwise keeps the reason that it has; what use may extend may have been used.
func (o *order) concerns(rec *v1alpha1.TokenRecord, now time.Time) bool {
	if rec.Status.RevokedAt != "" {
		return rec.Status.Reason == v1alpha1.EndReasonCutOff && o.revocation.Reissue && !rec.Status.Reissue
	}
	life, err := record.LifetimeOf(rec)
	if err != nil {
		return false // it verifies nothing
	}
	end, ends := life.HardEnd()
	return !ends || now.Before(end)
}

// end writes into one record that it is revoked, and returns it as it is then; nil
// when it is gone.
func (r *Reconciler) end(ctx context.Context, o *order, rec *v1alpha1.TokenRecord, now time.Time) (*v1alpha1.TokenRecord, error) {
	key := client.ObjectKeyFromObject(rec)
	if rec.Status.RevokedAt == "" && record.Ended(rec, now) {
		// For want of use, as far as the cache shows.
		live := &v1alpha1.TokenRecord{}
		if err := r.Live.Get(ctx, key, live); err != nil {
			return nil, client.IgnoreNotFound(err)
		}
		if rec = live; rec.Status.RevokedAt != "" || record.Ended(rec, now) {
			return rec, nil
		}
	}
	ended := rec.DeepCopy()
	if ended.Status.RevokedAt == "" {
		ended.Status.RevokedAt, ended.Status.Reason = v1alpha1.NewTimestamp(now), v1alpha1.EndReasonCutOff
		ended.Status.RevokedBy = o.by()
	}
	ended.Status.Reissue = o.revocation.Reissue
	patch := client.MergeFromWithOptions(rec, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, ended, patch, client.FieldOwner(FieldManager)); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("end record %s: %w", key, err)
	}
	if rec.Status.RevokedAt == "" {
		r.Metrics.Ended(string(v1alpha1.EndReasonCutOff))
		r.Audit.Revoked(audit.OfRecord(ended), string(v1alpha1.EndReasonCutOff))
	}
	return ended, nil
}

// count tells what became of the records that the revocation names. Matching are
// as they were written, all as the cache has them.
func (o *order) count(matching []*v1alpha1.TokenRecord, all []v1alpha1.TokenRecord) tally {
	counted := tally{missing: o.missing(matching)}
	awaiting := map[string]int64{} // by AccessToken, the latest revision that is void
	for _, rec := range matching {
		if rec == nil {
			continue
		}
		counted.matching++
		if rec.Status.Reason != v1alpha1.EndReasonCutOff {
			continue
		}
		if rec.Status.RevokedBy == o.by() {
			counted.revoked++
		}
		if uid := rec.Spec.AccessTokenUID; o.revocation.Reissue && uid != "" {
			awaiting[uid] = max(awaiting[uid], rec.Spec.Revision)
		}
	}
	for i := range all {
		rec := &all[i]
		revision, waits := awaiting[rec.Spec.AccessTokenUID]
		if waits && rec.Spec.Revision > revision && rec.Status.Reason != v1alpha1.EndReasonUnpublished {
			counted.reissued++
			delete(awaiting, rec.Spec.AccessTokenUID)
		}
	}
	return counted
}

// missing are the IDs that the revocation names and that are of no token which it
// means.
func (o *order) missing(matching []*v1alpha1.TokenRecord) (ids []string) {
	found := make(map[string]bool, len(matching))
	for _, rec := range matching {
		if rec != nil {
			found[rec.Name] = true
		}
	}
	for _, id := range o.revocation.TokenIDs {
		if !found[id] {
			ids = append(ids, id)
		}
	}
	return ids
}
