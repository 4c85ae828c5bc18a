package accesstokenquota

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/index"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
	"github.com/accesstoken-dev/accesstoken-operator/internal/quota"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
)

// claims are what a reader shows of the AccessTokens of a namespace.
func (r *Reconciler) claims(ctx context.Context, reader client.Reader, namespace string, now time.Time) ([]quota.Claim, error) {
	claims, _, err := r.claimsAndRecords(ctx, reader, namespace, now)
	return claims, err
}

// claimsAndRecords returns the records, too, by the UID of their AccessToken, also of
// those that are gone.
func (r *Reconciler) claimsAndRecords(ctx context.Context, reader client.Reader, namespace string, now time.Time) ([]quota.Claim, map[string][]*v1alpha1.TokenRecord, error) {
	tokens, records := &v1alpha1.AccessTokenList{}, &v1alpha1.TokenRecordList{}
	for _, list := range []client.ObjectList{tokens, records} {
		err := reader.List(ctx, list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency)
		if err != nil {
			return nil, nil, fmt.Errorf("list %T of namespace %s: %w", list, namespace, err)
		}
	}
	byUID := make(map[string][]*v1alpha1.TokenRecord, len(tokens.Items))
	for i := range records.Items {
		uid := records.Items[i].Spec.AccessTokenUID
		byUID[uid] = append(byUID[uid], &records.Items[i])
	}
	claims := make([]quota.Claim, 0, len(tokens.Items))
	for i := range tokens.Items {
		token := &tokens.Items[i]
		claims = append(claims, claimOf(token, byUID[string(token.UID)], now))
	}
	return claims, byUID, nil
}

// claimOf is what an AccessToken and its records show.
func claimOf(token *v1alpha1.AccessToken, records []*v1alpha1.TokenRecord, now time.Time) quota.Claim {
	claim := quota.Claim{
		UID: string(token.UID), Name: token.Name, Subject: quota.SubjectOf(token), CreatedAt: token.CreationTimestamp.Time,
		Gone: !token.DeletionTimestamp.IsZero(), Finished: lifecycle.Finished(token),
	}
	claim.Wants = !claim.Gone && !claim.Finished && !lifecycle.TakenBack(token)
	if at, err := token.Status.IssuedAt.Parse(); err == nil {
		claim.IssuedAt = at
	}
	addRecords(&claim, records, now)
	return claim
}

// addRecords notes what the records of a claim show. Whether they are sealed does
// not matter: one that is not counts too, until it is ended.
func addRecords(claim *quota.Claim, records []*v1alpha1.TokenRecord, now time.Time) {
	for _, r := range records {
		if at, err := r.Spec.IssuedAt.Parse(); err == nil && at.After(claim.IssuedAt) {
			claim.IssuedAt = at
		}
		claim.Live = claim.Live || !claim.Gone && !record.Ended(r, now)
	}
}

// lookCloser reads the doubtful again from the API server, and returns the claims
// with what it found. It says, too, whether any is otherwise than the claims had it.
func (r *Reconciler) lookCloser(ctx context.Context, namespace string, claims []quota.Claim, doubtful []quota.Ref, now time.Time) (found []quota.Claim, lagging bool, err error) {
	live, err := r.liveClaims(ctx, namespace, doubtful, now)
	if err != nil {
		return nil, false, err
	}
	seen := make(map[string]quota.Claim, len(claims))
	for _, claim := range claims {
		seen[claim.UID] = claim
	}
	for _, ref := range doubtful {
		before, known := seen[ref.UID]
		lagging = lagging || live[ref.UID].Free() != (!known || before.Free())
		seen[ref.UID] = live[ref.UID]
	}
	return slices.Collect(maps.Values(seen)), lagging, nil
}

// liveClaims are what the API server has of some AccessTokens, by UID.
func (r *Reconciler) liveClaims(ctx context.Context, namespace string, refs []quota.Ref, now time.Time) (map[string]quota.Claim, error) {
	found := make(map[string]quota.Claim, len(refs))
	if len(refs) <= mostDoubtful {
		for _, ref := range refs {
			claim, err := r.liveClaim(ctx, client.ObjectKey{Namespace: namespace, Name: ref.Name}, ref.UID, now)
			if err != nil {
				return nil, err
			}
			found[ref.UID] = claim
		}
		return found, nil
	}
	all, records, err := r.claimsAndRecords(ctx, r.Live, namespace, now)
	if err != nil {
		return nil, err
	}
	for _, ref := range refs {
		found[ref.UID] = r.goneClaim(namespace, ref, records[ref.UID], now)
	}
	for _, claim := range all {
		if _, asked := found[claim.UID]; asked {
			found[claim.UID] = claim
		}
	}
	return found, nil
}

// goneClaim is that of an AccessToken which is no more, of which records may be left.
func (r *Reconciler) goneClaim(namespace string, ref quota.Ref, records []*v1alpha1.TokenRecord, now time.Time) quota.Claim {
	claim := quota.Claim{UID: ref.UID, Name: ref.Name, Gone: true, IssuedAt: r.memory.issuedAt(namespace, ref.UID)}
	addRecords(&claim, records, now)
	return claim
}

// liveClaim is what the API server has of one AccessToken and its records.
func (r *Reconciler) liveClaim(ctx context.Context, key client.ObjectKey, uid string, now time.Time) (quota.Claim, error) {
	token := &v1alpha1.AccessToken{}
	err := r.Live.Get(ctx, key, token)
	if client.IgnoreNotFound(err) != nil {
		return quota.Claim{}, fmt.Errorf("read AccessToken %s before its place is given away: %w", key, err)
	}
	list := &v1alpha1.TokenRecordList{}
	if err := r.Live.List(ctx, list, client.InNamespace(key.Namespace), client.MatchingFields{index.RecordAccessTokenUID: uid}); err != nil {
		return quota.Claim{}, fmt.Errorf("list records of AccessToken %s before its place is given away: %w", key, err)
	}
	records := make([]*v1alpha1.TokenRecord, len(list.Items))
	for i := range list.Items {
		records[i] = &list.Items[i]
	}
	if apierrors.IsNotFound(err) || string(token.UID) != uid {
		return r.goneClaim(key.Namespace, quota.Ref{UID: uid, Name: key.Name}, records, now), nil
	}
	return claimOf(token, records, now), nil
}
