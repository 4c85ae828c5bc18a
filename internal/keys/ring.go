package keys

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
)

// idLayout begins every key ID with the instant of its making, so that IDs sort
// by age and the age needs no other place.
const idLayout = "20060102t150405z"

// maxIDLength is what a TokenRecord's spec.keyID can hold.
const maxIDLength = 64

// Status is whether records can be sealed and opened.
type Status string

const (
	// StatusUnknown: the key Secret was not read yet.
	StatusUnknown Status = "Unknown"
	// StatusLoaded: there is a key.
	StatusLoaded Status = "Loaded"
	// StatusLost: there are records but no key.
	StatusLost Status = "Lost"
)

// Ring is the set of keys in memory. It is safe for concurrent use, and never
// blocks.
type Ring struct{ snapshot atomic.Pointer[snapshot] }

type snapshot struct {
	status  Status
	keys    map[string]record.Key
	current string
}

// NewRing returns a ring of unknown status.
func NewRing() *Ring {
	ring := &Ring{}
	ring.snapshot.Store(&snapshot{status: StatusUnknown})
	return ring
}

// Key returns the key of this ID.
func (r *Ring) Key(id string) (record.Key, bool) {
	key, ok := r.snapshot.Load().keys[id]
	return key, ok
}

// Current returns the newest key, with which new records are sealed; ok is
// false when there is none. A key under an ID that somebody chose counts as older
// than those that this package made.
func (r *Ring) Current() (id string, key record.Key, ok bool) {
	s := r.snapshot.Load()
	key, ok = s.keys[s.current]
	return s.current, key, ok
}

// Status tells whether keys are loaded.
func (r *Ring) Status() Status { return r.snapshot.Load().status }

// IDs returns the IDs of all keys, the oldest first.
func (r *Ring) IDs() []string {
	return slices.Sorted(maps.Keys(r.snapshot.Load().keys))
}

// load takes the keys from a Secret's data, and reports whether a key that was
// known is gone, or the status changed: then every record has to be opened
// anew. Entries that hold no key of 32 bytes, or under too long a name, are
// passed over and returned.
func (r *Ring) load(data map[string][]byte) (reopen bool, unusable []string) {
	next := &snapshot{status: StatusLoaded, keys: make(map[string]record.Key, len(data))}
	for id, material := range data {
		var key record.Key
		if len(material) != len(key) || len(id) > maxIDLength {
			unusable = append(unusable, id)
			continue
		}
		copy(key[:], material)
		next.keys[id] = key
		if newer(id, next.current) {
			next.current = id
		}
	}
	if len(next.keys) == 0 {
		next.status = StatusLost
	}
	slices.Sort(unusable)
	return r.swap(next), unusable
}

// lose notes that there are records but no key.
func (r *Ring) lose() (reopen bool) { return r.swap(&snapshot{status: StatusLost}) }

func (r *Ring) swap(next *snapshot) (reopen bool) {
	before := r.snapshot.Swap(next)
	if before.status == StatusUnknown {
		return next.status == StatusLost
	}
	if before.status != next.status {
		return true
	}
	for id, key := range before.keys {
		if next.keys[id] != key {
			return true
		}
	}
	return false
}

// newer says that the key of one ID is to be used before that of another.
func newer(id, other string) bool {
	_, dated := madeAt(id)
	_, otherDated := madeAt(other)
	if dated != otherDated {
		return dated
	}
	return id > other
}

// madeAt reads the instant of a key's making from its ID; ok is false for an ID
// that somebody chose otherwise.
func madeAt(id string) (time.Time, bool) {
	if len(id) < len(idLayout) {
		return time.Time{}, false
	}
	at, err := time.Parse(idLayout, id[:len(idLayout)])
	return at, err == nil
}

// rotationDue is when a key is to be added to the newest one: when that is maxAge
// old (zero: never, and so where its ID does not tell), or at the instant that
// the annotation names, when it was made before. ok is false for neither. An
// annotation that is no instant asks for nothing.
func rotationDue(secret *corev1.Secret, newest string, maxAge time.Duration) (at time.Time, ok bool) {
	made, dated := madeAt(newest)
	if dated && maxAge > 0 {
		at, ok = made.Add(maxAge), true
	}
	requested, err := time.Parse(time.RFC3339, secret.Annotations[AnnotationRotateRequestedAt])
	if err != nil {
		return at, ok
	}
	// An ID tells whole seconds: a key made within the second asked for would
	// look older than the request, and be followed by another one.
	if whole := requested.Truncate(time.Second); whole.Before(requested) {
		requested = whole.Add(time.Second)
	}
	if made.Before(requested) && (!ok || requested.Before(at)) {
		at, ok = requested, true
	}
	return at, ok
}

// Check is a readiness check: nil while there is a key.
func (r *Ring) Check(*http.Request) error {
	switch r.Status() {
	case StatusLost:
		return ErrLost
	case StatusUnknown:
		return errors.New("the key Secret was not read yet")
	case StatusLoaded:
	}
	return nil
}

// Collector tells how many keys there are, as a metric: none means that nothing
// verifies and nothing is issued.
func (r *Ring) Collector() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "accesstoken", Name: "keys",
		Help: "Keys that records are sealed with; 0 while they are lost, see the key Secret's events.",
	}, func() float64 { return float64(len(r.snapshot.Load().keys)) })
}
