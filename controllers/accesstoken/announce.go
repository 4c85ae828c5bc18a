package accesstoken

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/audit"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
)

// happening is something that is announced, by an event and a count, once it is
// persisted. Ending and withdrawing are counted only: one event tells of the
// whole.
type happening struct {
	eventType string
	reason    string // empty: no event
	action    string
	note      string
	count     func(*Reconciler)
	audit     func(*audit.Log)
}

func (p *pass) happened(h happening) { p.happenings = append(p.happenings, h) }

// announce tells what happened since the last call.
func (p *pass) announce() {
	for _, h := range p.happenings {
		if h.count != nil {
			h.count(p.Reconciler)
		}
		if h.audit != nil {
			h.audit(p.Audit)
		}
		if h.reason != "" {
			p.Recorder.Eventf(p.token, nil, h.eventType, h.reason, h.action, "%s", h.note)
		}
	}
	p.happenings = nil
}

// published tells of a token that reached its Secret, in the place of another if
// there was one.
func published(a lifecycle.Issue, object *v1alpha1.TokenRecord, secret, replaced string) happening {
	h := happening{
		eventType: corev1.EventTypeNormal, reason: v1alpha1.ReasonIssued, action: "Issue",
		note:  fmt.Sprintf("issued token %s, revision %d, in Secret %s", object.Name, a.Revision, secret),
		count: func(r *Reconciler) { r.Metrics.Issued(string(a.Cause)) },
		audit: func(l *audit.Log) { l.Issued(audit.OfRecord(object), a.Revision, string(a.Cause)) },
	}
	if a.Cause.Rotation() || a.Cause == lifecycle.CauseSecretTemplate || a.Cause == lifecycle.CausePredecessor {
		h.reason, h.action = v1alpha1.ReasonRotated, "Rotate"
		h.note = fmt.Sprintf("replaced the token by %s, revision %d, in Secret %s (%s)", object.Name, a.Revision, secret, a.Cause)
		h.audit = func(l *audit.Log) { l.Rotated(audit.OfRecord(object), a.Revision, replaced, string(a.Cause)) }
		return h
	}
	if a.Cause.Repair() {
		h.audit = func(l *audit.Log) { l.Repaired(audit.OfRecord(object), a.Revision, replaced, string(a.Cause)) }
	}
	switch a.Cause {
	case lifecycle.CauseSecretChanged, lifecycle.CauseSecretDeleted:
		h.eventType, h.reason, h.action = corev1.EventTypeWarning, v1alpha1.ReasonSecretRepaired, "Repair"
		h.note = fmt.Sprintf("Secret %s was changed or deleted by somebody else (%s); it now has token %s, revision %d", secret, a.Cause, object.Name, a.Revision)
	case lifecycle.CauseRecordLost, lifecycle.CauseRecordRevoked:
		h.eventType, h.reason, h.action = corev1.EventTypeWarning, v1alpha1.ReasonRecordLost, "Repair"
		h.note = fmt.Sprintf("the record of the token before was deleted, revoked or no longer opens (%s); Secret %s now has token %s, revision %d", a.Cause, secret, object.Name, a.Revision)
	case lifecycle.CauseRevokedByHolder:
		h.eventType, h.reason, h.action = corev1.EventTypeWarning, v1alpha1.ReasonRevokedByHolder, "Replace"
		h.note = fmt.Sprintf("token %s was revoked by its holder; Secret %s now has token %s, revision %d: find out why, it may have leaked", a.Replaces, secret, object.Name, a.Revision)
	case lifecycle.CauseSubjectRecreated:
		h.reason, h.action = v1alpha1.ReasonSubjectRecreated, "Replace"
		h.note = fmt.Sprintf("the service account was made again; Secret %s now has token %s, revision %d, for the new one", secret, object.Name, a.Revision)
	case lifecycle.CauseCutOff:
		h.reason, h.action = v1alpha1.ReasonRotated, "Replace"
		h.note = fmt.Sprintf("a revocation voids token %s and asks for a new one; Secret %s now has token %s, revision %d", a.Replaces, secret, object.Name, a.Revision)
		h.audit = func(l *audit.Log) { l.Rotated(audit.OfRecord(object), a.Revision, replaced, string(a.Cause)) }
	case lifecycle.CauseFirst, lifecycle.CauseReactivated, lifecycle.CauseInterval, lifecycle.CauseSchedule, lifecycle.CauseRequested, lifecycle.CauseSecretTemplate, lifecycle.CausePredecessor:
	}
	return h
}

func ended(a lifecycle.EndRecord) happening {
	h := happening{count: func(r *Reconciler) { r.Metrics.Ended(string(a.Reason)) }}
	switch a.Reason {
	case v1alpha1.EndReasonRevoked, v1alpha1.EndReasonSubjectGone, v1alpha1.EndReasonPolicyViolation, v1alpha1.EndReasonUnused:
		h.audit = func(l *audit.Log) { l.Revoked(audit.OfRecord(a.Record.Object), string(a.Reason)) }
	case v1alpha1.EndReasonSuspended:
		h.audit = func(l *audit.Log) { l.Suspended(audit.OfRecord(a.Record.Object), string(a.Reason)) }
	case v1alpha1.EndReasonShortened:
		h.eventType, h.reason, h.action = corev1.EventTypeNormal, "LifetimeShortened", "ShortenLifetime"
		h.note = fmt.Sprintf("token %s now ends at %s at the latest, however much it is used", a.Record.Object.Name, v1alpha1.NewTimestamp(a.ExpiresAt))
	default: // what a rotation ends is told of with its successor
	}
	return h
}

func capped(a lifecycle.CapAge) happening {
	h := happening{
		eventType: corev1.EventTypeNormal, reason: "MaxAgeLowered", action: "LowerMaxAge",
		note: fmt.Sprintf("token %s now lives %s at most", a.Record.Object.Name, a.MaxAge),
	}
	if a.Record.Object.Spec.ExtendWhenUsed {
		h.note = fmt.Sprintf("token %s now ends when nobody uses it for %s", a.Record.Object.Name, a.MaxAge)
	}
	return h
}

func withdrawn(lifecycle.Secret) happening {
	return happening{count: func(r *Reconciler) { r.Metrics.SecretWithdrawn() }}
}

func relabelled(secret lifecycle.Secret) happening {
	return happening{
		eventType: corev1.EventTypeWarning, reason: v1alpha1.ReasonSecretRepaired, action: "Repair",
		note: fmt.Sprintf("somebody changed a label or an annotation of Secret %s, or took it off; it is as declared again, and token %s stays", secret.Name, secret.TokenID),
	}
}

func deletedFinished() happening {
	return happening{
		eventType: corev1.EventTypeNormal, reason: "TTLExpired", action: "Delete",
		note: "deleted, spec.ttlAfterFinished after its token ended",
	}
}

// noteTransition announces what a persisted status says and the one before did
// not: an end, trouble that only a person can help with, a coming end.
func (p *pass) noteTransition(state lifecycle.State, before, after v1alpha1.AccessTokenStatus) {
	was := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionReady)
	is := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionReady)
	taken, why := state.TakenSince(before)
	if is != nil && len(taken) > 0 {
		p.happened(takenBy(taken, why, is.Message))
	}
	if is != nil && (was == nil || was.Reason != is.Reason) && is.Reason != string(why) {
		p.noteReason(is.Reason, is.Message, after)
	}
	if sparse := sparseSchedule(after); sparse != nil && sparseSchedule(before) == nil {
		p.happened(happening{eventType: corev1.EventTypeWarning, reason: sparse.Reason, action: "Notify", note: sparse.Message})
	}
	if after.ExpiryNotice != "" && (after.ExpiryNotice != before.ExpiryNotice || after.TokenID != before.TokenID) {
		p.happened(happening{
			eventType: corev1.EventTypeWarning, reason: v1alpha1.ReasonExpiring, action: "Notify",
			note:  state.ExpiringMessage(after),
			count: func(r *Reconciler) { r.Metrics.ExpiryNotice(after.ExpiryNotice) },
		})
	}
}

// takenBy tells of tokens that a policy or the end of their service account took,
// and how there is one again.
func takenBy(ids []string, why v1alpha1.EndReason, message string) happening {
	return happening{
		eventType: corev1.EventTypeWarning, reason: string(why), action: "End",
		note: fmt.Sprintf("ended token %s: %s", strings.Join(ids, " and token "), message),
	}
}

// sparseSchedule is the condition that tells of a gap in a schedule; nil without.
func sparseSchedule(status v1alpha1.AccessTokenStatus) *metav1.Condition {
	condition := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionExpiring)
	if condition == nil || condition.Reason != v1alpha1.ReasonScheduleSparse {
		return nil
	}
	return condition
}

func (p *pass) noteReason(reason, message string, after v1alpha1.AccessTokenStatus) {
	switch reason {
	case v1alpha1.ReasonExpired:
		eventType := corev1.EventTypeNormal
		if meta.IsStatusConditionTrue(after.Conditions, v1alpha1.ConditionStalled) {
			eventType = corev1.EventTypeWarning // nothing follows
		}
		p.happened(happening{
			eventType: eventType, reason: reason, action: "Expire", note: message,
			count: func(r *Reconciler) { r.Metrics.Ended(v1alpha1.ReasonExpired) },
			audit: func(l *audit.Log) { l.Expired(audit.OfAccessToken(p.token, after.TokenID)) },
		})
	case v1alpha1.ReasonWriteFailed:
		p.happened(happening{eventType: corev1.EventTypeWarning, reason: reason, action: "Issue", note: message})
	case v1alpha1.ReasonSuspended, v1alpha1.ReasonRevoked:
		p.happened(happening{eventType: corev1.EventTypeNormal, reason: reason, action: "TakeBack", note: message})
	default:
		if meta.IsStatusConditionTrue(after.Conditions, v1alpha1.ConditionStalled) {
			p.happened(happening{eventType: corev1.EventTypeWarning, reason: reason, action: "Reconcile", note: message})
		}
	}
}
