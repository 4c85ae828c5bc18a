package accesstoken

import (
	"encoding/json"
	"hash/maphash"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// statuses remembers which object has a name, and which status this process wrote
// last into it, to tell its own writes from those of others.
type statuses struct {
	seed maphash.Seed

	mu    sync.Mutex
	byKey map[client.ObjectKey]written
}

// written is the digest of the status of one object; zero when none was written.
type written struct {
	uid    types.UID
	digest uint64
}

func newStatuses() *statuses {
	return &statuses{seed: maphash.MakeSeed(), byKey: map[client.ObjectKey]written{}}
}

// succeeds notes the object that has a name, and says whether another one had it
// before, whose deletion was never seen.
func (s *statuses) succeeds(key client.ObjectKey, uid types.UID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, known := s.byKey[key]
	if before.uid == uid {
		return false
	}
	s.byKey[key] = written{uid: uid}
	return known
}

// writing notes a status that is about to be written: the watch may show it
// before the API server has answered.
func (s *statuses) writing(token *v1alpha1.AccessToken) {
	digest := s.digest(token.Status)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byKey[client.ObjectKeyFromObject(token)] = written{uid: token.UID, digest: digest}
}

func (s *statuses) forget(key client.ObjectKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byKey, key)
}

// foreign lets pass a status that this process did not write: somebody edited or
// emptied it, or another process believes that it leads.
func (s *statuses) foreign() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.AccessToken)
		after, also := e.ObjectNew.(*v1alpha1.AccessToken)
		if !ok || !also || equality.Semantic.DeepEqual(before.Status, after.Status) {
			return false
		}
		digest := s.digest(after.Status)
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.byKey[client.ObjectKeyFromObject(after)].digest != digest
	}}
}

// digest is that of the text, in which instants have whole seconds.
func (s *statuses) digest(status v1alpha1.AccessTokenStatus) uint64 {
	text, err := json.Marshal(status)
	if err != nil {
		panic(err) // strings, numbers and times of this century always encode
	}
	return maphash.Bytes(s.seed, text)
}
