package verify

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"
	"unique"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

// Token is what is kept in memory of one sealed record. It is immutable but for
// when a use was last noted and sampled, and that it can be cut off; a changed
// record makes another Token.
type Token struct {
	// What every decision reads, side by side.
	id        token.ID
	sealed    record.Sealed
	life      record.Lifetime
	owner     *Owner
	seldom    *seldom
	issuedAt  int64        // Unix seconds
	createdAt int64        // Unix seconds, by the API server
	revokedAt atomic.Int64 // Unix microseconds, or notRevoked
	audiences List
	scopes    List

	// What is told of a token that is good.
	subject         string
	uid             string
	creator         unique.Handle[string]
	groups          List
	keyID           unique.Handle[string]
	lastUsedAt      int64 // Unix seconds; 0: never
	resourceVersion uint64

	noted   atomic.Int64  // Unix seconds
	sampled atomic.Uint64 // Unix minutes, then eight bits of protocols
}

// seldom is what most tokens have not: they point to nothing of it, which saves
// each its place.
type seldom struct {
	networks []netip.Prefix // that it is limited to; none for one that is not
	account  *Owner         // the service account that it acts as; nil for other subjects
}

var nothing seldom

const notRevoked = math.MaxInt64

// NewToken makes a Token from a record that opened as sealed, of an AccessToken and
// of the service account that it acts as, nil where it acts as none. It fails for a
// record with a value that cannot be read or kept; such a one verifies nothing.
func NewToken(rec *v1alpha1.TokenRecord, sealed record.Sealed, owner, account *Owner) (*Token, error) {
	t := &Token{
		sealed: sealed, owner: owner, seldom: &nothing, subject: rec.Spec.Subject.Name, uid: rec.Spec.Subject.UID,
		keyID: unique.Make(rec.Spec.KeyID), creator: unique.Make(creatorOf(rec)), createdAt: rec.CreationTimestamp.Unix(),
	}
	t.revokedAt.Store(notRevoked)
	for _, known := range []*Owner{owner, account} {
		if known != nil && t.uid == known.uid {
			t.uid = known.uid // one text instead of two
		}
	}
	var err error
	if t.id, err = token.ParseID(rec.Name); err != nil {
		return nil, fmt.Errorf("metadata.name: %w", err)
	}
	if t.resourceVersion, err = strconv.ParseUint(rec.ResourceVersion, 10, 64); err != nil {
		return nil, fmt.Errorf("metadata.resourceVersion: %w", err)
	}
	if t.life, err = record.LifetimeOf(rec); err != nil {
		return nil, err
	}
	if err := t.readInstants(rec); err != nil {
		return nil, err
	}
	if err := t.readLists(&rec.Spec); err != nil {
		return nil, err
	}
	networks, err := networksOf(&rec.Spec)
	if err != nil {
		return nil, err
	}
	if len(networks) > 0 || account != nil {
		t.seldom = &seldom{networks, account}
	}
	return t, nil
}

func creatorOf(rec *v1alpha1.TokenRecord) string {
	if rec.Spec.Creator == nil {
		return ""
	}
	return rec.Spec.Creator.Username
}

// readInstants reads what LifetimeOf has checked.
func (t *Token) readInstants(rec *v1alpha1.TokenRecord) error {
	issued, err := rec.Spec.IssuedAt.Parse()
	if err != nil {
		return fmt.Errorf("spec.issuedAt: %w", err)
	}
	t.issuedAt = issued.Unix()
	if revoked, err := rec.Status.RevokedAt.Parse(); err == nil {
		t.revokedAt.Store(revoked.UnixMicro())
	}
	if used, err := rec.Status.LastUsedAt.Parse(); err == nil {
		t.lastUsedAt = used.Unix()
	}
	return nil
}

func (t *Token) readLists(spec *v1alpha1.TokenRecordSpec) error {
	for _, list := range []struct {
		field string
		items []string
		to    *List
	}{
		{"spec.subject.groups", spec.Subject.Groups, &t.groups},
		{"spec.scopes", spec.Scopes, &t.scopes},
		{"spec.audiences", spec.Audiences, &t.audiences},
	} {
		var ok bool
		if *list.to, ok = NewList(list.items); !ok {
			return fmt.Errorf("%s: an item is empty or holds a NUL", list.field)
		}
	}
	return nil
}

func networksOf(spec *v1alpha1.TokenRecordSpec) ([]netip.Prefix, error) {
	networks := make([]netip.Prefix, len(spec.AllowedCIDRs))
	for i, text := range spec.AllowedCIDRs {
		var err error
		if networks[i], err = text.Parse(); err != nil {
			return nil, fmt.Errorf("spec.allowedCIDRs[%d]: %w", i, err)
		}
	}
	return networks, nil
}

// ID is the token's ID and the name of its record.
func (t *Token) ID() string { return t.id.String() }

// Key is the ID as it is looked up.
func (t *Token) Key() token.ID { return t.id }

// KeyID names the key that the record is sealed with.
func (t *Token) KeyID() string { return t.keyID.Value() }

// SealedWith says that this is the key.
func (t *Token) SealedWith(key record.Key) bool { return t.sealed.With(key) }

// Owner is the AccessToken that declares the token.
func (t *Token) Owner() *Owner { return t.owner }

// Account is the service account that the token acts as; nil for one that acts as
// none.
func (t *Token) Account() *Owner { return t.seldom.account }

// Namespace is where the record and its AccessToken are.
func (t *Token) Namespace() string { return t.owner.namespace.name }

// Name is that of the AccessToken.
func (t *Token) Name() string { return t.owner.name }

// Subject is the user name that the token acts as.
func (t *Token) Subject() string { return t.subject }

// SubjectUID is the UID of that user; empty where it has none.
func (t *Token) SubjectUID() string { return t.uid }

// Creator is the user name of who declared the token; empty where it is not
// known.
func (t *Token) Creator() string { return t.creator.Value() }

// Groups are those that the user is in.
func (t *Token) Groups() List { return t.groups }

// Scopes are what the token is limited to; absent for one that is not limited by
// scope.
func (t *Token) Scopes() List { return t.scopes }

// Audiences are those that it was declared for; absent means the installation's
// default audience.
func (t *Token) Audiences() List { return t.audiences }

// MeantFor says that the token is meant for this audience; byDefault is that of
// tokens which were declared without one.
func (t *Token) MeantFor(audience, byDefault string) bool {
	if t.audiences.Absent() {
		return audience == byDefault && audience != ""
	}
	return t.audiences.Contains(audience)
}

// Networked says that the token may be used from some networks only.
func (t *Token) Networked() bool { return len(t.seldom.networks) > 0 }

// IssuedAt is when the token was issued.
func (t *Token) IssuedAt() time.Time { return time.Unix(t.issuedAt, 0).UTC() }

// RevokedAt is when the token was revoked, by the clock of who did; ok is false
// for one that is not. It is refused from the moment that this is known, whatever
// the other clock said: nobody revokes for later.
func (t *Token) RevokedAt() (at time.Time, ok bool) {
	revoked := t.revokedAt.Load()
	return time.UnixMicro(revoked).UTC(), revoked != notRevoked
}

// CutOff revokes the token here, though its record does not say so yet, and says
// whether it was not revoked before. At is when that was decided, in Unix seconds.
func (t *Token) CutOff(at int64) bool {
	return t.revokedAt.CompareAndSwap(notRevoked, time.Unix(at, 0).UnixMicro())
}

// CreatedAt is when the record was created, by the API server's clock, in Unix
// seconds.
func (t *Token) CreatedAt() int64 { return t.createdAt }

// Lifetime is what the token's end follows from.
func (t *Token) Lifetime() record.Lifetime { return t.life }

// LastUsedAt is the last use that the record tells of; ok is false for none.
func (t *Token) LastUsedAt() (at time.Time, ok bool) {
	return time.Unix(t.lastUsedAt, 0).UTC(), t.lastUsedAt != 0
}

// ResourceVersion is that of the record that the Token was made from.
func (t *Token) ResourceVersion() string { return strconv.FormatUint(t.resourceVersion, 10) }

// Older says that the Token was made from an earlier state of the record than
// another.
func (t *Token) Older(other *Token) bool { return t.resourceVersion < other.resourceVersion }

// Succeed takes over from the Token of an earlier state of the same record when
// a use was last noted and sampled, and that it was cut off.
func (t *Token) Succeed(before *Token) {
	t.noted.Store(before.noted.Load())
	t.sampled.Store(before.sampled.Load())
	t.revokedAt.CompareAndSwap(notRevoked, before.revokedAt.Load())
}

// Note reports whether no use was noted in this second yet, and that to one
// caller only: so a token that is used a thousand times a second is noted once.
func (t *Token) Note(now time.Time) bool {
	second, noted := now.Unix(), t.noted.Load()
	return second != noted && t.noted.CompareAndSwap(noted, second)
}

// Sample reports whether nothing of this protocol was sampled in this minute
// yet, and that to one caller only.
func (t *Token) Sample(protocol Protocol, now time.Time) bool {
	minute := uint64(max(now.Unix(), 0)) / 60 << 8
	for {
		before := t.sampled.Load()
		after := minute | protocol.bit()
		if before&^0xff == minute {
			after |= before
		}
		if after == before {
			return false
		}
		if t.sampled.CompareAndSwap(before, after) {
			return true
		}
	}
}
