package lifecycle

import (
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/schedule"
)

// A step looks for one kind of thing to do. It returns nil when there is none.
type step func(State) Action

var (
	activeSteps = []step{
		deleteFinished,
		endGone,         // a service account's token ends with it
		endOutlawed,     // and so does what a policy ends
		retire,          // what nobody uses is not rotated any more
		capAge,          // before anything is issued: a shorter age binds at once
		shorten,         // and so does a shorter lifetime
		issue,           // the new token is good before the old one is touched
		relabel,         // an issue does so by itself
		supersede,       // then the old one gets its end
		endUnpublished,  // and what nobody holds is ended
		withdrawExpired, // a Secret holds no token that no longer verifies
		withdrawGone,
		withdrawOutlawed,
		withdrawUnused,
		withdrawCutOff,
		withdrawRenamed,
	}
	takenBackSteps = []step{
		deleteFinished,
		endAll, // first the records, which is what counts, then the Secrets
		withdrawAll,
	}
)

// Next returns the one thing to do now, or nil when there is nothing.
func Next(s State) Action {
	steps := activeSteps
	if _, ok := s.takenBack(); ok {
		steps = takenBackSteps
	}
	for _, step := range steps {
		if action := step(s); action != nil {
			return action
		}
	}
	return nil
}

func issue(s State) Action {
	cause, at, ok := Due(s)
	if !ok || s.Now.Before(at) || s.waitsForPlace() {
		return nil
	}
	return Issue{Revision: s.nextRevision(), Cause: cause, Replaces: s.currentID()}
}

// Due says why a new token is needed and from when; ok is false when none is,
// or when none can be issued until a person helps.
func Due(s State) (cause Cause, at time.Time, ok bool) {
	if cause, at, ok = s.needed(); !ok || s.hindered() {
		return "", time.Time{}, false
	}
	if busy, until := s.inFlight(); busy {
		at = later(at, until)
	}
	if cause.Repair() {
		at = later(at, s.Repairs.NotBefore)
	}
	return cause, later(at, s.Failure.NotBefore), true
}

// Needed says that a new token is due by now, whether or not it can be issued.
func (s State) Needed() bool {
	_, at, ok := s.needed()
	return ok && !s.Now.Before(at)
}

// hindered says that nothing is issued until a person edits something.
func (s State) hindered() bool {
	_, back := s.takenBack()
	return back || s.PlanError != nil || s.Conflict() || s.unsubjected() || s.Violation != nil || s.Refusal != nil
}

// Refused says that a new token is needed by now, and that the API server refused
// the last attempt. A refusal of what nobody wants any more is none.
func (s State) Refused() bool {
	_, at, ok := s.needed()
	return ok && !s.hindered() && !s.Now.Before(at) && s.Failure.Message != ""
}

// Conflict says that the wanted Secret belongs to somebody else.
func (s State) Conflict() bool {
	secret, ok := s.wantedSecret()
	return ok && (secret.Holder == HolderForeign || secret.Holder == HolderReleased)
}

func (s State) needed() (Cause, time.Time, bool) {
	if s.currentID() == "" {
		return CauseFirst, s.Now, true
	}
	if _, finished := s.finishedByAge(); finished {
		return s.rotation()
	}
	current, found := s.current()
	switch {
	case s.untilAsked():
		issuedAt, _ := s.currentIssuedAt()
		due, cause, ok := s.Plan.OnRequest().Rotation(issuedAt, string(s.Token.UID))
		return Cause(cause), due, ok
	case !found && s.Token.Status.EndedAt != "":
		// Taken back so long ago that the record is gone; wanted again.
		return CauseReactivated, s.Now, true
	case s.cutOff():
		return s.afterCutOff(current)
	case found && current.revoked() && current.Object.Status.Reason == v1alpha1.EndReasonUnused:
		due, cause, ok := s.Plan.OnRequest().Rotation(current.IssuedAt, string(s.Token.UID))
		return Cause(cause), due, ok
	case !found, current.Void != nil:
		return CauseRecordLost, s.Now, true
	case current.revoked() && followsFrom[current.Object.Status.Reason] != "":
		return followsFrom[current.Object.Status.Reason], s.Now, true
	case current.ended(s.Now):
		return CauseRecordRevoked, s.Now, true
	}
	if cause, damaged := s.secretDamage(); damaged {
		return cause, s.Now, true
	}
	return s.rotation()
}

// followsFrom is why a new token comes in the place of one that was revoked for a
// reason, once that no longer holds.
var followsFrom = map[v1alpha1.EndReason]Cause{
	v1alpha1.EndReasonSuspended:       CauseReactivated,
	v1alpha1.EndReasonRevoked:         CauseReactivated,
	v1alpha1.EndReasonPolicyViolation: CauseReactivated,
	v1alpha1.EndReasonRevokedByHolder: CauseRevokedByHolder,
	v1alpha1.EndReasonSubjectGone:     CauseSubjectRecreated,
}

// untilAsked says that the current token was taken back until somebody asks for
// another, and that its record is gone, by hand or by time: nobody asked by that.
func (s State) untilAsked() bool {
	if _, found := s.current(); found {
		return false
	}
	reason := s.Token.Status.EndReason
	return reason == v1alpha1.EndReasonUnused || reason == v1alpha1.EndReasonCutOff
}

// cutOff says that a revocation voids the current token.
func (s State) cutOff() bool {
	current, found := s.current()
	return found && current.revoked() && current.Object.Status.Reason == v1alpha1.EndReasonCutOff
}

// afterCutOff is when a new token comes in the place of one that a revocation
// voids: soon where that asks for it, else when a person does. Neither an interval
// nor a schedule gives back what was taken.
func (s State) afterCutOff(current Record) (Cause, time.Time, bool) {
	if current.Object.Status.Reissue {
		revokedAt, err := current.Object.Status.RevokedAt.Parse()
		if err != nil {
			revokedAt = s.Now
		}
		return CauseCutOff, revokedAt.Add(afterCut), true
	}
	due, cause, ok := s.Plan.OnRequest().Rotation(current.IssuedAt, string(s.Token.UID))
	return Cause(cause), due, ok
}

// afterCut is how long after a token was cut off the next one is made. A cut voids
// what is made in its second, too, and revokedAt is cut to a whole one: so the next
// second has begun, whatever clock the API server goes by.
const afterCut = 2 * time.Second

// secretDamage says why the wanted Secret does not deliver the current token.
func (s State) secretDamage() (Cause, bool) {
	secret, found := s.wantedSecret()
	_, carriedElsewhere := s.carrier()
	switch {
	case !found && carriedElsewhere:
		return CauseSecretTemplate, true
	case found && secret.Holder == HolderPredecessor:
		return CausePredecessor, true
	case !found:
		return CauseSecretDeleted, true
	case !secret.Intact, secret.TokenID != s.currentID():
		return CauseSecretChanged, true
	case secret.TemplateHash != s.TemplateHash:
		return CauseSecretTemplate, true
	}
	return "", false
}

// rotation is when the current token is rotated next, and why.
func (s State) rotation() (Cause, time.Time, bool) {
	issuedAt, ok := s.currentIssuedAt()
	if !ok {
		return "", time.Time{}, false
	}
	due, cause, ok := s.Plan.Rotation(issuedAt, string(s.Token.UID))
	if end, unused := s.endedUnused(); ok && unused && !due.Before(end) {
		// What nobody used is not replaced until somebody asks for it.
		due, cause, ok = s.Plan.OnRequest().Rotation(issuedAt, string(s.Token.UID))
	}
	if !ok {
		return "", time.Time{}, false
	}
	if end := s.currentHardEnd(); cause == schedule.Interval && end.After(issuedAt) && !due.Before(end) {
		// maxAge and interval were lengthened, which this token does not live to
		// see: it is replaced in its own time.
		due = issuedAt.Add(end.Sub(issuedAt) / 3 * 2)
	}
	if cause != schedule.Requested {
		end, ends := s.currentEnd()
		due = s.Plan.Spread(due, s.StartedAt, end, ends, string(s.Token.UID))
	}
	return Cause(cause), due, true
}

// currentEnd is when the current token ends or ended; the zero time when nothing
// tells.
func (s State) currentEnd() (at time.Time, ends bool) {
	if current, found := s.current(); found {
		return current.end(s.Now)
	}
	at, _ = s.finishedByAge()
	return at, true
}

// currentHardEnd is when the current token ends or ended however much it is used;
// the zero time when it does not end or nothing tells.
func (s State) currentHardEnd() time.Time {
	if current, found := s.current(); found {
		at, _ := current.hardEnd()
		return at
	}
	at, _ := s.finishedByAge()
	return at
}

// inFlight says that a record was made so lately that its writer may still
// publish it, and until when that is to be awaited.
func (s State) inFlight() (bool, time.Time) {
	published := s.publishedRevision()
	for _, r := range s.Records {
		until := r.IssuedAt.Add(s.Waits.InFlight)
		if r.Object.Spec.Revision > published && !r.ended(s.Now) && s.Now.Before(until) {
			return true, until
		}
	}
	return false, time.Time{}
}

// relabel makes the labels and annotations of a Secret be as declared, the label
// among them by which the operator watches it; that needs no new token. What an
// edit of the spec asks for waits for nothing.
func relabel(s State) Action {
	secret, due := s.relabelDue()
	if !due || !s.Edited() && s.Now.Before(s.Repairs.NotBefore) {
		return nil
	}
	return LabelSecret{Secret: secret}
}

func (s State) relabelDue() (Secret, bool) {
	secret, found := s.wantedSecret()
	return secret, found && secret.Holder == HolderSelf && secret.Unlabelled && s.PlanError == nil
}

func capAge(s State) Action {
	for _, r := range s.Records {
		age := s.Plan.MaxAge.Duration // zero: Never, or not to be read
		if s.Plan.ExtendWhenUsed && !r.sliding() {
			// Issued before use extended tokens, it lives from its issue as long as
			// one can that is used.
			age = s.Plan.MaxLifetime
		}
		if age > 0 && r.verifies(s.Now) && s.Published[r.Object.Name] && longer(r.Object, age) {
			return CapAge{Record: r, MaxAge: age}
		}
	}
	return nil
}

// shorten gives a token that use extends an earlier end where the spec no longer
// lets it live as long: maxLifetime became shorter, or extendWhenUsed is gone, so
// that maxAge counts from the issue.
func shorten(s State) Action {
	lifetime := s.Plan.MaxLifetime
	if lifetime <= 0 {
		return nil
	}
	for _, r := range s.Records {
		if !r.sliding() || !r.verifies(s.Now) || !s.Published[r.Object.Name] {
			continue
		}
		want := later(r.IssuedAt.Add(lifetime), s.Now)
		if end, ends := r.hardEnd(); !ends || want.Before(end) {
			return EndRecord{Record: r, ExpiresAt: want, Reason: v1alpha1.EndReasonShortened}
		}
	}
	return nil
}

// longer says that a record may grow older than the age.
func longer(object *v1alpha1.TokenRecord, age time.Duration) bool {
	seconds := int64(age / time.Second)
	limit := object.Spec.MaxAgeSeconds
	if lower := object.Status.MaxAgeSeconds; lower != nil && (limit == nil || *lower < *limit) {
		limit = lower
	}
	return limit == nil || *limit > seconds
}

// supersede gives every token before the current one its end: the one just
// before it that of the overlap, any older one now.
func supersede(s State) Action {
	current, found := s.current()
	if !found || !current.verifies(s.Now) {
		return nil
	}
	if _, carried := s.carrier(); !carried {
		return nil
	}
	overlapping := s.predecessor(current)
	for _, r := range s.Records {
		if r.Object.Spec.Revision >= current.Object.Spec.Revision || !s.Published[r.Object.Name] || r.ended(s.Now) {
			continue
		}
		end, ends := r.hardEnd() // that of the overlap is one, too: no use leads past it
		want := s.Now
		if r.Object.Name == overlapping {
			want = schedule.OverlapEnd(current.IssuedAt, s.Plan.Overlap, end, ends)
			if s.PlanError != nil && ends {
				want = end // an overlap that cannot be read shortens nothing further
			}
		}
		if !ends || want.Before(end) {
			return EndRecord{Record: r, ExpiresAt: want, Reason: v1alpha1.EndReasonSuperseded}
		}
	}
	return nil
}

// predecessor is the ID of the live published token just before the current
// one.
func (s State) predecessor(current Record) string {
	id, revision := "", int64(0)
	for _, r := range s.Records {
		earlier := r.Object.Spec.Revision < current.Object.Spec.Revision && s.Published[r.Object.Name]
		if earlier && !r.ended(s.Now) && r.Object.Spec.Revision > revision {
			id, revision = r.Object.Name, r.Object.Spec.Revision
		}
	}
	return id
}

func endUnpublished(s State) Action {
	for _, r := range s.Records {
		if at, ok := s.unpublishedEnd(r); ok && !s.Now.Before(at) {
			return EndRecord{Record: r, RevokedAt: s.Now, Reason: v1alpha1.EndReasonUnpublished}
		}
	}
	return nil
}

// unpublishedEnd is when a live record that reached no Secret is ended.
func (s State) unpublishedEnd(r Record) (time.Time, bool) {
	if s.Published[r.Object.Name] || r.ended(s.Now) {
		return time.Time{}, false
	}
	return r.IssuedAt.Add(s.Waits.Unpublished), true
}

func endAll(s State) Action {
	reason, _ := s.takenBack()
	for _, r := range s.Records {
		if !r.ended(s.Now) {
			return EndRecord{Record: r, RevokedAt: s.Now, Reason: reason}
		}
	}
	return nil
}

func withdrawExpired(s State) Action {
	if _, finished := s.finishedByAge(); !finished {
		return nil
	}
	return withdrawAll(s)
}

// withdrawCutOff takes a token that a revocation voids out of its Secret, unless
// another is about to take its place.
func withdrawCutOff(s State) Action {
	if !s.cutOff() {
		return nil
	}
	if _, at, ok := Due(s); ok && at.Sub(s.Now) <= afterCut {
		return nil
	}
	return withdrawAll(s)
}

func withdrawAll(s State) Action {
	for _, secret := range s.Secrets {
		if secret.Withdrawable() {
			return WithdrawSecret{Secret: secret}
		}
	}
	return nil
}

// withdrawRenamed clears Secrets of earlier names once the wanted one carries
// the current token.
func withdrawRenamed(s State) Action {
	current, found := s.current()
	carrier, carried := s.carrier()
	if !found || !carried || carrier.Name != s.Template.Name || !current.verifies(s.Now) {
		return nil
	}
	for _, secret := range s.Secrets {
		if secret.Name != s.Template.Name && secret.Withdrawable() {
			return WithdrawSecret{Secret: secret}
		}
	}
	return nil
}

// Withdrawable says that a Secret is ours and still holds what we wrote of a
// token, or nothing of anybody's.
func (s Secret) Withdrawable() bool {
	return s.Holder == HolderSelf && (s.TokenID != "" || len(s.Keys) > 0 || !s.Shared)
}

func deleteFinished(s State) Action {
	if at, ok := s.deletionDue(); ok && !s.Now.Before(at) {
		return DeleteToken{}
	}
	return nil
}

// deletionDue is when ttlAfterFinished deletes the object: only once the status
// says that the token ended, and nothing is to follow it.
func (s State) deletionDue() (time.Time, bool) {
	ended, err := s.Token.Status.EndedAt.Parse()
	if err != nil || s.Plan.TTLAfterFinished == nil || s.Token.Status.ObservedGeneration != s.Token.Generation {
		return time.Time{}, false
	}
	if reason, back := s.takenBack(); back && reason != v1alpha1.EndReasonRevoked {
		return time.Time{}, false
	} else if !back {
		if _, finished := s.finishedByAge(); !finished && !s.retired() {
			return time.Time{}, false
		}
		if _, _, replaced := Due(s); replaced {
			return time.Time{}, false
		}
	}
	return ended.Add(*s.Plan.TTLAfterFinished), true
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
