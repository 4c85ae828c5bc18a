package store

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// Refusal is why a record verifies nothing. It is a closed set: metrics are
// labelled by it.
type Refusal string

const (
	// RefusalMalformed: it is incomplete, or has a value that cannot be read.
	RefusalMalformed Refusal = "Malformed"
	// RefusalKeyUnknown: the key that it was sealed with is not there, or not yet.
	RefusalKeyUnknown Refusal = "KeyUnknown"
	// RefusalSealBroken: it is not as it was sealed.
	RefusalSealBroken Refusal = "SealBroken"
	// RefusalReplayed: it was not created when its token was issued.
	RefusalReplayed Refusal = "Replayed"
	// RefusalAmbiguous: two records that open have its ID.
	RefusalAmbiguous Refusal = "Ambiguous"
)

// Refusals are all of them.
func Refusals() []Refusal {
	return []Refusal{RefusalMalformed, RefusalKeyUnknown, RefusalSealBroken, RefusalReplayed, RefusalAmbiguous}
}

func refusalOf(err error) Refusal {
	switch {
	case errors.Is(err, record.ErrKeyUnknown):
		return RefusalKeyUnknown
	case errors.Is(err, record.ErrSealBroken):
		return RefusalSealBroken
	case errors.Is(err, record.ErrReplayed):
		return RefusalReplayed
	case errors.Is(err, errAmbiguous):
		return RefusalAmbiguous
	}
	return RefusalMalformed
}

var errAmbiguous = errors.New("two records of different namespaces that open have this ID")

// Options are what a Store is made of.
type Options struct {
	// Opener opens records; see record.Opener. Its Keys may change: see
	// KeysChanged.
	Opener record.Opener

	// Clock tells the time.
	Clock clock.PassiveClock

	// Refused is told of each record that does not open, once for each state of
	// it. It must not block. Nil is silent.
	Refused func(rec *v1alpha1.TokenRecord, why Refusal, err error)

	// Relist is called when the records have to be read anew, into ReplaceRecords.
	// It must not block. Nil does nothing.
	Relist func()

	// Ended is told of each token, AccessToken and namespace that was good and from
	// here on is not, with when its revocation or deletion was written. It is not
	// told where nothing says when: of an object that is gone at once. It must not
	// block. Nil is silent.
	Ended func(at time.Time)
}

// Store is the read model. Lookup may be called by anybody at any time; the
// other methods too, but the changes of one kind have to come in their order.
type Store struct {
	options  Options
	index    atomic.Pointer[table]
	complete atomic.Bool

	mu         sync.Mutex
	namespaces map[string]*place
	owners     map[ownerKey]*ownership
	departed   []departure // owners that are gone, the first first
	*view                  // its tokens are the index
	list       *listing    // that is being taken in; nil: none
	missing    bool        // records were found to be missing since this was last cleared

	lists sync.Mutex // held while a list is taken in

	revocations revocations
	startedAt   int64 // Unix seconds; what was revoked before is not told of
}

// view is the records as they were at one time.
type view struct {
	tokens    *table // those that open
	closed    map[types.NamespacedName]closedRecord
	contested map[token.ID]bool // IDs that two records have
	waiting   int               // closed records that are kept until their key comes
}

func newView(records int) *view {
	return &view{tokens: newTable(records), closed: map[types.NamespacedName]closedRecord{}, contested: map[token.ID]bool{}}
}

// closedRecord is one that does not open.
type closedRecord struct {
	why   Refusal
	keyID unique.Handle[string]
	// key is that of the ID when the record was tried; the zero handle: none.
	key unique.Handle[record.Key]
	// record is kept while its key may still come: two watches are not ordered.
	record *v1alpha1.TokenRecord
}

// mostWaiting bounds how many records are kept until their key comes. Beyond it
// all records are read anew when keys change.
const mostWaiting = 1024

// New makes an empty Store.
func New(options Options) *Store {
	if options.Refused == nil {
		options.Refused = func(*v1alpha1.TokenRecord, Refusal, error) {}
	}
	if options.Relist == nil {
		options.Relist = func() {}
	}
	if options.Ended == nil {
		options.Ended = func(time.Time) {}
	}
	s := &Store{
		options:    options,
		namespaces: map[string]*place{},
		owners:     map[ownerKey]*ownership{},
		view:       newView(0),

		revocations: newRevocations(),
		startedAt:   options.Clock.Now().Unix(),
	}
	s.index.Store(s.tokens)
	return s
}

// Lookup returns the token of this ID whose record opened, or nil. It takes no
// lock and does not allocate.
func (s *Store) Lookup(id token.ID) *verify.Token { return s.index.Load().get(id) }

// Complete says whether every token that should be found is: not before the first
// list of records, nor while they are read anew because tokens are missing.
func (s *Store) Complete() bool { return s.complete.Load() }

// Len is how many tokens can be looked up.
func (s *Store) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens.live
}

// Refused is how many records there are that do not open, by reason.
func (s *Store) Refused() map[Refusal]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := map[Refusal]int{}
	for _, closed := range s.closed {
		counts[closed.why]++
	}
	return counts
}

// PutRecord takes in a record as it is now.
func (s *Store) PutRecord(rec *v1alpha1.TokenRecord) {
	defer s.change()()
	s.happen(change{record: rec})
}

// DeleteRecord forgets a record.
func (s *Store) DeleteRecord(rec *v1alpha1.TokenRecord) {
	defer s.change()()
	s.happen(change{record: rec, deleted: true})
}

// change is what happened to a record.
type change struct {
	record  *v1alpha1.TokenRecord
	deleted bool
}

// happen takes in a change, and keeps it for a list that is being taken in.
func (s *Store) happen(c change) {
	s.apply(s.view, c)
	if s.list != nil {
		s.list.changes = append(s.list.changes, c)
	}
}

func (s *Store) apply(v *view, c change) {
	if !c.deleted {
		s.put(v, s.try(c.record))
		return
	}
	name := nameOf(c.record)
	if v.closed[name].why == RefusalAmbiguous {
		s.relist() // the other one may open without it
	}
	v.forget(name)
	if id, err := token.ParseID(c.record.Name); err == nil {
		s.drop(v, id, c.record.Namespace)
	}
}

// KeysChanged opens records that waited for a key, and lets go of those whose
// key is gone.
func (s *Store) KeysChanged() {
	defer s.change()()
	if s.list != nil {
		s.list.keysChanged = true
	}
	s.turnKeys(s.view)
}

func (s *Store) turnKeys(v *view) {
	for t := range v.tokens.all() {
		key, ok := s.options.Opener.Keys.Key(t.KeyID())
		switch {
		case ok && t.SealedWith(key):
			continue
		case ok:
			s.relist() // it may open with this one
		default:
			s.options.Relist() // it is to be told of
		}
		s.drop(v, t.Key(), t.Namespace())
	}
	for _, rec := range s.openable(v) {
		s.put(v, s.try(rec))
	}
}

// openable are the records that did not open, and may with the keys that there
// are now. For those that were not kept it has all read anew.
func (s *Store) openable(v *view) (records []*v1alpha1.TokenRecord) {
	for _, closed := range v.closed {
		if closed.why != RefusalKeyUnknown && closed.why != RefusalSealBroken {
			continue
		}
		key, ok := s.options.Opener.Keys.Key(closed.keyID.Value())
		switch {
		case !ok || closed.key == unique.Make(key):
		case closed.record != nil:
			records = append(records, closed.record)
		default:
			s.relist()
		}
	}
	return records
}

// relist has the records read anew because some may be missing.
func (s *Store) relist() {
	s.missing = true
	s.complete.Store(false)
	s.options.Relist()
}

// change begins a change, and returns what ends it.
func (s *Store) change() (end func()) {
	s.mu.Lock()
	s.forgetDeparted()
	return s.mu.Unlock
}

// tried is a record with what came of opening its seal.
type tried struct {
	record *v1alpha1.TokenRecord
	key    unique.Handle[record.Key] // that of its ID; the zero handle: none
	sealed record.Sealed
	err    error
}

// try opens a seal. It needs no lock.
func (s *Store) try(rec *v1alpha1.TokenRecord) tried {
	t := tried{record: rec}
	// Before it is opened: of keys that change meanwhile, KeysChanged is still to come.
	if key, ok := s.options.Opener.Keys.Key(rec.Spec.KeyID); ok {
		t.key = unique.Make(key)
	}
	t.sealed, t.err = s.options.Opener.Open(rec)
	return t
}

// put takes a record into a view. One that does not open takes the place of what
// it was before, too.
func (s *Store) put(v *view, t tried) {
	v.forget(nameOf(t.record))
	opened, err := s.open(t)
	if err == nil {
		err = s.contest(v, opened)
	}
	if err == nil {
		s.insert(v, opened)
		return
	}
	if id, malformed := token.ParseID(t.record.Name); malformed == nil {
		s.drop(v, id, t.record.Namespace)
		if !errors.Is(err, errAmbiguous) {
			s.concede(v, id)
		}
	}
	s.close(v, t, err)
}

func (s *Store) open(t tried) (*verify.Token, error) {
	if t.err != nil {
		return nil, t.err
	}
	spec := &t.record.Spec
	owner := s.owner(ownerKey{verify.OwnerAccessToken, t.record.Namespace, spec.AccessTokenUID}, spec.AccessTokenName)
	var account *verify.Owner
	if spec.Subject.Kind == v1alpha1.SubjectKindServiceAccount {
		account = s.owner(ownerKey{verify.OwnerServiceAccount, t.record.Namespace, spec.Subject.UID}, spec.Subject.Name)
	}
	opened, err := verify.NewToken(t.record, t.sealed, owner, account)
	if err != nil {
		s.tidy(keyOf(owner))
		if account != nil {
			s.tidy(keyOf(account))
		}
		return nil, err
	}
	return opened, nil
}

// contest makes sure that an ID is one token's. Where two records that open have
// the same, in different namespaces, neither is good.
func (s *Store) contest(v *view, opened *verify.Token) error {
	id := opened.Key()
	other := v.tokens.get(id)
	if other != nil && other.Namespace() != opened.Namespace() {
		v.contested[id] = true
		s.drop(v, id, other.Namespace())
		v.closed[types.NamespacedName{Namespace: other.Namespace(), Name: other.ID()}] = closedRecord{why: RefusalAmbiguous}
	}
	if v.contested[id] {
		for owner := range ownersOf(opened) {
			s.tidy(keyOf(owner))
		}
		return errAmbiguous
	}
	return nil
}

// concede ends the contest for an ID, if there was one: a record of it no longer
// opens, and the other one may open now.
func (s *Store) concede(v *view, id token.ID) {
	if v.contested[id] {
		delete(v.contested, id)
		s.relist()
	}
}

// insert puts a token into a view, in the place of what it was before.
func (s *Store) insert(v *view, opened *verify.Token) {
	s.hold(opened)
	s.revocations.cuts.apply(opened)
	if now := s.tokens.get(opened.Key()); now != nil {
		opened.Succeed(now)
	}
	if at, ended := s.newlyRevoked(opened); ended && v == s.view {
		s.options.Ended(at)
	} else if ended {
		s.list.revoked = append(s.list.revoked, opened)
	}
	before := v.tokens.get(opened.Key())
	v.tokens.put(opened)
	if before != nil {
		s.release(before)
	}
}

// newlyRevoked says when a token was revoked that is looked up as one which is
// not. What was revoked before this program started is passed over.
func (s *Store) newlyRevoked(opened *verify.Token) (at time.Time, ok bool) {
	before := s.tokens.get(opened.Key())
	if before == nil {
		return time.Time{}, false
	}
	if _, known := before.RevokedAt(); known {
		return time.Time{}, false
	}
	return opened.RevokedAt()
}

// drop takes a token out of a view, if it is in this namespace: a record of the
// same name elsewhere has nothing to do with it.
func (s *Store) drop(v *view, id token.ID, namespace string) {
	if t := v.tokens.get(id); t != nil && t.Namespace() == namespace {
		v.tokens.remove(id)
		s.release(t)
	}
}

// close notes that a record does not open.
func (s *Store) close(v *view, t tried, err error) {
	closed := closedRecord{why: refusalOf(err), keyID: unique.Make(t.record.Spec.KeyID), key: t.key}
	if closed.why == RefusalKeyUnknown && v.waiting < mostWaiting {
		closed.record = t.record
		v.waiting++
	}
	v.closed[nameOf(t.record)] = closed
	s.options.Refused(t.record, closed.why, err)
}

// forget drops what was noted of a record that does not open.
func (v *view) forget(name types.NamespacedName) {
	if v.closed[name].record != nil {
		v.waiting--
	}
	delete(v.closed, name)
}

func nameOf(rec *v1alpha1.TokenRecord) types.NamespacedName {
	return types.NamespacedName{Namespace: rec.Namespace, Name: rec.Name}
}
