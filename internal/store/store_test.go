package store

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// issued is when the tokens of these tests are.
var issued = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

// observed is a Store with what it told.
type observed struct {
	*testing.T
	*Store
	clock   *clocktesting.FakeClock
	keys    record.KeySet
	told    []string
	relists int
}

func observe(t *testing.T) *observed {
	o := &observed{T: t, clock: clocktesting.NewFakeClock(issued), keys: record.KeySet{mint.KeyID: mint.Key}}
	o.Store = New(Options{
		Opener: record.Opener{Keys: o.keys, ClusterID: mint.ClusterID},
		Clock:  o.clock,
		Refused: func(rec *v1alpha1.TokenRecord, why Refusal, err error) {
			if err == nil {
				t.Errorf("%s is refused without an error", rec.Name)
			}
			o.told = append(o.told, rec.Namespace+": "+string(why))
		},
		Relist: func() { o.relists++ },
	})
	return o
}

// expectFound checks which of the records are found.
func (o *observed) expectFound(records ...*v1alpha1.TokenRecord) {
	o.Helper()
	for _, rec := range records {
		if found := o.Lookup(idOf(o, rec)); found == nil || found.Namespace() != rec.Namespace {
			o.Errorf("%s in %s is not found", rec.Spec.AccessTokenName, rec.Namespace)
		}
	}
	if o.Len() != len(records) {
		o.Errorf("%d tokens are found, want %d", o.Len(), len(records))
	}
}

func (o *observed) expectRefused(want map[Refusal]int) {
	o.Helper()
	if got := o.Refused(); !maps.Equal(got, want) {
		o.Errorf("refused %v, want %v", got, want)
	}
}

func (o *observed) expectTold(want ...string) {
	o.Helper()
	if fmt.Sprint(o.told) != fmt.Sprint(want) {
		o.Errorf("told of %q, want %q", o.told, want)
	}
	o.told = nil
}

func (o *observed) expectRelists(want int) {
	o.Helper()
	if o.relists != want {
		o.Errorf("read anew %d times, want %d", o.relists, want)
	}
	o.relists = 0
}

func idOf(t interface {
	Helper()
	Fatal(...any)
}, rec *v1alpha1.TokenRecord) token.ID {
	t.Helper()
	id, err := token.ParseID(rec.Name)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// otherMint seals with another key.
func otherMint() mint.Mint {
	return mint.Mint{KeyID: "20261125t090000z-other", Key: record.Key{7}, ClusterID: mint.ClusterID}
}

func recordOf(t *testing.T, with mint.Mint, name string) *v1alpha1.TokenRecord {
	t.Helper()
	rec := mint.Unsealed("shop", name, mint.UID("shop", name), 1, issued)
	with.Seal(t, rec)
	return rec
}

func TestASealedRecordIsFoundUntilItIsDeleted(t *testing.T) {
	o := observe(t)
	rec := recordOf(t, mint.Default(), "deploy")
	o.PutRecord(rec)
	o.expectFound(rec)

	revoked := rec.DeepCopy()
	revoked.ResourceVersion, revoked.Status.RevokedAt = "2", "2026-11-24T09:00:01Z"
	before := o.Lookup(idOf(t, rec))
	if !before.Note(issued) {
		t.Fatal("a use was noted before")
	}
	o.PutRecord(revoked)
	after := o.Lookup(idOf(t, rec))
	if after == before || after.ResourceVersion() != "2" || after.Note(issued) {
		t.Error("the later state is not found, or forgot when a use was noted")
	}
	o.DeleteRecord(revoked)
	o.expectFound()
	o.expectTold()
	o.expectRelists(0)
}

func TestARecordThatDoesNotOpenIsRefusedWithItsReason(t *testing.T) {
	for name, c := range map[string]struct {
		want Refusal
		edit func(*v1alpha1.TokenRecord)
	}{
		"an edited scope":           {RefusalSealBroken, func(rec *v1alpha1.TokenRecord) { rec.Spec.Scopes = []string{"admin"} }},
		"an edited subject":         {RefusalSealBroken, func(rec *v1alpha1.TokenRecord) { rec.Spec.Subject.Name = "maria" }},
		"an edited seal":            {RefusalSealBroken, func(rec *v1alpha1.TokenRecord) { rec.Spec.Seal = strings.Repeat("0", 64) }},
		"a copy elsewhere":          {RefusalSealBroken, func(rec *v1alpha1.TokenRecord) { rec.Namespace = "thief" }},
		"a copy under another name": {RefusalSealBroken, func(rec *v1alpha1.TokenRecord) { rec.Name = token.DeclaredID("uid", 1) }},
		"re-created later": {RefusalReplayed, func(rec *v1alpha1.TokenRecord) {
			rec.CreationTimestamp = metav1.NewTime(issued.Add(record.GoodOnceTolerance + time.Second))
		}},
		"a key that is not there":    {RefusalKeyUnknown, func(rec *v1alpha1.TokenRecord) { rec.Spec.KeyID = "other" }},
		"no key":                     {RefusalKeyUnknown, func(rec *v1alpha1.TokenRecord) { rec.Spec.KeyID = "" }},
		"an issue that is no time":   {RefusalMalformed, func(rec *v1alpha1.TokenRecord) { rec.Spec.IssuedAt = "today" }},
		"a revocation at no time":    {RefusalMalformed, func(rec *v1alpha1.TokenRecord) { rec.Status.RevokedAt = "today" }},
		"no resource version":        {RefusalMalformed, func(rec *v1alpha1.TokenRecord) { rec.ResourceVersion = "" }},
		"a name that is no token ID": {RefusalSealBroken, func(rec *v1alpha1.TokenRecord) { rec.Name = "deploy" }},
	} {
		t.Run(name, func(t *testing.T) {
			o := observe(t)
			rec := recordOf(t, mint.Default(), "deploy")
			c.edit(rec)
			o.PutRecord(rec)
			o.expectFound()
			o.expectRefused(map[Refusal]int{c.want: 1})
			o.expectTold(rec.Namespace + ": " + string(c.want))
			o.DeleteRecord(rec)
			o.expectRefused(map[Refusal]int{})
			o.expectRelists(0)
			o.expectEmpty()
		})
	}
}

func TestEveryRefusalHasItsError(t *testing.T) {
	errs := map[Refusal]error{
		RefusalMalformed: record.ErrMalformed, RefusalKeyUnknown: record.ErrKeyUnknown, RefusalSealBroken: record.ErrSealBroken,
		RefusalReplayed: record.ErrReplayed, RefusalAmbiguous: errAmbiguous,
	}
	for _, refusal := range Refusals() {
		if got := refusalOf(fmt.Errorf("open: %w", errs[refusal])); got != refusal || errs[refusal] == nil {
			t.Errorf("%s for the error of %s", got, refusal)
		}
	}
	if len(errs) != len(Refusals()) || refusalOf(errors.New("any")) != RefusalMalformed {
		t.Error("the set is not closed")
	}
}

func TestARecordThatOpensNoLongerLeavesAtOnce(t *testing.T) {
	o := observe(t)
	rec := recordOf(t, mint.Default(), "deploy")
	o.PutRecord(rec)
	edited := rec.DeepCopy()
	edited.Spec.Scopes = []string{"admin"}
	o.PutRecord(edited)
	o.expectFound()
	o.expectRefused(map[Refusal]int{RefusalSealBroken: 1})
	o.PutRecord(rec)
	o.expectFound(rec)
	o.expectRefused(map[Refusal]int{})
}

func TestAForeignRecordOfTheSameNameDisturbsNothing(t *testing.T) {
	o := observe(t)
	rec := recordOf(t, mint.Default(), "deploy")
	copied := rec.DeepCopy()
	copied.Namespace = "thief"
	o.PutRecord(rec)
	o.PutRecord(copied)
	o.expectFound(rec)
	o.expectRefused(map[Refusal]int{RefusalSealBroken: 1})
	o.DeleteRecord(copied)
	o.expectFound(rec)
	o.DeleteRecord(copied) // never seen
	o.expectFound(rec)
	o.expectRelists(0)
}

// Two sealed records of one ID cannot come to be: the ID follows from a UID that
// the API server gave. If they do all the same, neither is good.
func TestTwoRecordsOfOneIDAreBothRefused(t *testing.T) {
	uid := mint.UID("shop", "deploy")
	one, other := mint.Unsealed("shop", "deploy", uid, 1, issued), mint.Unsealed("twin", "deploy", uid, 1, issued)
	for _, rec := range []*v1alpha1.TokenRecord{one, other} {
		mint.Default().Seal(t, rec)
	}
	both := map[Refusal]int{RefusalAmbiguous: 2}
	o := observe(t)
	o.PutRecord(one)
	o.expectFound(one)
	o.PutRecord(other)
	o.expectFound()
	o.expectRefused(both)
	o.PutRecord(one)
	o.expectFound()
	o.expectRefused(both)
	o.ReplaceRecords([]*v1alpha1.TokenRecord{other, one})
	o.expectFound()
	o.expectRefused(both)
	if !o.Complete() {
		t.Error("it is not complete after a list")
	}

	o.DeleteRecord(&v1alpha1.TokenRecord{ObjectMeta: metav1.ObjectMeta{Namespace: "third", Name: one.Name}})
	o.expectRelists(0)
	o.DeleteRecord(other)
	o.expectRelists(1)
	if o.Complete() {
		t.Error("it is complete, though a record may open now")
	}
	o.ReplaceRecords([]*v1alpha1.TokenRecord{one})
	o.expectFound(one)
	o.expectRefused(map[Refusal]int{})
	if !o.Complete() {
		t.Error("it is not complete after a list")
	}
}

func TestAListForgetsWhatIsNotInIt(t *testing.T) {
	o := observe(t)
	if o.Complete() {
		t.Error("it is complete before the first list")
	}
	stays, goes := recordOf(t, mint.Default(), "stays"), recordOf(t, mint.Default(), "goes")
	broken := recordOf(t, mint.Default(), "broken")
	broken.Spec.Seal = ""
	for _, rec := range []*v1alpha1.TokenRecord{stays, goes, broken} {
		o.PutRecord(rec)
	}
	o.Lookup(idOf(t, stays)).Note(issued)
	o.ReplaceRecords([]*v1alpha1.TokenRecord{stays})
	o.expectFound(stays)
	o.expectRefused(map[Refusal]int{})
	if o.Lookup(idOf(t, stays)).Note(issued) {
		t.Error("it is forgotten when a use was noted")
	}
	o.ReplaceRecords(nil)
	o.expectFound()
	o.expectEmpty()
}

func TestARecordOpensWhenItsKeyComes(t *testing.T) {
	o := observe(t)
	o.ReplaceRecords(nil)
	rec := recordOf(t, otherMint(), "deploy")
	o.PutRecord(rec)
	o.expectTold("shop: KeyUnknown")
	o.KeysChanged()
	o.expectTold() // nothing new
	o.keys[otherMint().KeyID] = otherMint().Key
	o.KeysChanged()
	o.expectFound(rec)
	o.expectRefused(map[Refusal]int{})
	o.expectRelists(0)
	if !o.Complete() || o.waiting != 0 {
		t.Errorf("complete %v, %d waiting", o.Complete(), o.waiting)
	}
}

func TestARecordThatWaitsForAKeyMayGo(t *testing.T) {
	o := observe(t)
	rec := recordOf(t, otherMint(), "deploy")
	o.PutRecord(rec)
	o.DeleteRecord(rec)
	o.keys[otherMint().KeyID] = otherMint().Key
	o.KeysChanged()
	o.expectFound()
	o.expectEmpty()
}

func TestWithoutItsKeyATokenLeavesAtOnce(t *testing.T) {
	o := observe(t)
	o.keys[otherMint().KeyID] = otherMint().Key
	stays, goes := recordOf(t, mint.Default(), "stays"), recordOf(t, otherMint(), "goes")
	all := []*v1alpha1.TokenRecord{stays, goes}
	o.ReplaceRecords(all)
	o.expectFound(all...)
	delete(o.keys, otherMint().KeyID)
	o.KeysChanged()
	o.expectFound(stays)
	o.expectRelists(1)
	if !o.Complete() {
		t.Error("it is not complete, though no more can open")
	}
	o.ReplaceRecords(all)
	o.expectRefused(map[Refusal]int{RefusalKeyUnknown: 1})

	o.keys[otherMint().KeyID] = otherMint().Key // restored
	o.KeysChanged()
	o.expectFound(all...)
}

func TestAKeyThatIsReplacedUnderItsIDAndRestoredOpensItsRecordsAgain(t *testing.T) {
	o := observe(t)
	rec := recordOf(t, mint.Default(), "deploy")
	all := []*v1alpha1.TokenRecord{rec}
	o.ReplaceRecords(all)
	o.keys[mint.KeyID] = record.Key{9}
	o.KeysChanged()
	o.expectFound()
	o.expectRelists(1)
	o.ReplaceRecords(all)
	o.expectRefused(map[Refusal]int{RefusalSealBroken: 1})
	o.KeysChanged()
	o.expectRelists(0) // the same key
	o.keys[mint.KeyID] = mint.Key
	o.KeysChanged()
	o.expectRelists(1)
	if o.Complete() {
		t.Error("it is complete, though a record opens now")
	}
	o.ReplaceRecords(all)
	o.expectFound(rec)
}

func TestOfManyRecordsThatWaitForAKeySomeAreReadAnew(t *testing.T) {
	o := observe(t)
	o.ReplaceRecords(nil)
	var all []*v1alpha1.TokenRecord
	for i := range mostWaiting + 10 {
		rec := recordOf(t, otherMint(), fmt.Sprintf("deploy-%d", i))
		all = append(all, rec)
		o.PutRecord(rec)
	}
	o.expectRefused(map[Refusal]int{RefusalKeyUnknown: len(all)})
	if o.waiting != mostWaiting {
		t.Errorf("%d are kept, want %d", o.waiting, mostWaiting)
	}
	o.KeysChanged()
	o.expectRelists(0) // the key is not there
	o.keys[otherMint().KeyID] = otherMint().Key
	o.KeysChanged()
	if o.Len() != mostWaiting || o.relists == 0 || o.Complete() {
		t.Errorf("%d found, read anew %d times, complete %v", o.Len(), o.relists, o.Complete())
	}
	o.ReplaceRecords(all)
	o.expectFound(all...)
	if o.waiting != 0 || !o.Complete() {
		t.Errorf("%d waiting, complete %v", o.waiting, o.Complete())
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	o := observe(t)
	rec := recordOf(t, mint.Default(), "deploy")
	o.PutRecord(rec)
	id, none := idOf(t, rec), token.ID{}
	if n := testing.AllocsPerRun(100, func() { o.Lookup(id); o.Lookup(none) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAStoreWithoutListenersWorks(t *testing.T) {
	s := New(Options{Opener: mint.Default().Opener(), Clock: clocktesting.NewFakePassiveClock(issued)})
	rec := recordOf(t, mint.Default(), "deploy")
	s.PutRecord(rec)
	edited := rec.DeepCopy()
	edited.Spec.Seal = ""
	s.PutRecord(edited)
	s.KeysChanged()
	if s.Len() != 0 || s.Refused()[RefusalSealBroken] != 1 {
		t.Errorf("%d found, refused %v", s.Len(), s.Refused())
	}
}

// expectEmpty checks that nothing is kept of what is gone.
func (o *observed) expectEmpty() {
	o.Helper()
	o.clock.Step(remembered + time.Second)
	o.DeleteRecord(&v1alpha1.TokenRecord{}) // any change
	if len(o.owners)+len(o.namespaces)+len(o.closed)+len(o.contested)+len(o.departed)+o.waiting+o.Len() != 0 {
		o.Errorf("kept: %d owners, %d namespaces, %d closed, %d contested, %d departed, %d waiting, %d tokens",
			len(o.owners), len(o.namespaces), len(o.closed), len(o.contested), len(o.departed), o.waiting, o.Len())
	}
}

func (o *observed) stateOf(rec *v1alpha1.TokenRecord) (owner, namespace verify.State) {
	o.Helper()
	found := o.Lookup(idOf(o, rec))
	if found == nil {
		o.Fatalf("%s is not found", rec.Spec.AccessTokenName)
	}
	return found.Owner().State(), found.Owner().Namespace().State()
}

func metadataOf(namespace, name string, uid types.UID, created time.Time) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: name, UID: uid, CreationTimestamp: metav1.NewTime(created),
	}}
}
