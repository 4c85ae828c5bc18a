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
	closed     map[types.NamespacedName]closedRecord
	contested  map[token.ID]bool // IDs that two records have
	waiting    int               // closed records that are kept until their key comes
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
		closed:     map[types.NamespacedName]closedRecord{},
		contested:  map[token.ID]bool{},
	}
	s.index.Store(newTable(0))
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
	return s.index.Load().live
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
	s.put(s.index.Load(), rec)
}

// DeleteRecord forgets a record.
func (s *Store) DeleteRecord(rec *v1alpha1.TokenRecord) {
	defer s.change()()
	if s.closed[nameOf(rec)].why == RefusalAmbiguous {
		s.relist() // the other one may open without it
	}
	s.forget(nameOf(rec))
	if id, err := token.ParseID(rec.Name); err == nil {
		s.drop(s.index.Load(), id, rec.Namespace)
	}
}

// ReplaceRecords takes in all records that there are, and forgets all others.
func (s *Store) ReplaceRecords(records []*v1alpha1.TokenRecord) {
	defer s.change()()
	clear(s.closed)
	clear(s.contested)
	s.waiting = 0
	fresh := newTable(len(records))
	for _, rec := range records {
		s.put(fresh, rec)
	}
	before := s.index.Load()
	for t := range before.all() {
		if now := fresh.get(t.Key()); now != nil {
			now.Succeed(t)
		}
	}
	s.index.Store(fresh)
	s.complete.Store(true)
	for t := range before.all() {
		s.release(t.Owner())
	}
}

// KeysChanged opens records that waited for a key, and lets go of those whose
// key is gone.
func (s *Store) KeysChanged() {
	defer s.change()()
	index := s.index.Load()
	for t := range index.all() {
		key, ok := s.options.Opener.Keys.Key(t.KeyID())
		switch {
		case ok && t.SealedWith(key):
			continue
		case ok:
			s.relist() // it may open with this one
		default:
			s.options.Relist() // it is to be told of
		}
		s.drop(index, t.Key(), t.Namespace())
	}
	for _, rec := range s.openable() {
		s.put(index, rec)
	}
}

// openable are the records that did not open, and may with the keys that there
// are now. For those that were not kept it has all read anew.
func (s *Store) openable() (records []*v1alpha1.TokenRecord) {
	for _, closed := range s.closed {
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
	s.complete.Store(false)
	s.options.Relist()
}

// change begins a change, and returns what ends it.
func (s *Store) change() (end func()) {
	s.mu.Lock()
	s.forgetDeparted()
	return s.mu.Unlock
}

// put opens a record into a table. One that does not open takes the place of
// what it was before, too.
func (s *Store) put(index *table, rec *v1alpha1.TokenRecord) {
	name := nameOf(rec)
	s.forget(name)
	closed := closedRecord{keyID: unique.Make(rec.Spec.KeyID)}
	// Before it is opened: of keys that change meanwhile, KeysChanged is still to come.
	if key, ok := s.options.Opener.Keys.Key(rec.Spec.KeyID); ok {
		closed.key = unique.Make(key)
	}
	opened, err := s.open(rec)
	if err == nil {
		err = s.contest(index, opened)
	}
	if err == nil {
		s.insert(index, opened)
		return
	}
	if id, malformed := token.ParseID(rec.Name); malformed == nil {
		s.drop(index, id, rec.Namespace)
		if !errors.Is(err, errAmbiguous) {
			s.concede(id)
		}
	}
	s.close(name, closed, rec, err)
}

func (s *Store) open(rec *v1alpha1.TokenRecord) (*verify.Token, error) {
	sealed, err := s.options.Opener.Open(rec)
	if err != nil {
		return nil, err
	}
	owner := s.owner(ownerKey{rec.Namespace, rec.Spec.AccessTokenUID}, rec.Spec.AccessTokenName)
	opened, err := verify.NewToken(rec, sealed, owner)
	if err != nil {
		s.tidy(keyOf(owner))
		return nil, err
	}
	return opened, nil
}

// contest makes sure that an ID is one token's. Where two records that open have
// the same, in different namespaces, neither is good.
func (s *Store) contest(index *table, opened *verify.Token) error {
	id := opened.Key()
	other := index.get(id)
	if other != nil && other.Namespace() != opened.Namespace() {
		s.contested[id] = true
		s.drop(index, id, other.Namespace())
		s.closed[types.NamespacedName{Namespace: other.Namespace(), Name: other.ID()}] = closedRecord{why: RefusalAmbiguous}
	}
	if s.contested[id] {
		s.tidy(keyOf(opened.Owner()))
		return errAmbiguous
	}
	return nil
}

// concede ends the contest for an ID, if there was one: a record of it no longer
// opens, and the other one may open now.
func (s *Store) concede(id token.ID) {
	if s.contested[id] {
		delete(s.contested, id)
		s.relist()
	}
}

// insert puts a token into a table, in the place of what it was before.
func (s *Store) insert(index *table, opened *verify.Token) {
	s.hold(opened.Owner())
	s.noteRevoked(opened)
	before := index.get(opened.Key())
	if before != nil {
		opened.Succeed(before)
	}
	index.put(opened)
	if before != nil {
		s.release(before.Owner())
	}
}

// noteRevoked tells of a token that was not revoked when it was last seen. What
// was revoked before this program started is passed over.
func (s *Store) noteRevoked(opened *verify.Token) {
	before := s.index.Load().get(opened.Key())
	if before == nil {
		return
	}
	if _, known := before.RevokedAt(); known {
		return
	}
	if at, revoked := opened.RevokedAt(); revoked {
		s.options.Ended(at)
	}
}

// drop takes a token out of a table, if it is in this namespace: a record of the
// same name elsewhere has nothing to do with it.
func (s *Store) drop(index *table, id token.ID, namespace string) {
	if t := index.get(id); t != nil && t.Namespace() == namespace {
		index.remove(id)
		s.release(t.Owner())
	}
}

// close notes that a record does not open.
func (s *Store) close(name types.NamespacedName, closed closedRecord, rec *v1alpha1.TokenRecord, err error) {
	closed.why = refusalOf(err)
	if closed.why == RefusalKeyUnknown && s.waiting < mostWaiting {
		closed.record = rec
		s.waiting++
	}
	s.closed[name] = closed
	s.options.Refused(rec, closed.why, err)
}

// forget drops what was noted of a record that does not open.
func (s *Store) forget(name types.NamespacedName) {
	if s.closed[name].record != nil {
		s.waiting--
	}
	delete(s.closed, name)
}

func nameOf(rec *v1alpha1.TokenRecord) types.NamespacedName {
	return types.NamespacedName{Namespace: rec.Namespace, Name: rec.Name}
}
