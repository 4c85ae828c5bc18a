package quota

import (
	"hash/maphash"
	"sync"
)

// Fence keeps apart, within one process, the issue of a token to a holder and the
// loss of a holder's place: between the look at the ledger and the record, no
// place in it is given away, and between the look at a holder's records and the
// ledger, none of them is made. It is safe for concurrent use.
type Fence struct {
	seed    maphash.Seed
	stripes [64]stripe
}

type stripe struct {
	sync.RWMutex

	freed uint64 // how often places were given away
}

// NewFence makes a fence.
func NewFence() *Fence { return &Fence{seed: maphash.MakeSeed()} }

// Issue begins the issue of a token in a namespace; done ends it. Many go on at
// once.
func (f *Fence) Issue(namespace string) (done func()) {
	stripe := f.stripe(namespace)
	stripe.RLock()
	return stripe.RUnlock
}

// Free begins giving places of a namespace away; done ends it.
func (f *Fence) Free(namespace string) (done func()) {
	stripe := f.stripe(namespace)
	stripe.Lock()
	stripe.freed++
	return stripe.Unlock
}

// Freed counts how often places of a namespace, and of some others, were given away
// in this process. During an issue it does not change: a ledger that was read at the
// same count is not behind this process.
func (f *Fence) Freed(namespace string) uint64 { return f.stripe(namespace).freed }

func (f *Fence) stripe(namespace string) *stripe {
	return &f.stripes[maphash.String(f.seed, namespace)%uint64(len(f.stripes))]
}
