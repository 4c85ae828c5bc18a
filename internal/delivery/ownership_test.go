package delivery_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/internal/delivery"
)

const manager = "accesstoken-operator"

// recorded returns the managedFields that kube-apiserver v1.36.3 wrote for a
// Secret with the key token, which the operator's manager had applied before
// what the name of the file says.
func recorded(t *testing.T, name string) []metav1.ManagedFieldsEntry {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var fields []metav1.ManagedFieldsEntry
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

var recordings = []struct {
	name     string
	recorded string
	owned    bool     // our key is as we applied it
	held     bool     // others keep something
	foreign  []string // others with keys of theirs
}{
	{"a Secret that only we applied is ours", "applied", true, false, nil},

	{"a key that kubectl edit changed is theirs", "edited-key", false, true, []string{"kubectl-edit"}},
	{"a changed key is ours again once it is applied again", "edited-key-then-repaired", true, false, nil},
	{"a key that was removed is nobody's", "removed-key", false, false, nil},
	{"no key is ours after all data was removed", "removed-data", false, false, nil},
	{"a key that another forced by apply is theirs", "forced-key", false, true, []string{"other"}},
	{"a forced key is ours again once it is applied again", "forced-key-then-repaired", true, false, nil},
	{"a key that another applied with our value is ours too", "shared-key", true, false, nil},
	{"a key patched with the value that it has stays ours", "patched-same-value", true, false, nil},
	{"a key patched through stringData is theirs", "string-data-patched", false, true, []string{"kubectl-patch"}},
	{"a key that client-side apply changed is theirs", "client-side-applied", false, true, []string{"kubectl-client-side-apply"}},
	{"client-side apply with our value leaves its annotation only", "client-side-applied-same", true, true, nil},
	{"a Secret replaced as a whole has a key of theirs", "replaced", false, true, []string{"kubectl-replace"}},
	{"a key edited in our name without apply is not as we applied it", "edited-under-our-name", false, false, nil},

	{"an extra key leaves ours alone", "extra-key", true, true, []string{"kubectl-patch"}},
	{"an extra key that is gone holds nothing", "extra-key-removed", true, false, nil},
	{"an extra key applied as stringData leaves ours alone", "string-data-extra-applied", true, true, []string{"other"}},
	{"a label of theirs holds the Secret", "labelled", true, true, nil},
	{"an annotation of theirs holds the Secret", "annotated", true, true, nil},
	{"an annotation of ours that they changed holds the Secret", "our-annotation-overwritten", true, true, nil},
	{"a finalizer of theirs holds the Secret", "finalizer", true, true, nil},
	{"a withdrawn Secret with their key has none of ours", "withdrawn", false, true, []string{"kubectl-patch"}},
	{"withdrawing leaves a key that they had changed", "withdrawn-after-edit", false, true, []string{"kubectl-patch"}},

	{"a key applied as stringData is theirs though data names us", "string-data-applied", false, true, []string{"other"}},
	{"data applied again does not take stringData back", "string-data-applied-then-repaired", false, true, []string{"other"}},
	{"a key that we applied as stringData too is ours", "claimed", true, false, nil},
	{"a label added beside leaves stringData ours", "claimed-labelled", true, true, nil},
	{"stringData that another forced is theirs", "claimed-forced", false, true, []string{"other"}},
	{"stringData applied again takes it back", "claimed-forced-repaired", true, false, nil},

	{"without managedFields nothing is known to be ours alone", "managed-fields-cleared", false, true, nil},
	{"what is recorded as before the first apply does not count where it is ours too", "managed-fields-cleared-then-repaired", true, false, nil},
}

func TestWhoOwnsWhatInARecordedSecret(t *testing.T) {
	for _, c := range recordings {
		t.Run(c.name, func(t *testing.T) {
			fields := recorded(t, c.recorded)
			if got := delivery.OwnsData(fields, manager, []string{"token"}); got != c.owned {
				t.Errorf("OwnsData is %t, want %t", got, c.owned)
			}
			if got := delivery.OthersHold(fields, manager); got != c.held {
				t.Errorf("OthersHold is %t, want %t", got, c.held)
			}
			if diff := cmp.Diff(c.foreign, delivery.Foreign(fields, manager)); diff != "" {
				t.Errorf("Foreign (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryRecordingIsUsed(t *testing.T) {
	used := map[string]bool{}
	for _, c := range recordings {
		used[filepath.Join("testdata", c.recorded+".json")] = true
	}
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(used)), files); diff != "" {
		t.Errorf("recordings (-used +there):\n%s", diff)
	}
}

// entry is one of managedFields, by apply.
func entry(name, fields string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{
		Manager: name, Operation: metav1.ManagedFieldsOperationApply, APIVersion: "v1",
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields),
	}
}

func TestOneOfTwoKeysIsNotEnough(t *testing.T) {
	fields := []metav1.ManagedFieldsEntry{entry(manager, `{"f:data":{"f:username":{}}}`)}
	if delivery.OwnsData(fields, manager, []string{"username", "password"}) {
		t.Error("OwnsData holds although password is not owned")
	}
	if !delivery.OwnsData(fields, manager, []string{"username"}) {
		t.Error("OwnsData does not hold although username is owned")
	}
}

func TestOwnedDataAreTheKeysThatWeApplied(t *testing.T) {
	fields := []metav1.ManagedFieldsEntry{
		entry(manager, `{"f:data":{".":{},"f:username":{},"f:password":{},"f:.netrc":{}},"f:metadata":{"f:labels":{"f:a":{}}}}`),
		entry("other", `{"f:data":{"f:password":{},"f:theirs":{}},"f:stringData":{"f:.netrc":{}}}`),
	}
	if diff := cmp.Diff([]string{"password", "username"}, delivery.OwnedData(fields, manager)); diff != "" {
		t.Errorf("OwnedData (-want +got):\n%s", diff)
	}
}

func TestNoKeysAreNotOwned(t *testing.T) {
	if delivery.OwnsData(recorded(t, "applied"), manager, delivery.Keys("Envelope")) {
		t.Error("OwnsData holds for a format that is unknown")
	}
}

func TestAnOwnedParentIsNoOwnedKey(t *testing.T) {
	fields := []metav1.ManagedFieldsEntry{entry(manager, `{"f:data":{}}`)}
	if delivery.OwnsData(fields, manager, []string{"token"}) {
		t.Error("OwnsData holds although only data itself is owned")
	}
	if delivery.OthersHold([]metav1.ManagedFieldsEntry{entry("other", `{"f:data":{".":{}},"f:metadata":{"f:labels":{".":{}}}}`)}, manager) {
		t.Error("OthersHold holds although only the empty parents are owned")
	}
}

func TestMalformedFieldsCountAgainstUs(t *testing.T) {
	good := `{"f:data":{"f:token":{}}}`
	unknownType := entry("other", good)
	unknownType.FieldsType = "FieldsV2"
	for name, bad := range map[string]metav1.ManagedFieldsEntry{
		"text that is no JSON":         entry("other", `{"f:data":`),
		"an empty text":                entry("other", ``),
		"a list in place of an object": entry("other", `[]`),
		"a text in place of an object": entry("other", `{"f:data":"token"}`),
		"text after the object":        entry("other", `{} {}`),
		"a list key that is no object": entry("other", `{"k:nonsense":{}}`),
		"a type that is not FieldsV1":  unknownType,
		"our own entry, unreadable":    entry(manager, `{"f:data":`),
	} {
		t.Run(name, func(t *testing.T) {
			fields := []metav1.ManagedFieldsEntry{entry(manager, good), bad}
			if delivery.OwnsData(fields, manager, []string{"token"}) {
				t.Error("OwnsData holds")
			}
			if !delivery.OthersHold(fields, manager) {
				t.Error("OthersHold does not hold")
			}
			if got := delivery.Foreign(fields, manager); got != nil {
				t.Errorf("Foreign names %v", got)
			}
		})
	}
}

func TestAnEntryWithoutFieldsHoldsNothing(t *testing.T) {
	fields := []metav1.ManagedFieldsEntry{entry(manager, `{"f:data":{"f:token":{}}}`), {Manager: "other", FieldsType: "FieldsV1"}}
	if !delivery.OwnsData(fields, manager, []string{"token"}) || delivery.OthersHold(fields, manager) {
		t.Error("an entry without fields counts against us")
	}
}

func FuzzOwnership(f *testing.F) {
	f.Add(`{"f:data":{"f:token":{}}}`)
	f.Add(`{"f:metadata":{"f:finalizers":{".":{},"v:\"example.com/hold\"":{}}},"k:{\"uid\":\"1\"}":{},"i:0":{}}`)
	f.Add(`{"f:data":{".":[1,null,"x"]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		theirs := []metav1.ManagedFieldsEntry{entry("other", text)}
		if delivery.OwnsData(theirs, manager, []string{"token"}) {
			t.Error("a key is ours by an entry of somebody else")
		}
		if len(delivery.Foreign(theirs, manager)) > 0 && !delivery.OthersHold(theirs, manager) {
			t.Error("somebody else has keys, but holds nothing")
		}
		delivery.OwnsData([]metav1.ManagedFieldsEntry{entry(manager, text)}, manager, []string{"token"})
	})
}
