package store

import (
	"runtime"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// batch is how many records are taken in under one lock: a watch event waits for
// about a millisecond at most while a list of any length is taken in.
const batch = 256

// listing is a list of records that is being taken in, beside the view that
// requests are answered from until then.
type listing struct {
	*view
	// changes are what happened meanwhile: they count as later than the list.
	changes []change
	// revoked are tokens that were not, when they were put into it.
	revoked []*verify.Token
	// keysChanged says that some of it may have been opened with other keys.
	keysChanged bool
}

// ReplaceRecords takes in all records that there are, and forgets all others.
// Seals are opened side by side and without the lock, so that other changes go on
// meanwhile. Those of records count as later, unless their resource version is
// lower than that in the list.
func (s *Store) ReplaceRecords(records []*v1alpha1.TokenRecord) {
	s.lists.Lock()
	defer s.lists.Unlock()
	s.takeIn(s.beginList(len(records)), records)
}

// RereadRecords is ReplaceRecords with records that are read meanwhile: all that
// there are, as of one moment after read was called. Where they cannot be read all
// stays as it is.
func (s *Store) RereadRecords(read func() ([]*v1alpha1.TokenRecord, error)) error {
	s.lists.Lock()
	defer s.lists.Unlock()
	list := s.beginList(s.Len())
	records, err := read()
	if err != nil {
		s.dropList()
		return err
	}
	s.takeIn(list, records)
	return nil
}

func (s *Store) takeIn(list *listing, records []*v1alpha1.TokenRecord) {
	var opening sync.WaitGroup
	for share := range slices.Chunk(records, len(records)/runtime.GOMAXPROCS(0)+1) {
		opening.Go(func() {
			for some := range slices.Chunk(share, batch) {
				s.putListed(list, some)
			}
		})
	}
	opening.Wait()
	s.retire(s.endList(list))
}

func (s *Store) beginList(records int) *listing {
	defer s.change()()
	s.list = &listing{view: newView(records)}
	return s.list
}

func (s *Store) dropList() {
	defer s.change()()
	s.list = nil
}

func (s *Store) putListed(list *listing, records []*v1alpha1.TokenRecord) {
	opened := make([]tried, len(records))
	for i, rec := range records {
		opened[i] = s.try(rec)
	}
	defer s.change()()
	for _, each := range opened {
		s.put(list.view, each)
	}
}

// endList has requests answered from the list, with what happened since it began,
// and returns the tokens that they were answered from before.
func (s *Store) endList(list *listing) (before *table) {
	defer s.change()()
	s.missing = false
	for _, c := range list.changes {
		if !list.laterThan(c) {
			s.apply(list.view, c)
		}
	}
	if list.keysChanged {
		s.turnKeys(list.view)
	}
	for _, t := range list.revoked {
		if at, ended := s.newlyRevoked(t); ended && list.tokens.get(t.Key()) == t {
			s.options.Ended(at)
		}
	}
	before = s.tokens
	s.view, s.list = list.view, nil
	s.index.Store(s.tokens)
	s.complete.Store(!s.missing)
	return before
}

// laterThan says that the list has a later state of a record than a change.
func (l *listing) laterThan(c change) bool {
	id, err := token.ParseID(c.record.Name)
	if err != nil {
		return false
	}
	listed := l.tokens.get(id)
	if listed == nil || listed.Namespace() != c.record.Namespace {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(c.record.ResourceVersion, listed.ResourceVersion())
	return err == nil && order < 0
}

// retire lets go of tokens that are no longer looked up.
func (s *Store) retire(tokens *table) {
	for some := range slices.Chunk(slices.Collect(tokens.all()), batch) {
		s.releaseAll(some)
	}
}

func (s *Store) releaseAll(tokens []*verify.Token) {
	defer s.change()()
	for _, t := range tokens {
		s.release(t)
	}
}
