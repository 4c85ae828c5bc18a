package verify

import (
	"sync/atomic"
	"time"
)

// State is what is known of an object that a token depends on.
type State uint32

const (
	// StateUnseen: no watch has told of it yet. Two watches are not ordered.
	StateUnseen State = iota
	// StateLive: it is there, and stays.
	StateLive
	// StateGone: it was deleted, or is being deleted.
	StateGone
)

// Namespace is what is known of the namespace of a name. The tokens in it share
// it, so that its end reaches all of them at once.
type Namespace struct {
	name  string
	state atomic.Uint32
	since atomic.Int64 // Unix seconds; 0: not known
}

// NewNamespace makes a Namespace that is unseen.
func NewNamespace(name string) *Namespace { return &Namespace{name: name} }

// Name is its name.
func (n *Namespace) Name() string { return n.name }

// State is what is known of it.
func (n *Namespace) State() State { return State(n.state.Load()) }

// SetState notes what has become of it.
func (n *Namespace) SetState(s State) { n.state.Store(uint32(s)) }

// SetLive notes that it is there, and since when by the API server's clock. What
// was made long before was in an earlier one of that name, and is gone with it,
// though the news of that may be on its way still.
func (n *Namespace) SetLive(created time.Time) {
	n.since.Store(created.Unix())
	n.SetState(StateLive)
}

// held says that what was made at a moment was in this namespace and not in an
// earlier one. API servers' clocks differ, so that it may look a little older.
func (n *Namespace) held(createdAt int64) bool {
	return createdAt >= n.since.Load()-int64(clockTolerance/time.Second)
}

// OwnerKind is what kind of object tokens end with.
type OwnerKind uint8

const (
	// OwnerAccessToken: the AccessToken that declares them.
	OwnerAccessToken OwnerKind = iota
	// OwnerServiceAccount: the service account that they act as.
	OwnerServiceAccount
)

// Owner is what is known of an object that tokens end with. They share it, so that
// its end reaches all of them at once.
type Owner struct {
	uid       string
	name      string
	namespace *Namespace
	kind      OwnerKind
	state     atomic.Uint32
}

// NewOwner makes an AccessToken that is unseen.
func NewOwner(uid, name string, namespace *Namespace) *Owner {
	return &Owner{kind: OwnerAccessToken, uid: uid, name: name, namespace: namespace}
}

// NewAccount makes a service account that is unseen.
func NewAccount(uid, name string, namespace *Namespace) *Owner {
	return &Owner{kind: OwnerServiceAccount, uid: uid, name: name, namespace: namespace}
}

// Kind is what kind of object it is.
func (o *Owner) Kind() OwnerKind { return o.kind }

// UID is that of the object.
func (o *Owner) UID() string { return o.uid }

// Name is that of the object.
func (o *Owner) Name() string { return o.name }

// Namespace is where it is.
func (o *Owner) Namespace() *Namespace { return o.namespace }

// State is what is known of it.
func (o *Owner) State() State { return State(o.state.Load()) }

// SetState notes what has become of it.
func (o *Owner) SetState(s State) { o.state.Store(uint32(s)) }
