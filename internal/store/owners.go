package store

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// remembered is how long an AccessToken that is gone is remembered: longer than
// its records can come after the news of its end, and be taken for those of one
// that is still to be seen.
const remembered = time.Minute

// ownership is an AccessToken with how many tokens in the index are its.
type ownership struct {
	*verify.Owner
	tokens int
	goneAt time.Time
}

type departure struct {
	uid string
	at  time.Time
}

// PutOwner takes in what an AccessToken's metadata says now.
func (s *Store) PutOwner(object *metav1.PartialObjectMetadata) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putOwner(object)
}

// DeleteOwner notes that an AccessToken is gone. Its tokens are refused from
// here on.
func (s *Store) DeleteOwner(object *metav1.PartialObjectMetadata) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.part(string(object.UID))
}

// ReplaceOwners takes in all AccessTokens that there are; all others are gone.
func (s *Store) ReplaceOwners(objects []*metav1.PartialObjectMetadata) {
	s.mu.Lock()
	defer s.mu.Unlock()
	there := make(map[string]bool, len(objects))
	for _, object := range objects {
		there[string(object.UID)] = true
		s.putOwner(object)
	}
	for uid, owner := range s.owners {
		// One that no watch has told of may have been made after the list.
		if !there[uid] && owner.State() != verify.StateUnseen {
			s.part(uid)
		}
	}
}

// PutNamespace takes in what a namespace's metadata says now.
func (s *Store) PutNamespace(object *metav1.PartialObjectMetadata) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setNamespace(object)
}

// DeleteNamespace notes that a namespace is gone. One that is made anew under
// the name is another.
func (s *Store) DeleteNamespace(object *metav1.PartialObjectMetadata) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.namespace(object.Name).SetState(verify.StateGone)
	delete(s.namespaces, object.Name)
}

// ReplaceNamespaces takes in all namespaces that there are; all others are gone.
func (s *Store) ReplaceNamespaces(objects []*metav1.PartialObjectMetadata) {
	s.mu.Lock()
	defer s.mu.Unlock()
	there := make(map[string]bool, len(objects))
	for _, object := range objects {
		there[object.Name] = true
		s.setNamespace(object)
	}
	for name, namespace := range s.namespaces {
		if !there[name] && namespace.State() != verify.StateUnseen {
			namespace.SetState(verify.StateGone)
			delete(s.namespaces, name)
		}
	}
}

func stateOf(object *metav1.PartialObjectMetadata) verify.State {
	if object.DeletionTimestamp.IsZero() {
		return verify.StateLive
	}
	return verify.StateGone
}

func (s *Store) namespace(name string) *verify.Namespace {
	known, ok := s.namespaces[name]
	if !ok {
		known = verify.NewNamespace(name)
		s.namespaces[name] = known
	}
	return known
}

func (s *Store) setNamespace(object *metav1.PartialObjectMetadata) {
	known := s.namespace(object.Name)
	if known.State() == verify.StateLive && stateOf(object) == verify.StateGone {
		s.options.Ended(object.DeletionTimestamp.Time)
	}
	known.SetState(stateOf(object))
}

func (s *Store) putOwner(object *metav1.PartialObjectMetadata) {
	uid := string(object.UID)
	if stateOf(object) == verify.StateGone {
		if s.owner(uid, object.Name, object.Namespace).State() == verify.StateLive {
			s.options.Ended(object.DeletionTimestamp.Time)
		}
		s.part(uid)
		return
	}
	s.owner(uid, object.Name, object.Namespace).SetState(verify.StateLive)
}

// owner is the AccessToken of this UID, unseen if nothing was known of it.
func (s *Store) owner(uid, name, namespace string) *verify.Owner {
	known, ok := s.owners[uid]
	if !ok {
		known = &ownership{Owner: verify.NewOwner(uid, name, s.namespace(namespace))}
		s.owners[uid] = known
	}
	return known.Owner
}

// part notes that an AccessToken is gone, and forgets those that have been gone
// for long.
func (s *Store) part(uid string) {
	now := s.options.Clock.Now()
	if owner, ok := s.owners[uid]; ok && owner.State() != verify.StateGone {
		owner.SetState(verify.StateGone)
		owner.goneAt = now
		s.departed = append(s.departed, departure{uid, now})
	}
	for len(s.departed) > 0 && now.Sub(s.departed[0].at) > remembered {
		s.tidy(s.departed[0].uid)
		s.departed = s.departed[1:]
	}
}

// hold counts a token of an AccessToken, release takes it away.
func (s *Store) hold(owner *verify.Owner) { s.owners[owner.UID()].tokens++ }

func (s *Store) release(owner *verify.Owner) {
	s.owners[owner.UID()].tokens--
	s.tidy(owner.UID())
}

// tidy forgets an AccessToken that no token is of, unless it is there, or was
// until just now.
func (s *Store) tidy(uid string) {
	owner, ok := s.owners[uid]
	if !ok || owner.tokens > 0 || owner.State() == verify.StateLive {
		return
	}
	if owner.State() == verify.StateGone && s.options.Clock.Since(owner.goneAt) <= remembered {
		return
	}
	delete(s.owners, uid)
}
