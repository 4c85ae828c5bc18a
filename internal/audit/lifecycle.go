package audit

import (
	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// Issued writes that an AccessToken got a token, for a cause of
// lifecycle.Cause.
func (l *Log) Issued(t Token, revision int64, cause string) {
	l.put(event{action: TokenIssued, token: t, revision: revision, reason: cause})
}

// Rotated writes that a token took the place of another.
func (l *Log) Rotated(t Token, revision int64, replaced, cause string) {
	l.put(event{action: TokenRotated, token: t, revision: revision, replaced: replaced, reason: cause})
}

// Repaired writes that a token took the place of one that somebody took away.
func (l *Log) Repaired(t Token, revision int64, replaced, cause string) {
	l.put(event{action: TokenRepaired, token: t, revision: revision, replaced: replaced, reason: cause})
}

// Expired writes that a token ended by age, and that there is no other.
func (l *Log) Expired(t Token) { l.put(event{action: TokenExpired, token: t}) }

// Revoked writes that a token was taken back, for a reason of
// v1alpha1.EndReason.
func (l *Log) Revoked(t Token, reason string) {
	l.put(event{action: TokenRevoked, token: t, reason: reason})
}

// RevokedByHolder writes that whoever held a token revoked it, and where that
// came from.
func (l *Log) RevokedByHolder(t *verify.Token, request *verify.Request) {
	e := ofRequest(request)
	e.action, e.reason, e.seen = TokenRevoked, string(v1alpha1.EndReasonRevokedByHolder), t
	l.put(e)
}

// Suspended writes that a token was taken back, and its AccessToken can get
// another.
func (l *Log) Suspended(t Token, reason string) {
	l.put(event{action: TokenSuspended, token: t, reason: reason})
}
