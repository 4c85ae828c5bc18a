package store

import (
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/internal/revocation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// A revocation is compared with tokens twice: with those that are there when it
// comes, by a sweep over all, and with each that comes later. A request sees
// nothing of it but whether its token is revoked. What was cut off stays so in
// memory, also when the revocation is deleted.

// cut is up to when tokens are void.
type cut struct {
	before  int64 // Unix seconds: those created in this second or earlier
	written int64 // Unix seconds: when it was revoked
}

// in names something within a namespace; that is empty for what may be anywhere.
type in[T comparable] struct {
	namespace string
	what      T
}

// cuts are the latest cut for each thing that a token can be revoked by.
type cuts struct {
	all        *cut
	namespaces map[string]cut
	users      map[in[string]]cut
	ids        map[in[token.ID]]cut
}

func newCuts() *cuts {
	return &cuts{namespaces: map[string]cut{}, users: map[in[string]]cut{}, ids: map[in[token.ID]]cut{}}
}

// add takes in a revocation.
func (c *cuts) add(r *revocation.Revocation) {
	added := cut{before: r.Before.Unix(), written: r.CreatedAt.Unix()}
	switch {
	case r.User != "":
		raise(c.users, in[string]{r.Namespace, r.User}, added)
	case len(r.TokenIDs) > 0:
		for _, text := range r.TokenIDs {
			if id, err := token.ParseID(text); err == nil {
				raise(c.ids, in[token.ID]{r.Namespace, id}, added)
			}
		}
	case r.Namespace != "":
		raise(c.namespaces, r.Namespace, added)
	case c.all == nil || added.before > c.all.before:
		c.all = &added
	}
}

func raise[K comparable](cuts map[K]cut, key K, added cut) {
	if known, ok := cuts[key]; !ok || added.before > known.before {
		cuts[key] = added
	}
}

// apply cuts off a token that is void, and says that it was not before, and when
// it was revoked.
func (c *cuts) apply(t *verify.Token) (written int64, newly bool) {
	consider := func(at cut, ok bool) {
		if ok && t.CreatedAt() <= at.before && (written == 0 || at.written < written) {
			written = at.written
		}
	}
	if c.all != nil {
		consider(*c.all, true)
	}
	if len(c.namespaces) > 0 {
		at, ok := c.namespaces[t.Namespace()]
		consider(at, ok)
	}
	for _, namespace := range [...]string{t.Namespace(), ""} {
		if len(c.users) > 0 {
			at, ok := c.users[in[string]{namespace, t.Subject()}]
			consider(at, ok)
		}
		if len(c.ids) > 0 {
			at, ok := c.ids[in[token.ID]{namespace, t.Key()}]
			consider(at, ok)
		}
	}
	return written, written != 0 && t.CutOff(written)
}

// spare is how many revocations may be gone before the cuts are made up anew, at
// the least: until then they cut off what is void all the same.
const spare = 64

// PutRevocation takes in a revocation. Tokens that are there are refused from the
// next ApplyRevocations on, those that come from now on.
func (s *Store) PutRevocation(r revocation.Revocation) {
	defer s.change()()
	s.putRevocation(r)
}

func (s *Store) putRevocation(r revocation.Revocation) {
	if known, ok := s.revocations[r.Ref]; ok && known.UID == r.UID {
		return // it cannot change
	} else if ok {
		s.deleteRevocation(r.Ref) // it was made anew
	}
	s.revocations[r.Ref] = r
	s.cuts.add(&r)
	s.sweeping.add(&r)
	select {
	case s.sweep <- struct{}{}:
	default: // one is waiting already
	}
}

// DeleteRevocation forgets a revocation. What it cut off stays so.
func (s *Store) DeleteRevocation(ref revocation.Ref) {
	defer s.change()()
	s.deleteRevocation(ref)
}

func (s *Store) deleteRevocation(ref revocation.Ref) {
	if _, known := s.revocations[ref]; !known {
		return
	}
	delete(s.revocations, ref)
	if s.stale++; s.stale <= max(spare, len(s.revocations)) {
		return
	}
	s.stale, s.cuts = 0, newCuts()
	for _, r := range s.revocations {
		s.cuts.add(&r)
	}
}

// ReplaceRevocations takes in all revocations that there are of one kind, and
// applies them. The others of that kind are gone.
func (s *Store) ReplaceRevocations(namespaced bool, all []revocation.Revocation) {
	s.replaceRevocations(namespaced, all)
	s.ApplyRevocations()
}

func (s *Store) replaceRevocations(namespaced bool, all []revocation.Revocation) {
	defer s.change()()
	there := make(map[revocation.Ref]bool, len(all))
	for _, r := range all {
		there[r.Ref] = true
		s.putRevocation(r)
	}
	for ref := range s.revocations {
		if (ref.Namespace != "") == namespaced && !there[ref] {
			s.deleteRevocation(ref)
		}
	}
}

// RevocationsPending receives whenever there is something for ApplyRevocations.
func (s *Store) RevocationsPending() <-chan struct{} { return s.sweep }

// ApplyRevocations cuts off the tokens that revocations void which came since the
// last time. It takes as long as a look at every token, whatever their number, and
// holds nobody up meanwhile: what comes beside it is compared as it comes.
func (s *Store) ApplyRevocations() {
	pending, tables := s.takePending()
	for i, tokens := range tables {
		for t := range tokens.all() {
			written, newly := pending.apply(t)
			if newly && i == 0 && written >= s.startedAt {
				s.options.Ended(time.Unix(written, 0))
			}
		}
	}
}

// takePending returns the revocations that no sweep has applied, and the tokens to
// apply them to: those that are looked up, and those of a list that is being taken
// in.
func (s *Store) takePending() (*cuts, []*table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sweeping.empty() {
		return nil, nil
	}
	pending := s.sweeping
	s.sweeping = newCuts()
	if s.list != nil {
		return pending, []*table{s.tokens, s.list.tokens}
	}
	return pending, []*table{s.tokens}
}

func (c *cuts) empty() bool {
	return c.all == nil && len(c.namespaces) == 0 && len(c.users) == 0 && len(c.ids) == 0
}
