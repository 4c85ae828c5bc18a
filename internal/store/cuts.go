package store

import (
	"strings"
	"unique"

	"k8s.io/apimachinery/pkg/types"

	"github.com/accesstoken-dev/accesstoken-operator/internal/revocation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// cut is up to when tokens are void.
type cut struct {
	before  int64 // Unix seconds: those created in this second or earlier
	written int64 // Unix seconds: when it was revoked
}

// held is what is kept of a revocation: enough to make up the cuts anew. What two of
// them have in common, as one and its copy have their IDs, is kept once.
type held struct {
	uid       types.UID
	namespace unique.Handle[string]
	user      unique.Handle[string]
	ids       unique.Handle[string] // one after the other
	byID      bool                  // also where none of them can be
	cut       cut
}

func keep(r *revocation.Revocation) held {
	var ids strings.Builder
	for _, id := range r.TokenIDs {
		if token.ValidID(id) {
			ids.WriteString(id)
		}
	}
	return held{
		uid: r.UID, namespace: unique.Make(r.Namespace), user: unique.Make(r.User), ids: unique.Make(ids.String()), byID: len(r.TokenIDs) > 0,
		cut: cut{before: r.Before.Unix(), written: r.CreatedAt.Unix()},
	}
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
	ids        map[string]map[token.ID]cut // by namespace
}

func newCuts() *cuts {
	return &cuts{namespaces: map[string]cut{}, users: map[in[string]]cut{}, ids: map[string]map[token.ID]cut{}}
}

// add takes in a revocation.
func (c *cuts) add(h *held) {
	namespace := h.namespace.Value()
	switch user := h.user.Value(); {
	case user != "":
		raise(c.users, in[string]{namespace, user}, h.cut)
	case h.byID:
		c.addIDs(namespace, h.ids.Value(), h.cut)
	case namespace != "":
		raise(c.namespaces, namespace, h.cut)
	case c.all == nil || h.cut.before > c.all.before:
		all := h.cut
		c.all = &all
	}
}

func (c *cuts) addIDs(namespace, ids string, added cut) {
	known, ok := c.ids[namespace]
	if !ok && ids != "" {
		known = make(map[token.ID]cut, len(ids)/token.IDLength)
		c.ids[namespace] = known
	}
	for ; ids != ""; ids = ids[token.IDLength:] {
		raise(known, token.ID([]byte(ids[:token.IDLength])), added)
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
			at, ok := c.ids[namespace][t.Key()]
			consider(at, ok)
		}
	}
	return written, written != 0 && t.CutOff(written)
}

func (c *cuts) empty() bool {
	return c.all == nil && len(c.namespaces) == 0 && len(c.users) == 0 && len(c.ids) == 0
}
