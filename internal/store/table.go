package store

import (
	"hash/maphash"
	"sync/atomic"

	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// table finds tokens by their ID: open addressing over pointers, so that readers
// need no lock and a token costs its pointer twice at most four times. One writer
// at a time; any number of readers beside it.
type table struct {
	current atomic.Pointer[slots]
	live    int // tokens in it
	used    int // slots that are not empty, also of tokens that left
}

type slots struct {
	seed maphash.Seed
	at   []atomic.Pointer[verify.Token] // its length is a power of two
}

// leastSlots is the size of an empty table.
const leastSlots = 64

// left stands where a token was, so that those behind it are still found. Its ID
// is none, and so nobody's.
var left verify.Token

func newTable(tokens int) *table {
	size := leastSlots
	for size*2 < tokens*3 {
		size *= 2
	}
	t := &table{}
	t.current.Store(newSlots(size))
	return t
}

func newSlots(size int) *slots {
	return &slots{seed: maphash.MakeSeed(), at: make([]atomic.Pointer[verify.Token], size)}
}

// home is the first slot to look at.
func (s *slots) home(id token.ID) int {
	return int(maphash.Bytes(s.seed, id[:]) & uint64(len(s.at)-1)) //nolint:gosec // masked
}

func (s *slots) next(slot int) int { return (slot + 1) & (len(s.at) - 1) }

// find returns the slot of a token, or else the empty one that ends the search.
func (s *slots) find(id token.ID) (slot int, found *verify.Token) {
	for slot = s.home(id); ; slot = s.next(slot) {
		switch t := s.at[slot].Load(); {
		case t == nil:
			return slot, nil
		case t.Key() == id:
			return slot, t
		}
	}
}

// get returns the token of this ID, or nil.
func (t *table) get(id token.ID) *verify.Token {
	_, found := t.current.Load().find(id)
	return found
}

// put adds a token, or takes the place of the one with its ID.
func (t *table) put(added *verify.Token) {
	s := t.current.Load()
	slot, found := s.find(added.Key())
	if found != nil {
		s.at[slot].Store(added)
		return
	}
	if (t.used+1)*4 > len(s.at)*3 {
		s = t.rebuild()
		slot, _ = s.find(added.Key())
	}
	s.at[slot].Store(added)
	t.live++
	t.used++
}

// remove takes a token out.
func (t *table) remove(id token.ID) {
	s := t.current.Load()
	slot, found := s.find(id)
	if found == nil {
		return
	}
	s.at[slot].Store(&left)
	t.live--
}

// rebuild moves all tokens into a table with room for as many again, and without
// the places of those that left. Readers go on with the old one until then.
func (t *table) rebuild() *slots {
	size := leastSlots
	for size < t.live*2+2 {
		size *= 2
	}
	moved := newSlots(size)
	for each := range t.all() {
		slot, _ := moved.find(each.Key())
		moved.at[slot].Store(each)
	}
	t.used = t.live
	t.current.Store(moved)
	return moved
}

// all yields the tokens; they may be removed meanwhile.
func (t *table) all() func(yield func(*verify.Token) bool) {
	s := t.current.Load()
	return func(yield func(*verify.Token) bool) {
		for i := range s.at {
			if each := s.at[i].Load(); each != nil && each != &left && !yield(each) {
				return
			}
		}
	}
}
