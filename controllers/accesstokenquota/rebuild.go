package accesstokenquota

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/quota"
)

// rebuild makes the ledger of a namespace that has none, from what the API server
// has: a cache may lack a token that was issued by the ledger before. A namespace
// without AccessTokens needs none.
func (r *Reconciler) rebuild(ctx context.Context, namespace string, ledger *v1alpha1.AccessTokenQuota, terms quota.Terms) (time.Time, error) {
	claims, err := r.claims(ctx, r.Client, namespace, terms.Now)
	if err != nil || len(claims) == 0 {
		return time.Time{}, err
	}
	if claims, err = r.claims(ctx, r.Live, namespace, terms.Now); err != nil {
		return time.Time{}, err
	}
	if ledger.Name == "" {
		ledger.ObjectMeta = metav1.ObjectMeta{Namespace: namespace, Name: v1alpha1.AccessTokenQuotaName}
		if err := r.Client.Create(ctx, ledger); err != nil {
			return time.Time{}, fmt.Errorf("create AccessTokenQuota of namespace %s: %w", namespace, err)
		}
	}
	lost := r.memory.hadLedger(namespace)
	issued := slices.ContainsFunc(claims, func(c quota.Claim) bool { return !c.IssuedAt.IsZero() })
	ledger.Status = quota.Rebuild(lost || issued, terms)
	look, err := r.write(ctx, ledger, claims, terms)
	if err != nil {
		return time.Time{}, err
	}
	r.memory.noteLedger(namespace)
	if lost {
		r.Recorder.Eventf(ledger, nil, corev1.EventTypeWarning, v1alpha1.ReasonQuotaRebuilt, "Rebuild",
			"somebody deleted or emptied AccessTokenQuota %s; it is made anew with the %d AccessTokens that have a token, and no other gets one before %s",
			ledger.Name, ledger.Status.Used, ledger.Status.GrantsFrom)
	}
	return look, nil
}
