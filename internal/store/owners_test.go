package store

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// deployment is an AccessToken with its namespace and one record.
func deployment(t *testing.T) (rec *v1alpha1.TokenRecord, owner, namespace *metav1.PartialObjectMetadata) {
	t.Helper()
	rec = recordOf(t, mint.Default(), "deploy")
	return rec, metadataOf("shop", "deploy", mint.UID("shop", "deploy"), issued), metadataOf("", "shop", "1", issued.Add(-time.Hour))
}

func (o *observed) expectStates(rec *v1alpha1.TokenRecord, owner, namespace verify.State) {
	o.Helper()
	if gotOwner, gotNamespace := o.stateOf(rec); gotOwner != owner || gotNamespace != namespace {
		o.Errorf("owner %d, namespace %d, want %d, %d", gotOwner, gotNamespace, owner, namespace)
	}
}

func terminating(object *metav1.PartialObjectMetadata) *metav1.PartialObjectMetadata {
	object = object.DeepCopy()
	object.DeletionTimestamp = &metav1.Time{Time: issued}
	return object
}

func TestNewsOfOwnersComesInAnyOrder(t *testing.T) {
	rec, owner, namespace := deployment(t)
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		o := observe(t)
		for _, each := range order {
			[]func(){
				func() { o.PutRecord(rec) }, func() { o.PutOwner(owner) }, func() { o.PutNamespace(namespace) },
			}[each]()
		}
		o.expectStates(rec, verify.StateLive, verify.StateLive)
		for _, each := range order {
			[]func(){
				func() { o.DeleteRecord(rec) }, func() { o.DeleteOwner(owner) }, func() { o.DeleteNamespace(namespace) },
			}[each]()
		}
		o.expectEmpty()
	}
}

func TestWhatIsNotHeardOfIsUnseen(t *testing.T) {
	rec, owner, _ := deployment(t)
	o := observe(t)
	o.PutRecord(rec)
	o.expectStates(rec, verify.StateUnseen, verify.StateUnseen)
	elsewhere := owner.DeepCopy()
	elsewhere.Namespace = "thief" // an AccessToken of its UID in another namespace is another
	o.PutOwner(elsewhere)
	o.expectStates(rec, verify.StateUnseen, verify.StateUnseen)
	o.ReplaceOwners(nil)
	o.ReplaceNamespaces(nil)
	o.expectStates(rec, verify.StateUnseen, verify.StateUnseen)
	o.DeleteRecord(rec)
	o.expectEmpty()
}

func TestTheEndOfAnOwnerIsHeardOfInEachWay(t *testing.T) {
	rec, owner, namespace := deployment(t)
	other := metadataOf("shop", "other", "2", issued)
	for name, end := range map[string]func(*observed){
		"deleted":                func(o *observed) { o.DeleteOwner(owner) },
		"being deleted":          func(o *observed) { o.PutOwner(terminating(owner)) },
		"not in a list":          func(o *observed) { o.ReplaceOwners([]*metav1.PartialObjectMetadata{other}) },
		"being deleted, in list": func(o *observed) { o.ReplaceOwners([]*metav1.PartialObjectMetadata{terminating(owner)}) },
	} {
		t.Run(name, func(t *testing.T) {
			o := observe(t)
			o.PutOwner(owner)
			o.PutNamespace(namespace)
			o.PutRecord(rec)
			end(o)
			o.expectStates(rec, verify.StateGone, verify.StateLive)
			// Its records may stay for long, and come late.
			o.DeleteRecord(rec)
			o.clock.Step(remembered)
			o.PutRecord(rec)
			o.expectStates(rec, verify.StateGone, verify.StateLive)
			o.DeleteOwner(owner)
			o.DeleteOwner(other)
			o.DeleteNamespace(namespace)
			o.DeleteRecord(rec)
			o.expectEmpty()
		})
	}
}

func TestTheEndOfANamespaceIsHeardOfInEachWay(t *testing.T) {
	rec, owner, namespace := deployment(t)
	for name, end := range map[string]func(*observed){
		"deleted":                func(o *observed) { o.DeleteNamespace(namespace) },
		"being deleted":          func(o *observed) { o.PutNamespace(terminating(namespace)) },
		"not in a list":          func(o *observed) { o.ReplaceNamespaces(nil) },
		"being deleted, in list": func(o *observed) { o.ReplaceNamespaces([]*metav1.PartialObjectMetadata{terminating(namespace)}) },
	} {
		t.Run(name, func(t *testing.T) {
			o := observe(t)
			o.PutOwner(owner)
			o.PutNamespace(namespace)
			o.PutRecord(rec)
			end(o)
			o.expectStates(rec, verify.StateLive, verify.StateGone)
			o.DeleteOwner(owner)
			o.DeleteRecord(rec)
			o.DeleteNamespace(namespace)
			o.expectEmpty()
		})
	}
}

// The watches are not ordered: what is in a namespace that was made anew can be
// heard of before the end of the earlier one.
func TestANamespaceMadeAnewIsLiveForWhatCameBeforeTheNews(t *testing.T) {
	_, _, namespace := deployment(t)
	made := issued.Add(time.Hour)
	rec := mint.Unsealed("shop", "deploy", "new", 1, made.Add(time.Second))
	mint.Default().Seal(t, rec)
	o := observe(t)
	o.PutNamespace(terminating(namespace))
	o.PutOwner(metadataOf("shop", "deploy", "new", made))
	o.PutRecord(rec)
	o.expectStates(rec, verify.StateLive, verify.StateGone)
	o.DeleteNamespace(namespace)
	o.PutNamespace(metadataOf("", "shop", "2", made))
	o.expectStates(rec, verify.StateLive, verify.StateLive)
}

func TestAnOwnerThatIsGoneIsRememberedForAMinute(t *testing.T) {
	rec, owner, namespace := deployment(t)
	o := observe(t)
	o.PutNamespace(namespace)
	o.PutOwner(owner)
	o.DeleteOwner(owner)
	o.clock.Step(remembered)
	o.PutRecord(rec)
	o.expectStates(rec, verify.StateGone, verify.StateLive)
	o.DeleteRecord(rec)
	o.clock.Step(1)
	o.PutRecord(rec) // the minute is over
	o.expectStates(rec, verify.StateUnseen, verify.StateLive)
}

func TestAllTokensOfAnOwnerEndWithIt(t *testing.T) {
	_, owner, namespace := deployment(t)
	o := observe(t)
	o.PutNamespace(namespace)
	o.PutOwner(owner)
	var records []*v1alpha1.TokenRecord
	for revision := range int64(3) {
		rec := mint.Unsealed("shop", "deploy", owner.UID, revision+1, issued)
		mint.Default().Seal(t, rec)
		o.PutRecord(rec)
		records = append(records, rec)
	}
	o.DeleteOwner(owner)
	for _, rec := range records {
		o.expectStates(rec, verify.StateGone, verify.StateLive)
		o.DeleteRecord(rec)
	}
	o.DeleteNamespace(namespace)
	o.expectEmpty()
}

func TestARecordThatIsRefusedLeavesNoOwnerBehind(t *testing.T) {
	o := observe(t)
	rec, _, _ := deployment(t)
	rec.Status.ExpiresAt = "soon" // opens, and cannot be kept
	o.PutRecord(rec)
	o.expectRefused(map[Refusal]int{RefusalMalformed: 1})
	o.DeleteRecord(rec)
	o.expectEmpty()
}

func TestFreshnessIsThatOfTheKindThatIsSilentForLongest(t *testing.T) {
	f := &Freshness{}
	for kind := range kinds {
		if _, ok := f.Staleness(issued); ok || f.Check(issued, time.Hour) != verify.ErrNotReady {
			t.Fatalf("it is fresh without kind %d", kind)
		}
		f.Hear(kind, issued.Add(time.Duration(kind)*time.Second))
	}
	at := issued.Add(time.Minute)
	if staleness, ok := f.Staleness(at); !ok || staleness != time.Minute {
		t.Errorf("%s, %v", staleness, ok)
	}
	f.Hear(KindTokenRecord, issued.Add(10*time.Second))
	if staleness, _ := f.Staleness(at); staleness != 59*time.Second {
		t.Errorf("%s", staleness)
	}
	most := 59 * time.Second
	for _, c := range []struct {
		now  time.Time
		want error
	}{
		{at.Add(-1), nil}, {at, nil}, {at.Add(1), verify.ErrStale}, {issued.Add(-time.Hour), verify.ErrStale}, // the clock was set back
	} {
		if err := f.Check(c.now, most); err != c.want {
			t.Errorf("%s: %v, want %v", c.now, err, c.want)
		}
	}
}
