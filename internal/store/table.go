package store

import (
	"hash/maphash"
	"sync/atomic"

	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// table finds tokens by their ID: open addressing over pointers, so that readers
// need no lock. One writer at a time; any number of readers beside it. A token
// costs its slot of 16 bytes twice at most four times.
type table struct {
	current atomic.Pointer[slots]
	live    int // tokens in it
	used    int // slots that are not empty, also of tokens that left
}

type slots struct {
	seed maphash.Seed
	at   []slot // its length is a power of two
}

// slot is empty, or of the tokens of one ID for good. The hash of the ID is there
// before the token, and saves readers a look at most tokens of other IDs, which
// are anywhere in memory.
type slot struct {
	hash  atomic.Uint64
	token atomic.Pointer[verify.Token]
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
	return &slots{seed: maphash.MakeSeed(), at: make([]slot, size)}
}

// find returns the slot of an ID with its token, or else the empty one that ends
// the search, and the hash of the ID.
func (s *slots) find(id token.ID) (at *slot, hash uint64, found *verify.Token) {
	hash = maphash.Bytes(s.seed, id[:])
	mask := uint64(len(s.at) - 1) //nolint:gosec // a table is never empty
	for i := hash & mask; ; i = (i + 1) & mask {
		at = &s.at[i]
		switch t := at.token.Load(); {
		case t == nil:
			return at, hash, nil
		case at.hash.Load() == hash && t.Key() == id && t != &left:
			return at, hash, t
		}
	}
}

// set puts a token into the slot that was found for it.
func (s *slot) set(hash uint64, t *verify.Token) {
	s.hash.Store(hash)
	s.token.Store(t)
}

// get returns the token of this ID, or nil.
func (t *table) get(id token.ID) *verify.Token {
	_, _, found := t.current.Load().find(id)
	return found
}

// put adds a token, or takes the place of the one with its ID.
func (t *table) put(added *verify.Token) {
	s := t.current.Load()
	at, hash, found := s.find(added.Key())
	if found != nil {
		at.token.Store(added)
		return
	}
	if (t.used+1)*4 > len(s.at)*3 {
		at, hash, _ = t.rebuild().find(added.Key())
	}
	at.set(hash, added)
	t.live++
	t.used++
}

// remove takes a token out.
func (t *table) remove(id token.ID) {
	at, _, found := t.current.Load().find(id)
	if found == nil {
		return
	}
	at.token.Store(&left)
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
		at, hash, _ := moved.find(each.Key())
		at.set(hash, each)
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
			if each := s.at[i].token.Load(); each != nil && each != &left && !yield(each) {
				return
			}
		}
	}
}
