package lifecycle

import (
	"slices"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// Summarize is the status that a State deserves. What it leaves as it was, it
// takes from the persisted status, so that equal States give equal statuses.
func Summarize(s State, age *v1alpha1.EffectiveMaxAge) v1alpha1.AccessTokenStatus {
	status := *s.Token.Status.DeepCopy()
	status.ObservedGeneration = s.Token.Generation
	if age != nil {
		status.MaxAge = age
	}
	s.describeCurrent(&status)
	for _, r := range s.Records {
		status.Revision = max(status.Revision, r.Object.Spec.Revision)
	}
	status.Tokens = s.verifyingTokens()
	status.LastUsedAt = s.lastUsedAt()
	status.EndedAt = s.endedAt()
	status.NextRotationAt = s.nextRotationAt()
	status.SecretName = ""
	if carrier, ok := s.carrier(); ok {
		status.SecretName = carrier.Name
	}
	status.ExpiryNotice, _, _ = s.notice()
	status.Conditions = s.conditions(status)
	return status
}

// describeCurrent notes which token was issued last. A record that is gone
// leaves what was noted of it.
func (s State) describeCurrent(status *v1alpha1.AccessTokenStatus) {
	current, found := s.current()
	if !found {
		return
	}
	known := status.ExpiresAt
	if status.TokenID != current.Object.Name {
		known = ""
	}
	status.TokenID = current.Object.Name
	status.SubjectUID = ""
	if current.Object.Spec.Subject.Kind == v1alpha1.SubjectKindServiceAccount {
		status.SubjectUID = current.Object.Spec.Subject.UID
	}
	status.IssuedAt = current.Object.Spec.IssuedAt
	status.EndReason = ""
	if current.revoked() {
		status.EndReason = current.Object.Status.Reason
	}
	status.ExpiresAt = ""
	if end, ends := current.end(s.Now); ends && !current.revoked() {
		status.ExpiresAt = s.shownEnd(current, end, known)
	}
}

// verifyingTokens are the published tokens that verify, the latest first.
func (s State) verifyingTokens() []v1alpha1.IssuedToken {
	var tokens []v1alpha1.IssuedToken
	for _, r := range s.Records {
		if !s.Published[r.Object.Name] || !r.verifies(s.Now) {
			continue
		}
		token := v1alpha1.IssuedToken{ID: r.Object.Name, Revision: r.Object.Spec.Revision, IssuedAt: r.Object.Spec.IssuedAt}
		if end, ends := r.end(s.Now); ends {
			token.ExpiresAt = s.shownEnd(r, end, s.knownEnd(token.ID))
		}
		tokens = append(tokens, token)
	}
	slices.SortFunc(tokens, func(a, b v1alpha1.IssuedToken) int { return int(b.Revision - a.Revision) })
	if len(tokens) > 2 {
		tokens = tokens[:2]
	}
	return tokens
}

// TakenSince are the tokens that verified as an earlier status has it, and that a
// policy or the end of their service account took since, with nothing in their
// place.
func (s State) TakenSince(before v1alpha1.AccessTokenStatus) (ids []string, reason v1alpha1.EndReason) {
	if s.currentID() != before.TokenID {
		return nil, ""
	}
	for _, token := range before.Tokens {
		r, found := s.recordNamed(token.ID)
		if !found || !r.revoked() {
			continue
		}
		switch why := r.Object.Status.Reason; why {
		case v1alpha1.EndReasonPolicyViolation, v1alpha1.EndReasonSubjectGone:
			ids, reason = append(ids, token.ID), why
		default: // told of in other ways
		}
	}
	return ids, reason
}

// endedAt is when there came to be no token, while none is to follow at once.
func (s State) endedAt() v1alpha1.Timestamp {
	known := s.Token.Status.EndedAt
	current, found := s.current()
	if _, back := s.takenBack(); back {
		if found && current.revoked() {
			return current.Object.Status.RevokedAt
		}
		if end, finished := s.finishedByAge(); finished {
			return v1alpha1.NewTimestamp(end)
		}
		if known != "" {
			return known
		}
		return v1alpha1.NewTimestamp(s.Now)
	}
	if end, finished := s.finishedByAge(); finished {
		return v1alpha1.NewTimestamp(end)
	}
	if at, ok := s.retiredAt(); ok && s.retired() {
		return v1alpha1.NewTimestamp(at)
	}
	if found && current.revoked() && (s.unsubjected() || s.outlawed()) || s.cutOff() {
		return current.Object.Status.RevokedAt
	}
	if found && current.verifies(s.Now) {
		return ""
	}
	return known
}

// nextRotationAt is when the next token comes in the place of the current one; empty
// where none is to come, or a person has to help first. It is no moment of this
// pass, so that it stays as it is until what it says changes.
func (s State) nextRotationAt() v1alpha1.Timestamp {
	if s.hindered() {
		return ""
	}
	_, due, ok := s.following()
	if !ok {
		return ""
	}
	return v1alpha1.NewTimestamp(due)
}

// following is the rotation that is to come. A token that was taken back until
// somebody asks for another has none but that.
func (s State) following() (Cause, time.Time, bool) {
	current, _ := s.current()
	_, unused := s.takenBackUnused()
	switch {
	case s.cutOff():
		return s.afterCutOff(current)
	case unused, s.untilAsked():
		issuedAt, _ := s.currentIssuedAt()
		due, cause, ok := s.Plan.OnRequest().Rotation(issuedAt, string(s.Token.UID))
		return Cause(cause), due, ok
	}
	return s.rotation()
}
