package store

import (
	"hash/maphash"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/internal/revocation"
)

// A revocation is compared with tokens twice: with those that are there when it
// comes, by a sweep over all, and with each that comes later. A request sees
// nothing of it but whether its token is revoked. What was cut off stays so in
// memory, also when the revocation is deleted.

// spare is how many revocations may be gone before the cuts are made up anew, at
// the least: until then they cut off what is void all the same.
const spare = 64

// revocations are those that there are.
type revocations struct {
	known map[revocation.Ref]held
	// own counts the TokenRevocations of each namespace that are known.
	own map[string]int
	// crowds are of the namespaces that had more TokenRevocations than mostOwn when they
	// were last listed, or have had since.
	crowds  map[string]*crowd
	mostOwn int

	cuts     *cuts // those of all that are known, and of some that are gone
	stale    int   // how many are gone
	sweeping *cuts // those that no sweep has applied yet
	sweep    chan struct{}
}

func newRevocations() revocations {
	return revocations{
		known: map[revocation.Ref]held{}, own: map[string]int{}, crowds: map[string]*crowd{}, mostOwn: revocation.MostOfNamespace,
		cuts: newCuts(), sweeping: newCuts(), sweep: make(chan struct{}, 1),
	}
}

// PutRevocation takes in a revocation. Tokens that are there are refused from the
// next ApplyRevocations on, those that come from now on.
func (s *Store) PutRevocation(r revocation.Revocation) {
	defer s.change()()
	s.revocations.put(&r)
}

func (s *revocations) put(r *revocation.Revocation) {
	if crowd := s.crowds[r.Ref.Namespace]; crowd != nil {
		if crowd.holds(r) {
			return
		}
		if len(crowd.members)+s.own[r.Ref.Namespace] >= s.mostOwn {
			crowd.members[hashOf(r.Ref)] = struct{}{}
			s.cutCrowd(r.Ref.Namespace, inCrowd(r))
			return
		}
	}
	if known, ok := s.known[r.Ref]; ok && known.uid == r.UID {
		return // it cannot change
	} else if ok {
		s.delete(r.Ref) // it was made anew
	}
	kept := keep(r)
	s.known[r.Ref] = kept
	if namespace := r.Ref.Namespace; namespace != "" {
		if s.own[namespace]++; s.own[namespace] > s.mostOwn {
			s.beginCrowd(namespace)
			return
		}
	}
	s.cuts.add(&kept)
	s.sweeping.add(&kept)
	s.wake()
}

// crowd are TokenRevocations of a namespace that count together: all tokens up to the
// cut are void. That holds until the next list, however many are deleted; but those
// that come when there are few again count one by one.
type crowd struct {
	cut     cut
	members map[uint64]struct{} // hashes of their names; nothing else of them is kept
}

var hashSeed = maphash.MakeSeed()

func hashOf(ref revocation.Ref) uint64 { return maphash.String(hashSeed, ref.Name) }

// holds says that a revocation is of the crowd. One of the same name that was made
// since is not.
func (c *crowd) holds(r *revocation.Revocation) bool {
	_, there := c.members[hashOf(r.Ref)]
	if there && inCrowd(r).before > c.cut.before {
		delete(c.members, hashOf(r.Ref))
		return false
	}
	return there
}

// beginCrowd lets go of the TokenRevocations of a namespace that has too many, and
// has all of them void what they may name.
func (s *revocations) beginCrowd(namespace string) {
	var latest cut
	members := make(map[uint64]struct{}, s.mostOwn)
	for ref, each := range s.known {
		if ref.Namespace != namespace {
			continue
		}
		if at := (cut{before: each.cut.written, written: each.cut.written}); at.before >= latest.before {
			latest = at
		}
		members[hashOf(ref)] = struct{}{}
		delete(s.known, ref)
	}
	delete(s.own, namespace)
	s.crowds[namespace] = &crowd{members: members}
	s.cutCrowd(namespace, latest)
	s.makeUp()
}

func (s *revocations) cutCrowd(namespace string, at cut) {
	if at.before <= s.crowds[namespace].cut.before {
		return
	}
	s.crowds[namespace].cut = at
	raise(s.cuts.namespaces, namespace, at)
	raise(s.sweeping.namespaces, namespace, at)
	s.wake()
}

// inCrowd is what a revocation cuts off where there are too many: all that was made
// until it was.
func inCrowd(r *revocation.Revocation) cut {
	made := r.CreatedAt.Unix()
	return cut{before: made, written: made}
}

func (s *revocations) wake() {
	select {
	case s.sweep <- struct{}{}:
	default: // one is waiting already
	}
}

// DeleteRevocation forgets a revocation. What it cut off stays so.
func (s *Store) DeleteRevocation(ref revocation.Ref) {
	defer s.change()()
	s.revocations.delete(ref)
}

func (s *revocations) delete(ref revocation.Ref) {
	if _, known := s.known[ref]; !known {
		if crowd := s.crowds[ref.Namespace]; crowd != nil {
			delete(crowd.members, hashOf(ref))
		}
		return
	}
	delete(s.known, ref)
	if ref.Namespace != "" {
		if s.own[ref.Namespace]--; s.own[ref.Namespace] == 0 {
			delete(s.own, ref.Namespace)
		}
	}
	if s.stale++; s.stale > max(spare, len(s.known)) {
		s.makeUp()
	}
}

// makeUp makes the cuts up anew.
func (s *revocations) makeUp() {
	s.stale, s.cuts = 0, newCuts()
	for _, each := range s.known {
		s.cuts.add(&each)
	}
	for namespace, crowd := range s.crowds {
		raise(s.cuts.namespaces, namespace, crowd.cut)
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
	s.revocations.replace(namespaced, all)
}

func (s *revocations) replace(namespaced bool, all []revocation.Revocation) {
	there := make(map[revocation.Ref]bool, len(all))
	for i := range all {
		there[all[i].Ref] = true
	}
	for ref := range s.known {
		if (ref.Namespace != "") == namespaced && !there[ref] {
			s.delete(ref)
		}
	}
	if namespaced && len(s.crowds) > 0 {
		clear(s.crowds)
		s.makeUp()
	}
	for i := range all {
		s.put(&all[i])
	}
}

// RevocationsPending receives whenever there is something for ApplyRevocations.
func (s *Store) RevocationsPending() <-chan struct{} { return s.revocations.sweep }

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
	if s.revocations.sweeping.empty() {
		return nil, nil
	}
	pending := s.revocations.sweeping
	s.revocations.sweeping = newCuts()
	if s.list != nil {
		return pending, []*table{s.tokens, s.list.tokens}
	}
	return pending, []*table{s.tokens}
}
