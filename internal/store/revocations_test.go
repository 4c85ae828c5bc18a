package store

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
	"github.com/accesstoken-dev/accesstoken-operator/internal/revocation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
)

// revoke is a revocation of what the change says, written a minute after the
// tokens of these tests were issued, of all that was made until then.
func revoke(name string, change func(*revocation.Revocation)) revocation.Revocation {
	r := revocation.Revocation{Ref: revocation.Ref{Name: name}, UID: types.UID(name), Before: issued.Add(time.Minute), CreatedAt: issued.Add(time.Minute)}
	change(&r)
	return r
}

func (o *observed) revoked(rec *v1alpha1.TokenRecord) bool {
	o.Helper()
	found := o.Lookup(idOf(o, rec))
	if found == nil {
		o.Fatalf("%s is not found", rec.Name)
	}
	_, revoked := found.RevokedAt()
	return revoked
}

func TestARevocationCutsOffWhatIsThereAndWhatComesLater(t *testing.T) {
	deploy, nightly := recordOf(t, mint.Default(), "deploy"), recordOf(t, mint.Default(), "nightly")
	for name, c := range map[string]struct {
		change       func(*revocation.Revocation)
		both, forOne bool
	}{
		"all of the cluster":          {func(*revocation.Revocation) {}, true, true},
		"the namespace":               {func(r *revocation.Revocation) { r.Namespace = "shop" }, true, true},
		"another namespace":           {func(r *revocation.Revocation) { r.Namespace = "billing" }, false, false},
		"the user":                    {func(r *revocation.Revocation) { r.User = deploy.Spec.Subject.Name }, false, true},
		"the user, in place":          {func(r *revocation.Revocation) { r.User, r.Namespace = deploy.Spec.Subject.Name, "shop" }, false, true},
		"the user, elsewhere":         {func(r *revocation.Revocation) { r.User, r.Namespace = deploy.Spec.Subject.Name, "billing" }, false, false},
		"the ID":                      {func(r *revocation.Revocation) { r.TokenIDs = []string{deploy.Name} }, false, true},
		"the ID, elsewhere":           {func(r *revocation.Revocation) { r.TokenIDs, r.Namespace = []string{deploy.Name}, "billing" }, false, false},
		"an ID that is none":          {func(r *revocation.Revocation) { r.TokenIDs = []string{"none"} }, false, false},
		"no ID that is one, in place": {func(r *revocation.Revocation) { r.TokenIDs, r.Namespace = []string{"none"}, "shop" }, false, false},
		"what was made before":        {func(r *revocation.Revocation) { r.Before = issued.Add(-time.Second) }, false, false},
		"what was made that second":   {func(r *revocation.Revocation) { r.Before = issued }, true, true},
	} {
		for _, first := range []string{"the record", "the revocation", "the list of records"} {
			t.Run(name+", "+first+" first", func(t *testing.T) {
				o := observe(t)
				records := func() {
					o.PutRecord(deploy)
					o.PutRecord(nightly)
				}
				if first == "the record" {
					records()
				}
				o.PutRevocation(revoke("cut", c.change))
				o.ApplyRevocations()
				switch first {
				case "the revocation":
					records()
				case "the list of records":
					o.ReplaceRecords([]*v1alpha1.TokenRecord{deploy, nightly})
				}
				if o.revoked(deploy) != c.forOne || o.revoked(nightly) != c.both {
					t.Errorf("revoked: %v and %v, want %v and %v", o.revoked(deploy), o.revoked(nightly), c.forOne, c.both)
				}
			})
		}
	}
}

func TestWhatWasCutOffStaysSo(t *testing.T) {
	o := observe(t)
	rec := recordOf(t, mint.Default(), "deploy")
	o.PutRecord(rec)
	cut := revoke("cut", func(r *revocation.Revocation) { r.User = rec.Spec.Subject.Name })
	o.PutRevocation(cut)
	o.ApplyRevocations()
	for what, happens := range map[string]func(){
		"the revocation is deleted":   func() { o.DeleteRevocation(cut.Ref) },
		"all of them are gone":        func() { o.ReplaceRevocations(false, nil) },
		"the record changes":          func() { o.PutRecord(used(rec)) },
		"the records are listed anew": func() { o.ReplaceRecords([]*v1alpha1.TokenRecord{used(rec)}) },
	} {
		if happens(); !o.revoked(rec) {
			t.Errorf("good again when %s", what)
		}
	}
}

// used is the same record after a use.
func used(rec *v1alpha1.TokenRecord) *v1alpha1.TokenRecord {
	changed := rec.DeepCopy()
	changed.ResourceVersion, changed.Status.LastUsedAt = "2", v1alpha1.NewTimestamp(issued)
	return changed
}

func TestARevocationThatIsMadeAnewUnderTheSameNameCounts(t *testing.T) {
	o := observe(t)
	deploy, nightly := recordOf(t, mint.Default(), "deploy"), recordOf(t, mint.Default(), "nightly")
	o.PutRecord(deploy)
	o.PutRecord(nightly)
	o.PutRevocation(revoke("cut", func(r *revocation.Revocation) { r.TokenIDs = []string{deploy.Name} }))
	o.PutRevocation(revoke("cut", func(r *revocation.Revocation) { r.TokenIDs, r.UID = []string{nightly.Name}, "another" }))
	o.ApplyRevocations()
	if !o.revoked(deploy) || !o.revoked(nightly) {
		t.Errorf("revoked: %v and %v", o.revoked(deploy), o.revoked(nightly))
	}
}

func TestRevocationsThatAreGoneCostNothingForLong(t *testing.T) {
	o := observe(t)
	for i := range 10 * spare {
		name := fmt.Sprintf("cut-%d", i)
		o.PutRevocation(revoke(name, func(r *revocation.Revocation) { r.User = name }))
		o.ApplyRevocations()
		o.DeleteRevocation(revocation.Ref{Name: name})
	}
	if len(o.revocations.known) > 0 || len(o.revocations.cuts.users) > 2*spare {
		t.Errorf("%d revocations and %d cuts are kept", len(o.revocations.known), len(o.revocations.cuts.users))
	}
}

// ownRevocation is a TokenRevocation of the namespace shop of a user that there is not.
func ownRevocation(i int) revocation.Revocation {
	return revoke(fmt.Sprintf("own-%d", i), func(r *revocation.Revocation) {
		r.Ref.Namespace, r.Namespace, r.User, r.Before = "shop", "shop", "nobody", issued.Add(-time.Hour)
	})
}

func TestTooManyRevocationsOfANamespaceVoidAllThatIsInItAndNothingElse(t *testing.T) {
	o := observe(t)
	rec, _ := mint.Record(t, "shop", "deploy", issued)
	elsewhere, _ := mint.Record(t, "billing", "deploy", issued)
	o.PutRecord(rec)
	o.PutRecord(elsewhere)
	for i := range revocation.MostOfNamespace {
		o.PutRevocation(ownRevocation(i))
	}
	o.ApplyRevocations()
	if o.revoked(rec) {
		t.Fatal("void before there are too many")
	}
	o.PutRevocation(ownRevocation(revocation.MostOfNamespace))
	o.ApplyRevocations()
	later, _ := mint.Record(t, "shop", "later", issued.Add(2*time.Minute))
	o.PutRecord(later)
	if !o.revoked(rec) || o.revoked(later) || o.revoked(elsewhere) {
		t.Errorf("revoked: %v, the later one %v, elsewhere %v", o.revoked(rec), o.revoked(later), o.revoked(elsewhere))
	}
	if len(o.revocations.known) > 0 || len(o.revocations.cuts.users) > 0 {
		t.Errorf("%d revocations and %d cuts are kept", len(o.revocations.known), len(o.revocations.cuts.users))
	}

	t.Log("one that comes then counts")
	last := ownRevocation(-1)
	last.CreatedAt = issued.Add(time.Hour)
	o.PutRevocation(last)
	o.ApplyRevocations()
	if !o.revoked(later) {
		t.Error("what was made before the last one is good")
	}

	t.Log("one by one when there are few again, though what was void stays so")
	for i := range revocation.MostOfNamespace + 1 {
		o.DeleteRevocation(ownRevocation(i).Ref)
	}
	weeks, _ := mint.Record(t, "shop", "weeks-later", issued.Add(200*time.Hour))
	o.PutRecord(weeks)
	few := ownRevocation(0)
	few.CreatedAt = issued.Add(300 * time.Hour)
	o.PutRevocation(few)
	o.ApplyRevocations()
	if o.revoked(weeks) || !o.revoked(rec) || len(o.revocations.known) != 1 {
		t.Errorf("revoked: %v, the first one %v; %d revocations are kept", o.revoked(weeks), o.revoked(rec), len(o.revocations.known))
	}
	o.DeleteRevocation(few.Ref)

	t.Log("until they are listed, and are fewer")
	o.DeleteRevocation(last.Ref)
	fresh, _ := mint.Record(t, "shop", "fresh", issued.Add(3*time.Minute))
	o.ReplaceRevocations(true, []revocation.Revocation{ownRevocation(0)})
	o.PutRecord(fresh)
	if o.revoked(fresh) || !o.revoked(rec) || len(o.revocations.known) != 1 {
		t.Errorf("revoked: %v, the first one %v; %d revocations are kept", o.revoked(fresh), o.revoked(rec), len(o.revocations.known))
	}
}

func TestAListOfTooManyRevocationsVoidsTheNamespace(t *testing.T) {
	o := observe(t)
	var list []revocation.Revocation
	for i := range revocation.MostOfNamespace {
		o.PutRevocation(ownRevocation(i))
		list = append(list, ownRevocation(-1-i))
	}
	rec, _ := mint.Record(t, "shop", "deploy", issued)
	o.PutRecord(rec)
	if o.ReplaceRevocations(true, list); o.revoked(rec) {
		t.Fatal("as many as may be, in the place of as many, are too many")
	}
	if o.ReplaceRevocations(true, append(list, ownRevocation(0))); !o.revoked(rec) {
		t.Error("one more is not too many")
	}
}

func TestOneKindOfRevocationDoesNotReplaceTheOther(t *testing.T) {
	o := observe(t)
	own := revoke("own", func(r *revocation.Revocation) { r.Ref.Namespace, r.Namespace = "shop", "shop" })
	o.ReplaceRevocations(true, []revocation.Revocation{own})
	o.ReplaceRevocations(false, nil)
	rec := recordOf(t, mint.Default(), "deploy")
	o.PutRecord(rec)
	if !o.revoked(rec) {
		t.Error("the list of ClusterTokenRevocations took a TokenRevocation away")
	}
}

func TestWhatIsCutOffIsToldOfOnce(t *testing.T) {
	o := observe(t)
	var ended []time.Time
	o.options.Ended = func(at time.Time) { ended = append(ended, at) }
	rec := recordOf(t, mint.Default(), "deploy")
	o.PutRecord(rec)
	o.PutRevocation(revoke("old", func(r *revocation.Revocation) {
		r.Before, r.CreatedAt, r.TokenIDs = issued, issued.Add(-time.Hour), []string{"none"}
	}))
	cut := revoke("cut", func(*revocation.Revocation) {})
	o.PutRevocation(cut)
	o.ApplyRevocations()
	o.ApplyRevocations()
	written := used(rec)
	written.Status.RevokedAt = v1alpha1.NewTimestamp(issued.Add(2 * time.Minute))
	o.PutRecord(written)
	if len(ended) != 1 || !ended[0].Equal(cut.CreatedAt) {
		t.Errorf("told of %v, want %v once", ended, cut.CreatedAt)
	}
}

// TestManyRevocationsAreAppliedInOneLook has a thousand users revoked while there
// are very many tokens: applied one by one, that would take a thousand times as
// long.
func TestManyRevocationsAreAppliedInOneLook(t *testing.T) {
	s := New(Options{Opener: mint.Default().Opener(), Clock: clock.RealClock{}})
	const tokens, revocations = 20_000, 1000
	for i := range tokens {
		s.PutRecord(typical(t, i))
	}
	for i := range revocations {
		name := fmt.Sprintf("cut-%d", i)
		s.PutRevocation(revoke(name, func(r *revocation.Revocation) { r.User = typical(t, i).Spec.Subject.Name }))
	}
	began := clock.RealClock{}.Now()
	looks := 0
	for pending := true; pending; {
		select {
		case <-s.RevocationsPending():
			s.ApplyRevocations()
			looks++
		default:
			pending = false
		}
	}
	t.Logf("%d revocations, %d tokens: %s", revocations, tokens, clock.RealClock{}.Since(began))
	cut := 0
	for each := range s.index.Load().all() {
		if _, revoked := each.RevokedAt(); revoked {
			cut++
		}
	}
	if cut != revocations || looks != 1 {
		t.Errorf("%d are cut off in %d looks, want %d in one", cut, looks, revocations)
	}
}

// BenchmarkApplyRevocations is one look at 100,000 tokens.
func BenchmarkApplyRevocations(b *testing.B) {
	s := New(Options{Opener: mint.Default().Opener(), Clock: clock.RealClock{}})
	for i := range manyTokens {
		s.PutRecord(typical(b, i))
	}
	for i := 0; b.Loop(); i++ {
		name := fmt.Sprintf("cut-%d", i)
		s.PutRevocation(revoke(name, func(r *revocation.Revocation) { r.User = name }))
		s.ApplyRevocations()
	}
}

// TestARevocationThatComesWhileAListIsTakenInHoldsForIt has it come when most of the
// list has been compared with those that there were.
func TestARevocationThatComesWhileAListIsTakenInHoldsForIt(t *testing.T) {
	keys := &interrupted{KeySet: record.KeySet{mint.KeyID: mint.Key, otherMint().KeyID: otherMint().Key}, id: otherMint().KeyID}
	s := New(Options{Opener: record.Opener{Keys: keys, ClusterID: mint.ClusterID}, Clock: clocktesting.NewFakePassiveClock(issued)})
	var list []*v1alpha1.TokenRecord
	for i := range 4 * batch {
		list = append(list, recordOf(t, mint.Default(), fmt.Sprintf("other-%d", i)))
	}
	list = append(list, recordOf(t, otherMint(), "slow"))
	keys.first = func() {
		s.PutRevocation(revoke("cut", func(*revocation.Revocation) {}))
		s.ApplyRevocations()
	}
	keys.left.Store(1)
	s.ReplaceRecords(list)
	good := 0
	for each := range s.tokens.all() {
		if _, revoked := each.RevokedAt(); !revoked {
			good++
		}
	}
	if good > 0 || s.Len() != len(list) {
		t.Errorf("%d of %d tokens are not cut off", good, s.Len())
	}
}

// TestRecordsAndRevocationsThatComeSideBySideMeet has each record revoked while it
// is taken in, read anew and looked up.
func TestRecordsAndRevocationsThatComeSideBySideMeet(t *testing.T) {
	s := New(Options{Opener: mint.Default().Opener(), Clock: clock.RealClock{}})
	const records = 2000
	list := make([]*v1alpha1.TokenRecord, records)
	for i := range list {
		list[i] = recordOf(t, mint.Default(), fmt.Sprintf("deploy-%d", i))
	}
	var group sync.WaitGroup
	group.Go(func() {
		for _, rec := range list {
			s.PutRecord(rec)
		}
	})
	group.Go(func() {
		for range 3 {
			s.ReplaceRecords(list)
		}
	})
	group.Go(func() {
		for _, rec := range list {
			s.PutRevocation(revoke(rec.Name, func(r *revocation.Revocation) { r.User = rec.Spec.Subject.Name }))
		}
	})
	done := make(chan struct{})
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		for {
			select {
			case <-s.RevocationsPending():
				s.ApplyRevocations()
			case <-done:
				return
			}
		}
	}()
	group.Wait()
	close(done)
	<-swept
	s.ApplyRevocations()
	for _, rec := range list {
		if _, revoked := s.Lookup(idOf(t, rec)).RevokedAt(); !revoked {
			t.Fatalf("%s is good", rec.Spec.AccessTokenName)
		}
	}
}
