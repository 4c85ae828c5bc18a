package store

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
	"github.com/accesstoken-dev/accesstoken-operator/internal/revocation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// model is the simplest thing that knows what has to be found: all objects as
// they are, looked through anew each time.
type model struct {
	store      *Store
	clock      *clocktesting.FakeClock
	keys       record.KeySet
	records    map[types.NamespacedName]*v1alpha1.TokenRecord
	owners     map[ownerKey]verify.State // heard of
	namespaces map[string]verify.State   // heard of
	relist     bool
	version    int
	listing    *listing
	listed     bool                    // the listing was read
	unlisted   []*v1alpha1.TokenRecord // what is left of it

	revocations map[revocation.Ref]revocation.Revocation // that there are
	revoked     []revocation.Revocation                  // that there ever were
}

// mostOwn is how many TokenRevocations of a namespace count one by one here.
const mostOwn = 2

var modelMints = []mint.Mint{mint.Default(), otherMint()}

func newModel() *model {
	m := &model{
		clock: clocktesting.NewFakeClock(issued), keys: record.KeySet{}, records: map[types.NamespacedName]*v1alpha1.TokenRecord{},
		owners: map[ownerKey]verify.State{}, namespaces: map[string]verify.State{}, revocations: map[revocation.Ref]revocation.Revocation{},
	}
	m.store = New(Options{
		Opener: record.Opener{Keys: m.keys, ClusterID: mint.ClusterID}, Clock: m.clock, Relist: func() { m.relist = true },
	})
	m.store.revocations.mostOwn = mostOwn
	return m
}

// opens are the records that open, in all namespaces, of one ID.
func (m *model) opens(name string) (all []*v1alpha1.TokenRecord) {
	opener := record.Opener{Keys: m.keys, ClusterID: mint.ClusterID}
	for _, rec := range m.records {
		if _, err := opener.Open(rec); err == nil && rec.Name == name {
			all = append(all, rec)
		}
	}
	return all
}

func (m *model) check(t *rapid.T) {
	if m.relist {
		m.relist = false
		m.listRecords()
	}
	m.store.ApplyRevocations()
	found := 0
	for _, rec := range m.records {
		got, good := m.store.Lookup(idOf(t, rec)), m.opens(rec.Name)
		switch {
		case len(good) != 1 && got != nil:
			t.Fatalf("%s is found, and %d records of it open", rec.Name, len(good))
		case len(good) != 1:
		case got == nil:
			t.Fatalf("%s is not found", rec.Name)
		case good[0] == rec:
			found++
			m.checkToken(t, got, rec)
			m.checkRevoked(t, got, rec)
		}
	}
	refused := 0
	for _, count := range m.store.Refused() {
		refused += count
	}
	if m.store.Len() != found || found+refused != len(m.records) {
		t.Fatalf("%d are found and %d refused, want %d of %d found", m.store.Len(), refused, found, len(m.records))
	}
}

func (m *model) listRecords() {
	m.endList()
	m.store.ReplaceRecords(slices.Collect(maps.Values(m.records)))
}

// list takes in a list step by step, so that all else happens in between.
func (m *model) list(t *rapid.T) {
	switch {
	case m.listing == nil:
		m.listing = m.store.beginList(len(m.records))
	case !m.listed:
		m.readList()
	case len(m.unlisted) > 0:
		some := rapid.IntRange(1, len(m.unlisted)).Draw(t, "listed")
		m.store.putListed(m.listing, m.unlisted[:some])
		m.unlisted = m.unlisted[some:]
	default:
		m.endList()
	}
}

func (m *model) endList() {
	if m.listing == nil {
		return
	}
	if !m.listed {
		m.readList()
	}
	m.store.putListed(m.listing, m.unlisted)
	m.store.retire(m.store.endList(m.listing))
	m.listing, m.unlisted, m.listed = nil, nil, false
}

// readList reads what there is, after all that was told before.
func (m *model) readList() {
	m.unlisted, m.listed = slices.Collect(maps.Values(m.records)), true
}

func (m *model) checkToken(t *rapid.T, got *verify.Token, rec *v1alpha1.TokenRecord) {
	key := ownerKey{verify.OwnerAccessToken, rec.Namespace, rec.Spec.AccessTokenUID}
	owner, namespace := got.Owner(), got.Owner().Namespace()
	if got.Namespace() != rec.Namespace || got.ResourceVersion() != rec.ResourceVersion || keyOf(owner) != key {
		t.Fatalf("%s is found as of %s, version %s", rec.Name, got.Namespace(), got.ResourceVersion())
	}
	if owner.State() != m.owners[key] || namespace.State() != m.namespaces[rec.Namespace] {
		t.Fatalf("%s: owner %d, namespace %d, want %d, %d", rec.Name, owner.State(), namespace.State(), m.owners[key], m.namespaces[rec.Namespace])
	}
}

// checkRevoked says that what a revocation voids is revoked, and that what none ever
// did is not. What one did that is gone may be either: it was cut off if it was there.
func (m *model) checkRevoked(t *rapid.T, got *verify.Token, rec *v1alpha1.TokenRecord) {
	matches := func(r revocation.Revocation) bool { return r.Matches(rec) }
	_, revoked := got.RevokedAt()
	if !revoked && slices.ContainsFunc(append(slices.Collect(maps.Values(m.revocations)), m.crowd()...), matches) {
		t.Fatalf("%s is good though a revocation voids it", rec.Name)
	}
	if revoked && !slices.ContainsFunc(m.revoked, matches) {
		t.Fatalf("%s is revoked though nothing voids it", rec.Name)
	}
}

// crowd is what the TokenRevocations that there are of a namespace void together,
// where they are too many to count one by one.
func (m *model) crowd() []revocation.Revocation {
	all := revocation.Revocation{Namespace: "a"}
	count := 0
	for ref, r := range m.revocations {
		if ref.Namespace != "a" {
			continue
		}
		if count++; r.CreatedAt.After(all.Before) {
			all.Before = r.CreatedAt
		}
	}
	if count <= mostOwn {
		return nil
	}
	return []revocation.Revocation{all}
}

// drawRevocation revokes one kind of thing, up to a moment at which records are made.
func (m *model) drawRevocation(t *rapid.T) revocation.Revocation {
	m.version++
	r := revocation.Revocation{
		Ref: revocation.Ref{Name: rapid.SampledFrom([]string{"r1", "r2", "r3"}).Draw(t, "revocation")}, UID: types.UID(strconv.Itoa(m.version)),
		Namespace: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "within"),
		CreatedAt: issued.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "created")) * time.Second),
	}
	r.Before = r.CreatedAt.Add(-time.Duration(rapid.IntRange(0, 2).Draw(t, "before")) * time.Second)
	if rapid.Bool().Draw(t, "of a namespace") {
		r.Ref.Namespace, r.Namespace = "a", "a"
	}
	switch rapid.IntRange(0, 2).Draw(t, "what") {
	case 0:
		r.User = "accesstoken:" + drawNamespace(t) + ":name-" + drawUID(t)
	case 1:
		r.TokenIDs = []string{token.DeclaredID(drawUID(t), rapid.Int64Range(1, 2).Draw(t, "revision"))}
	default: // all of it
	}
	m.revoked = append(m.revoked, r)
	return r
}

func (m *model) putRevocation(t *rapid.T) {
	r := m.drawRevocation(t)
	m.revocations[r.Ref] = r
	m.revoked = append(m.revoked, m.crowd()...)
	m.store.PutRevocation(r)
}

func (m *model) refs() []revocation.Ref {
	return slices.SortedFunc(maps.Keys(m.revocations), func(a, b revocation.Ref) int { return cmp.Compare(a.String(), b.String()) })
}

func (m *model) deleteRevocation(t *rapid.T) {
	if len(m.revocations) == 0 {
		t.Skip()
	}
	ref := rapid.SampledFrom(m.refs()).Draw(t, "gone")
	delete(m.revocations, ref)
	m.store.DeleteRevocation(ref)
}

func (m *model) replaceRevocations(t *rapid.T) {
	namespaced := rapid.Bool().Draw(t, "of namespaces")
	var list []revocation.Revocation
	for _, ref := range m.refs() {
		switch {
		case (ref.Namespace != "") != namespaced:
		case rapid.Bool().Draw(t, "listed"):
			list = append(list, m.revocations[ref])
		default:
			delete(m.revocations, ref)
		}
	}
	m.store.ReplaceRevocations(namespaced, list)
}

func drawNamespace(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b"}).Draw(t, "namespace")
}

// drawUID may be that of another namespace's AccessToken.
func drawUID(t *rapid.T) string { return rapid.SampledFrom([]string{"u1", "u2", "u3"}).Draw(t, "uid") }

func (m *model) putRecord(t *rapid.T) {
	uid := drawUID(t)
	with := modelMints[int(uid[1])%2] // a UID's records have one key
	revision := rapid.Int64Range(1, 2).Draw(t, "revision")
	made := issued.Add(time.Duration(int64(uid[1])+revision) % 3 * time.Second) // the same whenever it is heard of
	rec := mint.Unsealed(drawNamespace(t), "name-"+uid, types.UID(uid), revision, made)
	with.Seal(t, rec)
	if rapid.IntRange(0, 4).Draw(t, "broken") == 0 {
		rec.Spec.Seal = ""
	}
	m.version++
	rec.ResourceVersion = strconv.Itoa(m.version)
	m.records[nameOf(rec)] = rec
	m.store.PutRecord(rec)
}

func (m *model) deleteRecord(t *rapid.T) {
	if len(m.records) == 0 {
		t.Skip()
	}
	names := slices.SortedFunc(maps.Keys(m.records), func(a, b types.NamespacedName) int { return cmp.Compare(a.String(), b.String()) })
	name := rapid.SampledFrom(names).Draw(t, "record")
	rec := m.records[name]
	delete(m.records, name)
	m.store.DeleteRecord(rec)
}

func (m *model) turnKey(t *rapid.T) {
	with := rapid.SampledFrom(modelMints).Draw(t, "key")
	switch {
	case m.keys[with.KeyID] == with.Key && rapid.Bool().Draw(t, "replaced"):
		m.keys[with.KeyID] = record.Key{1}
	case m.keys[with.KeyID] == with.Key:
		delete(m.keys, with.KeyID)
	default:
		m.keys[with.KeyID] = with.Key
	}
	m.store.KeysChanged()
}

func (m *model) ownerNews(t *rapid.T) {
	key := ownerKey{verify.OwnerAccessToken, drawNamespace(t), drawUID(t)}
	object := metadataOf(key.namespace, "name-"+key.uid, types.UID(key.uid), issued)
	switch state := m.owners[key]; {
	case state == verify.StateGone:
		t.Skip() // a UID does not come back
	case state == verify.StateUnseen:
		m.owners[key] = verify.StateLive
		m.store.PutOwner(object)
	case rapid.Bool().Draw(t, "at once"):
		m.owners[key] = verify.StateGone
		m.store.DeleteOwner(object)
	default:
		m.owners[key] = verify.StateGone
		m.store.PutOwner(terminating(object))
	}
}

func (m *model) namespaceNews(t *rapid.T) {
	name := drawNamespace(t)
	object := metadataOf("", name, types.UID(name), issued)
	if m.namespaces[name] != verify.StateLive {
		m.namespaces[name] = verify.StateLive
		m.store.PutNamespace(object)
		return
	}
	m.namespaces[name] = verify.StateGone
	m.store.PutNamespace(terminating(object))
}

// endNamespace is the end of a namespace that is known to be on its way out. It
// is known to be gone for a while, and no time goes by here.
func (m *model) endNamespace(t *rapid.T) {
	name := drawNamespace(t)
	if m.namespaces[name] != verify.StateGone {
		t.Skip()
	}
	m.store.DeleteNamespace(metadataOf("", name, types.UID(name), issued))
}

func (m *model) replaceOwners(t *rapid.T) {
	var list []*metav1.PartialObjectMetadata
	for key, state := range m.owners {
		if state != verify.StateLive {
			continue
		}
		if m.owners[key] = verify.StateGone; rapid.Bool().Draw(t, "listed") {
			m.owners[key] = verify.StateLive
			list = append(list, metadataOf(key.namespace, "name-"+key.uid, types.UID(key.uid), issued))
		}
	}
	m.store.ReplaceOwners(list)
}

func TestTheStoreFindsWhatANaiveModelFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		t.Repeat(map[string]func(*rapid.T){
			"":               m.check,
			"put record":     m.putRecord,
			"delete record":  m.deleteRecord,
			"turn key":       m.turnKey,
			"owner news":     m.ownerNews,
			"namespace news": m.namespaceNews,
			"end namespace":  m.endNamespace,
			"list owners":    m.replaceOwners,
			"list records":   func(*rapid.T) { m.listRecords() },
			"list slowly":    m.list,

			"put revocation":    m.putRevocation,
			"delete revocation": m.deleteRevocation,
			"list revocations":  m.replaceRevocations,
		})
		m.endAll(t)
	})
}

// endAll ends everything, of which nothing may be left.
func (m *model) endAll(t *rapid.T) {
	m.endList()
	m.store.ReplaceRecords(nil)
	m.store.ReplaceOwners(nil)
	m.store.ReplaceNamespaces(nil)
	m.clock.Step(remembered + 1)
	m.store.KeysChanged()
	if s := m.store; len(s.owners)+len(s.namespaces)+len(s.closed)+len(s.contested)+len(s.departed)+s.waiting+s.Len() != 0 {
		t.Fatalf("kept: %v, %v, %v", s.owners, s.namespaces, s.closed)
	}
}
