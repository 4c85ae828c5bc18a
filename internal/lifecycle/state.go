package lifecycle

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
	"github.com/accesstoken-dev/accesstoken-operator/internal/schedule"
)

// Waits are how long the operator gives another writer, or a crashed self, to
// finish an issue.
type Waits struct {
	// InFlight is how long a record that no Secret carries counts as an issue
	// on its way, which nobody else takes over.
	InFlight time.Duration
	// Unpublished is how long after its issue a record that reached no Secret
	// is ended.
	Unpublished time.Duration
}

// DefaultWaits are the waits of a running operator: 30 s and 60 s.
func DefaultWaits() Waits {
	return Waits{InFlight: 30 * time.Second, Unpublished: 60 * time.Second}
}

// State is everything that a decision about one AccessToken depends on.
type State struct {
	// Token is the declared object, with the status persisted last.
	Token *v1alpha1.AccessToken

	// Plan is what its spec asks for. Where PlanError is set, it holds what
	// could be read.
	Plan      schedule.Plan
	PlanError *schedule.InvalidError

	// Template is spec.secret with its defaults filled in, TemplateHash its
	// digest.
	Template     v1alpha1.SecretTemplate
	TemplateHash string

	// Records are those of this AccessToken's UID, in any order.
	Records []Record

	// Secrets are those that this AccessToken controls, and the one of the
	// wanted name whoever controls it.
	Secrets []Secret

	// Published holds the IDs of tokens known to have reached a Secret.
	Published map[string]bool

	// Repairs tells of earlier repairs of what others changed.
	Repairs Repairs

	// Subject is who the token acts as; nil for one that is its own principal.
	Subject *Subject

	// Refusal is why no token may be issued now: the right to what is declared is not
	// proved. Nil when nothing is known against it.
	Refusal *Refusal

	// Violation is what an AccessTokenPolicy does not allow; nil where all keeps to
	// them.
	Violation *Violation

	// Retirement is what policies ask for of tokens that nobody uses; nil where none
	// asks.
	Retirement *Retirement

	// Failure is that of the last issue, if it failed since the spec was last
	// changed and a token is still needed.
	Failure Failure

	// Place is that in the quota of the namespace. It is known only where the
	// next token takes one.
	Place Place

	// Now is the time of this pass; StartedAt is when the operator began to
	// act, before which whatever fell due is overdue.
	Now       time.Time
	StartedAt time.Time
	Waits     Waits
}

// Record is one TokenRecord with what it proved to be when opened.
type Record struct {
	Object *v1alpha1.TokenRecord

	// Void is why the record verifies nothing: an unknown key, a broken seal, a
	// replay. Nil for a good one.
	Void error

	// IssuedAt is spec.issuedAt; zero when it cannot be read.
	IssuedAt time.Time
}

// NewRecord reads a record that was opened with the outcome void.
func NewRecord(object *v1alpha1.TokenRecord, void error) Record {
	issuedAt, err := object.Spec.IssuedAt.Parse()
	if err != nil {
		issuedAt = time.Time{}
	}
	return Record{Object: object, Void: void, IssuedAt: issuedAt}
}

func (r Record) ended(now time.Time) bool { return record.Ended(r.Object, now) }

func (r Record) verifies(now time.Time) bool { return r.Void == nil && !r.ended(now) }

func (r Record) revoked() bool { return r.Object.Status.RevokedAt != "" }

// sliding says that use extends the token, which it does not for another one that
// was issued before the spec said so.
func (r Record) sliding() bool { return r.Object.Spec.ExtendWhenUsed }

// hardEnd is when the token ends however much it is used.
func (r Record) hardEnd() (at time.Time, ok bool) {
	life, err := record.LifetimeOf(r.Object)
	if err != nil {
		return time.Time{}, true
	}
	return life.HardEnd()
}

// idle is how long after its last use a token ends that use extends.
func (r Record) idle() (time.Duration, bool) {
	life, err := record.LifetimeOf(r.Object)
	if err != nil {
		return 0, false
	}
	return life.Sliding()
}

// endsUnused says that a use would move the token's end later.
func (r Record) endsUnused(now time.Time) bool {
	end, ends := r.end(now)
	hard, hardEnds := r.hardEnd()
	return r.sliding() && ends && (!hardEnds || end.Before(hard))
}

// end is when the token ends, as it is known at now: use may move it later.
func (r Record) end(now time.Time) (at time.Time, ok bool) {
	at, ok, err := record.Ends(r.Object, now)
	if err != nil {
		return time.Time{}, true
	}
	return at, ok
}

// Holder is who controls a Secret.
type Holder int

const (
	// HolderForeign: nobody, or somebody else.
	HolderForeign Holder = iota
	// HolderSelf: this AccessToken.
	HolderSelf
	// HolderPredecessor: an AccessToken of the same name that is no more; the
	// Secret waits for garbage collection.
	HolderPredecessor
	// HolderReleased: not this AccessToken any more, though its token is still in
	// it. Somebody took the owner reference off.
	HolderReleased
)

// Secret is what is known of a Secret without reading its content.
type Secret struct {
	Name            string
	UID             types.UID
	ResourceVersion string
	Holder          Holder

	// Revision and TokenID say which token is in it; zero and empty when none
	// is. A withdrawn Secret keeps its Revision. TokenID is empty too where
	// somebody changed what says so.
	Revision int64
	TokenID  string

	// Outranks says that somebody wrote so high a revision into it that it is not
	// believed. Policy lets no other one follow: the Secret has to be made anew.
	Outranks bool

	// Keys are those that hold what the operator wrote of a token.
	Keys []string

	// Format is the shape it was made in; TemplateHash is the digest of the
	// template that it was rendered from.
	Format       v1alpha1.SecretFormat
	TemplateHash string

	// Intact says that what the operator wrote in it is still as it was
	// written.
	Intact bool

	// Unlabelled says that its labels or annotations are not as declared, or that the
	// label is off by which the operator watches it. Labels and Annotations are what
	// is to change of them: nil for one that goes.
	Unlabelled  bool
	Labels      map[string]*string
	Annotations map[string]*string

	// OwnLabels and OwnAnnotations are those of the template that the operator wrote,
	// now or before.
	OwnLabels      []string
	OwnAnnotations []string

	// Shared says that others keep something in it.
	Shared bool

	// Owner is the controller of the Secret, as kind and name; Writers are those
	// who wrote into its data besides the operator. Both are for messages.
	Owner   string
	Writers []string
}

// Ours says that what is in a Secret counts as this AccessToken's.
func (s Secret) Ours() bool { return s.Holder == HolderSelf || s.Holder == HolderReleased }

// Repairs counts repairs of what others changed.
type Repairs struct {
	// NotBefore is the earliest moment of the next one; zero when none is held
	// back.
	NotBefore time.Time

	// Contested says that five or more were needed in a row.
	Contested bool

	// QuietAt is when the row counts as over.
	QuietAt time.Time

	// Writers names those who made the last one necessary, as far as is known.
	Writers []string
}

// Failure is that of an issue which is still needed: the API server refused it
// for good, by a quota or by an admission policy of somebody else's; somebody
// keeps writing the Secret; or a write of the Secret went wrong in another way.
type Failure struct {
	// NotBefore is the earliest moment of the next try; zero when there was
	// none.
	NotBefore time.Time

	// Message says what was refused and why.
	Message string
}

// Edited says that the spec is not the one that the status is about.
func (s State) Edited() bool { return s.Token.Generation != s.Token.Status.ObservedGeneration }

// wantedSecret returns the Secret of the wanted name.
func (s State) wantedSecret() (Secret, bool) {
	for _, secret := range s.Secrets {
		if secret.Name == s.Template.Name {
			return secret, true
		}
	}
	return Secret{}, false
}

func (s State) recordNamed(id string) (Record, bool) {
	for _, r := range s.Records {
		if id != "" && r.Object.Name == id {
			return r, true
		}
	}
	return Record{}, false
}

// currentID is the ID of the token issued last that reached a Secret, or empty
// when none ever did.
func (s State) currentID() string {
	// A status may be behind a Secret, when it could not be written; and a Secret
	// behind the status, when it was restored from a backup.
	id, revision := s.Token.Status.TokenID, s.notedRevision()
	if secret, ok := s.wantedSecret(); ok && secret.Ours() && secret.TokenID != "" && secret.Revision >= revision {
		return secret.TokenID
	}
	for _, secret := range s.Secrets {
		if secret.Ours() && secret.TokenID != "" && secret.Revision > revision {
			id, revision = secret.TokenID, secret.Revision
		}
	}
	return id
}

func (s State) current() (Record, bool) { return s.recordNamed(s.currentID()) }

// notedRevision is the revision of the token that the status names; zero when
// nothing is left to tell it by. status.revision may be higher: a revision that
// reached no Secret counts there too.
func (s State) notedRevision() int64 {
	id := s.Token.Status.TokenID
	for _, issued := range s.Token.Status.Tokens {
		if id != "" && issued.ID == id {
			return issued.Revision
		}
	}
	if r, ok := s.recordNamed(id); ok {
		return r.Object.Spec.Revision
	}
	return 0
}

// publishedRevision is the highest revision that reached a Secret.
func (s State) publishedRevision() int64 {
	highest := s.notedRevision()
	for _, secret := range s.Secrets {
		if secret.Ours() {
			highest = max(highest, secret.Revision)
		}
	}
	return highest
}

// nextRevision is one that no record, Secret or status ever had.
func (s State) nextRevision() int64 {
	highest := max(s.Token.Status.Revision, s.publishedRevision())
	for _, r := range s.Records {
		highest = max(highest, r.Object.Spec.Revision)
	}
	return highest + 1
}

// carrier is the Secret that holds the current token.
func (s State) carrier() (Secret, bool) {
	id := s.currentID()
	for _, secret := range s.Secrets {
		if secret.Ours() && id != "" && secret.TokenID == id {
			return secret, true
		}
	}
	return Secret{}, false
}

// takenBack says that the spec wants no token, and for what reason.
func (s State) takenBack() (v1alpha1.EndReason, bool) { return takenBack(s.Token) }

// TakenBack says that the spec wants no token.
func TakenBack(token *v1alpha1.AccessToken) bool {
	_, back := takenBack(token)
	return back
}

func takenBack(token *v1alpha1.AccessToken) (v1alpha1.EndReason, bool) {
	switch token.Spec.State {
	case v1alpha1.StateSuspended:
		return v1alpha1.EndReasonSuspended, true
	case v1alpha1.StateRevoked:
		return v1alpha1.EndReasonRevoked, true
	case v1alpha1.StateActive:
	}
	return "", false
}

// finishedByAge says that the current token reached its end, and when.
func (s State) finishedByAge() (time.Time, bool) {
	current, found := s.current()
	if found && (current.Void == nil || current.Object.Name != s.Token.Status.TokenID) {
		end, ends := current.end(s.Now)
		return end, ends && current.Void == nil && !current.revoked() && current.ended(s.Now)
	}
	// The record is gone or no longer opens: the status remembers. A token that
	// was taken back before its end has endedAt before expiresAt.
	status := s.Token.Status
	ended, endedErr := status.EndedAt.Parse()
	expires, expiresErr := status.ExpiresAt.Parse()
	if endedErr != nil || expiresErr != nil || s.currentID() != status.TokenID {
		return time.Time{}, false
	}
	return ended, !ended.Before(expires)
}

// endedUnused says that the current token ended for want of use, which would have
// let it live on, and when.
func (s State) endedUnused() (time.Time, bool) {
	end, finished := s.finishedByAge()
	if !finished {
		return time.Time{}, false
	}
	if current, found := s.current(); found && current.Void == nil {
		return end, current.endsUnused(s.Now)
	}
	issuedAt, err := s.Token.Status.IssuedAt.Parse()
	return end, s.Plan.ExtendWhenUsed && err == nil && end.Before(issuedAt.Add(s.Plan.MaxLifetime))
}

// Unconfirmed says that a token ended for want of use, as far as was observed,
// while the status does not say so yet. A verifier may just have written a use
// that a cache does not show: the record has to be read again before anything
// follows from its end.
func (s State) Unconfirmed(r Record) bool {
	if !r.sliding() || r.Void != nil || r.revoked() || !r.ended(s.Now) {
		return false
	}
	if hard, ends := r.hardEnd(); ends && !s.Now.Before(hard) {
		return false // no use would help
	}
	status := s.Token.Status
	switch {
	case r.Object.Name == status.TokenID:
		return status.EndedAt == ""
	case r.Object.Spec.Revision > status.Revision:
		return true
	}
	return slices.ContainsFunc(status.Tokens, func(t v1alpha1.IssuedToken) bool { return t.ID == r.Object.Name })
}

// currentIssuedAt is when the current token was issued.
func (s State) currentIssuedAt() (time.Time, bool) {
	if current, ok := s.current(); ok {
		return current.IssuedAt, !current.IssuedAt.IsZero()
	}
	at, err := s.Token.Status.IssuedAt.Parse()
	return at, err == nil
}
