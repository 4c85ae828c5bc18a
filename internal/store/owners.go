package store

import (
	"iter"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// remembered is how long an AccessToken or a namespace that is gone is remembered:
// longer than its records can come after the news of its end, and be taken for those of one
// that is still to be seen.
const remembered = time.Minute

// place is a namespace with how many AccessTokens that are known are in it. There
// is one for a name, also across the end of a namespace and one made anew: news
// of what is in it comes by other watches, before or after.
type place struct {
	*verify.Namespace
	there  bool // the API server has it, be it on its way out
	owners int
	goneAt int64 // Unix nanoseconds; 0: it was not heard of its end
}

// ownerKey is by namespace too: a record in another one than its AccessToken is
// of none.
type ownerKey struct {
	kind           verify.OwnerKind
	namespace, uid string
}

func keyOf(owner *verify.Owner) ownerKey {
	return ownerKey{owner.Kind(), owner.Namespace().Name(), owner.UID()}
}

// ownership is an AccessToken or a service account, with how many tokens in the
// index end with it.
type ownership struct {
	*verify.Owner
	goneAt int64 // Unix nanoseconds; 0: it was not heard of its end
	tokens int32
	there  bool // the API server has it, be it on its way out
}

// departure is the end of an owner, or of a namespace where that has no UID.
type departure struct {
	owner ownerKey
	at    int64 // Unix nanoseconds
}

// PutOwner takes in what an AccessToken's metadata says now.
func (s *Store) PutOwner(object *metav1.PartialObjectMetadata) {
	defer s.change()()
	s.putOwner(verify.OwnerAccessToken, object)
}

// DeleteOwner notes that an AccessToken is gone. Its tokens are refused from
// here on.
func (s *Store) DeleteOwner(object *metav1.PartialObjectMetadata) {
	defer s.change()()
	s.part(ownerOf(verify.OwnerAccessToken, object))
}

// ReplaceOwners takes in all AccessTokens that there are; all others are gone.
func (s *Store) ReplaceOwners(objects []*metav1.PartialObjectMetadata) {
	defer s.change()()
	s.replaceOwners(verify.OwnerAccessToken, objects)
}

// PutAccount takes in what a service account's metadata says now.
func (s *Store) PutAccount(object *metav1.PartialObjectMetadata) {
	defer s.change()()
	s.putOwner(verify.OwnerServiceAccount, object)
}

// DeleteAccount notes that a service account is gone. The tokens that act as it
// are refused from here on.
func (s *Store) DeleteAccount(object *metav1.PartialObjectMetadata) {
	defer s.change()()
	s.part(ownerOf(verify.OwnerServiceAccount, object))
}

// ReplaceAccounts takes in all service accounts that there are; all others are
// gone.
func (s *Store) ReplaceAccounts(objects []*metav1.PartialObjectMetadata) {
	defer s.change()()
	s.replaceOwners(verify.OwnerServiceAccount, objects)
}

func (s *Store) replaceOwners(kind verify.OwnerKind, objects []*metav1.PartialObjectMetadata) {
	there := make(map[ownerKey]bool, len(objects))
	for _, object := range objects {
		there[ownerOf(kind, object)] = true
		s.putOwner(kind, object)
	}
	for key, owner := range s.owners {
		// One that no watch has told of may have been made after the list.
		if key.kind == kind && !there[key] && owner.there {
			s.part(key)
		}
	}
}

// PutNamespace takes in what a namespace's metadata says now.
func (s *Store) PutNamespace(object *metav1.PartialObjectMetadata) {
	defer s.change()()
	s.putNamespace(object)
}

// DeleteNamespace notes that a namespace is gone. What is in it is refused from
// here on.
func (s *Store) DeleteNamespace(object *metav1.PartialObjectMetadata) {
	defer s.change()()
	s.endNamespace(object.Name)
}

// ReplaceNamespaces takes in all namespaces that there are; all others are gone.
func (s *Store) ReplaceNamespaces(objects []*metav1.PartialObjectMetadata) {
	defer s.change()()
	there := make(map[string]bool, len(objects))
	for _, object := range objects {
		there[object.Name] = true
		s.putNamespace(object)
	}
	for name, namespace := range s.namespaces {
		// One that no watch has told of may have been made after the list.
		if !there[name] && namespace.there {
			s.endNamespace(name)
		}
	}
}

func (s *Store) putNamespace(object *metav1.PartialObjectMetadata) {
	known := s.namespace(object.Name)
	known.there, known.goneAt = true, 0
	if stateOf(object) == verify.StateGone {
		s.noteDeletion(known.State(), object)
		known.SetState(verify.StateGone)
		return
	}
	known.SetLive(object.CreationTimestamp.Time)
}

func (s *Store) endNamespace(name string) {
	known := s.namespace(name)
	known.there, known.goneAt = false, s.options.Clock.Now().UnixNano()
	known.SetState(verify.StateGone)
	s.departed = append(s.departed, departure{ownerKey{namespace: name}, known.goneAt})
}

func stateOf(object *metav1.PartialObjectMetadata) verify.State {
	if object.DeletionTimestamp.IsZero() {
		return verify.StateLive
	}
	return verify.StateGone
}

func (s *Store) namespace(name string) *place {
	known, ok := s.namespaces[name]
	if !ok {
		known = &place{Namespace: verify.NewNamespace(name)}
		s.namespaces[name] = known
	}
	return known
}

// tidyNamespace forgets a namespace that nothing is in, unless it is there, or
// was until just now.
func (s *Store) tidyNamespace(name string) {
	known, ok := s.namespaces[name]
	if !ok || known.owners > 0 || known.there || known.goneAt != 0 && !s.longAgo(known.goneAt) {
		return
	}
	delete(s.namespaces, name)
}

func ownerOf(kind verify.OwnerKind, object *metav1.PartialObjectMetadata) ownerKey {
	return ownerKey{kind, object.Namespace, string(object.UID)}
}

func (s *Store) putOwner(kind verify.OwnerKind, object *metav1.PartialObjectMetadata) {
	key := ownerOf(kind, object)
	owner := s.owner(key, object.Name)
	s.noteDeletion(owner.State(), object)
	owner.SetState(stateOf(object))
	s.owners[key].there = true
}

// noteDeletion tells of what was live before, and is on its way out.
func (s *Store) noteDeletion(before verify.State, object *metav1.PartialObjectMetadata) {
	if before == verify.StateLive && stateOf(object) == verify.StateGone {
		s.options.Ended(object.DeletionTimestamp.Time)
	}
}

// owner is this AccessToken or service account, unseen if nothing was known of it.
func (s *Store) owner(key ownerKey, name string) *verify.Owner {
	known, ok := s.owners[key]
	if !ok {
		in := s.namespace(key.namespace)
		in.owners++
		key.namespace = in.Name() // one text for all that are in it
		made := verify.NewOwner
		if key.kind == verify.OwnerServiceAccount {
			made = verify.NewAccount
		}
		known = &ownership{Owner: made(key.uid, name, in.Namespace)}
		s.owners[key] = known
	}
	return known.Owner
}

// part notes that an owner is gone.
func (s *Store) part(key ownerKey) {
	owner, ok := s.owners[key]
	if !ok {
		return
	}
	owner.there = false
	owner.SetState(verify.StateGone)
	owner.goneAt = s.options.Clock.Now().UnixNano()
	s.departed = append(s.departed, departure{key, owner.goneAt})
}

// forgetDeparted forgets owners and namespaces that have been gone for long. Every change
// does so, so that the last ones do not stay for ever.
func (s *Store) forgetDeparted() {
	for len(s.departed) > 0 && s.longAgo(s.departed[0].at) {
		if gone := s.departed[0].owner; gone.uid == "" {
			s.tidyNamespace(gone.namespace)
		} else {
			s.tidy(gone)
		}
		s.departed = s.departed[1:]
	}
	if len(s.departed) == 0 {
		s.departed = nil
	}
}

func (s *Store) longAgo(at int64) bool {
	return s.options.Clock.Now().UnixNano()-at > int64(remembered)
}

// hold counts a token with those that it ends with, release takes it away.
func (s *Store) hold(t *verify.Token) {
	for owner := range ownersOf(t) {
		s.owners[keyOf(owner)].tokens++
	}
}

func (s *Store) release(t *verify.Token) {
	for owner := range ownersOf(t) {
		s.owners[keyOf(owner)].tokens--
		s.tidy(keyOf(owner))
	}
}

// ownersOf are the AccessToken of a token and the service account that it acts as,
// if it does.
func ownersOf(t *verify.Token) iter.Seq[*verify.Owner] {
	return func(yield func(*verify.Owner) bool) {
		if yield(t.Owner()) && t.Account() != nil {
			yield(t.Account())
		}
	}
}

// tidy forgets an owner that no token is of, unless it is there, or was
// until just now.
func (s *Store) tidy(key ownerKey) {
	owner, ok := s.owners[key]
	if !ok || owner.tokens > 0 || owner.there || owner.goneAt != 0 && !s.longAgo(owner.goneAt) {
		return
	}
	delete(s.owners, key)
	s.namespaces[key.namespace].owners--
	s.tidyNamespace(key.namespace)
}
