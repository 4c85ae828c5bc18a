package accesstoken

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/delegation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
)

// unprovenRetry is how soon a right that could not be proved is asked for again:
// nothing tells of a policy or a role that was put right.
const unprovenRetry = time.Minute

// proveCreator proves, where a token is about to be issued that takes a right of
// whoever declared it, that they have it: by admission policy for the first one, and
// for later ones by the right that the creator still has. The policies have to be in
// force in any case: without them anybody may have changed what is declared.
func (p *pass) proveCreator(ctx context.Context, state *lifecycle.State) error {
	powers := delegation.PowersOf(p.token)
	if len(powers) == 0 || !state.Refusable() {
		return nil
	}
	refusal, err := p.prove(ctx, state, powers)
	if refusal != nil {
		state.Refusal = &lifecycle.Refusal{Reason: refusal.Reason, Message: refusal.Message}
		p.recheck = state.Now.Add(unprovenRetry)
	}
	return err
}

func (p *pass) prove(ctx context.Context, state *lifecycle.State, powers []delegation.Power) (*delegation.Refusal, error) {
	sealed := sealedCreator(state)
	if _, stamped := delegation.CreatorOf(p.token); !stamped && sealed == nil && state.Subject != nil {
		return delegation.Unstamped(), nil // which takes no request, and is common: by default nothing stamps
	}
	refusal, since, err := p.creators.InForce(ctx, p.token.Namespace, powers)
	if refusal != nil || err != nil {
		return refusal, err
	}
	for _, power := range powers {
		before, proved := p.unasked(state, power)
		if refusal := p.creators.Admitted(power, since[power], before); refusal != nil && !proved {
			return refusal, nil
		}
	}
	if refusal := p.redirected(state, sealed, since[delegation.ActingAs]); refusal != nil {
		return refusal, nil
	}
	p.checked = v1alpha1.CreatorCheckAdmission
	if sealed != nil {
		p.checked = v1alpha1.CreatorCheckAccessReview
	} else if p.token.Status.Revision == 0 {
		return nil, nil // the first token
	}
	// The creator has to have the right still. Where the records of earlier tokens are
	// gone, as whoever may delete them can bring about, it is the one of the stamp.
	creator, known := p.presentCreator(sealed)
	if !known {
		return nil, nil // and no service account or user is acted as: see Unstamped
	}
	return p.creators.Allowed(ctx, p.token, powers, creator)
}

// unasked is the latest moment at which the AccessToken certainly did not ask for a
// power, so that whoever did so was asked for the right if policy was in force then;
// proved says that a token with the power was issued, for which that was so. Only
// spec.maxAge can change.
func (p *pass) unasked(state *lifecycle.State, power delegation.Power) (before time.Time, proved bool) {
	before = p.token.CreationTimestamp.Time
	if power == delegation.ActingAs {
		return before, sealedCreator(state) != nil
	}
	latest := latestGood(state)
	switch {
	case latest == nil:
	case power == delegation.ReservedScopes:
		proved = slices.Equal(latest.Object.Spec.Scopes, p.token.Spec.Scopes)
	default:
		before, proved = latest.IssuedAt, p.neverStill(latest)
	}
	return before, proved
}

// neverStill says that a record is of the token issued last, which does not expire,
// and that nobody asked for an age since.
func (p *pass) neverStill(latest *lifecycle.Record) bool {
	object := latest.Object
	return object.Spec.Revision >= p.token.Status.Revision && object.Spec.MaxAgeSeconds == nil && object.Status.MaxAgeSeconds == nil
}

// latestGood is the last record that opens; nil where none does.
func latestGood(state *lifecycle.State) (latest *lifecycle.Record) {
	for i := range state.Records {
		if r := &state.Records[i]; r.Void == nil && (latest == nil || r.Object.Spec.Revision > latest.Object.Spec.Revision) {
			latest = r
		}
	}
	return latest
}

// redirected refuses a token of somebody else's subject whose Secret was changed
// when nobody may have asked for the right to.
func (p *pass) redirected(state *lifecycle.State, last *sealed, since time.Time) *delegation.Refusal {
	cause, _, _ := lifecycle.Due(*state)
	if state.Subject == nil || last == nil || cause != lifecycle.CauseSecretTemplate || !since.After(last.issuedAt) {
		return nil
	}
	return &delegation.Refusal{Reason: v1alpha1.ReasonCreatorUnchecked, Message: fmt.Sprintf(
		"spec.secret was changed, and the admission policies that ask for the right to are in force since %s only, after the last token was issued: put spec.secret back, or delete this AccessToken and create it again",
		v1alpha1.NewTimestamp(since))}
}

// sealed is a creator whose right was proved for an earlier token, of which a good
// record is left, and when that token was issued.
type sealed struct {
	*v1alpha1.Creator
	issuedAt time.Time
}

// sealedCreator is that of the latest such token; nil where there is none.
func sealedCreator(state *lifecycle.State) (latest *sealed) {
	kind := v1alpha1.SubjectKindAccessToken
	if state.Subject != nil {
		kind = state.Subject.Kind
	}
	for _, r := range state.Records {
		creator := r.Object.Spec.Creator
		proved := r.Void == nil && creator != nil && creator.Checked != "" && r.Object.Spec.Subject.Kind == kind
		if proved && (latest == nil || r.IssuedAt.After(latest.issuedAt)) {
			latest = &sealed{creator, r.IssuedAt}
		}
	}
	return latest
}

// presentCreator is who is asked about; known is false where nobody wrote it down.
// What is in a seal counts: the annotations may have been changed while the policies
// were away.
func (p *pass) presentCreator(last *sealed) (creator delegation.Creator, known bool) {
	creator, known = delegation.CreatorOf(p.token)
	if last != nil && (creator.Username != last.Username || creator.UID != last.UID || creator.GroupsDigest != last.GroupsDigest) {
		return delegation.Creator{Username: last.Username, UID: last.UID}, true
	}
	return creator, known
}

// creator is who declared the token, as admission policy stamped it, and, for one
// that takes a right, how that was proved.
func (p *pass) creator(state *lifecycle.State) *v1alpha1.Creator {
	proved := p.checked != ""
	if last := sealedCreator(state); proved && last != nil {
		return &v1alpha1.Creator{Username: last.Username, UID: last.UID, GroupsDigest: last.GroupsDigest, Checked: p.checked}
	}
	stamped, ok := delegation.CreatorOf(p.token)
	if !ok {
		return nil
	}
	creator := &v1alpha1.Creator{Username: stamped.Username, UID: stamped.UID}
	if proved {
		creator.Checked, creator.GroupsDigest = p.checked, stamped.GroupsDigest
	}
	return creator
}
