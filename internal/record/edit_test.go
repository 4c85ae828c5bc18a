package record

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// edit changes one thing of a record.
type edit struct {
	name  string
	apply func(spec reflect.Value)
}

// editsOf returns edits of a value and of all in it. Where the value stands in
// a spec is told by at.
func editsOf(t *testing.T, name string, value reflect.Value, at func(spec reflect.Value) reflect.Value) []edit {
	t.Helper()
	set := func(how string, to func(old reflect.Value) reflect.Value) edit {
		return edit{name + " " + how, func(spec reflect.Value) {
			v := at(spec)
			v.Set(to(v).Convert(v.Type()))
		}}
	}
	zero := set("taken away", func(old reflect.Value) reflect.Value { return reflect.Zero(old.Type()) })

	switch value.Kind() {
	case reflect.String:
		return []edit{
			zero,
			set("lengthened", func(old reflect.Value) reflect.Value { return reflect.ValueOf(old.String() + "x") }),
			set("replaced", func(reflect.Value) reflect.Value { return reflect.ValueOf("2026-11-24T09:00:01Z") }),
		}
	case reflect.Int64:
		return []edit{
			zero,
			set("plus one", func(old reflect.Value) reflect.Value { return reflect.ValueOf(old.Int() + 1) }),
			set("negated", func(old reflect.Value) reflect.Value { return reflect.ValueOf(-old.Int()) }),
		}
	case reflect.Bool:
		return []edit{set("inverted", func(old reflect.Value) reflect.Value { return reflect.ValueOf(!old.Bool()) })}
	case reflect.Pointer:
		fresh := set("made empty", func(old reflect.Value) reflect.Value { return reflect.New(old.Type().Elem()) })
		if value.IsNil() {
			return []edit{fresh}
		}
		inner := editsOf(t, name, value.Elem(), func(spec reflect.Value) reflect.Value { return at(spec).Elem() })
		return append(inner, zero, fresh)
	case reflect.Slice:
		return append(editsOfSlice(t, name, value, at, set), zero)
	case reflect.Struct:
		return editsOfStruct(t, name, value, at)
	default:
		t.Fatalf("%s is a %s: teach this test and the encoding about it", name, value.Kind())
		return nil
	}
}

func editsOfSlice(
	t *testing.T, name string, value reflect.Value, at func(reflect.Value) reflect.Value,
	set func(string, func(reflect.Value) reflect.Value) edit,
) []edit {
	t.Helper()
	edits := []edit{
		set("emptied", func(old reflect.Value) reflect.Value { return reflect.MakeSlice(old.Type(), 0, 0) }),
		set("with an empty item more", func(old reflect.Value) reflect.Value {
			return reflect.Append(old, reflect.Zero(old.Type().Elem()))
		}),
	}
	if value.Len() > 0 {
		edits = append(edits,
			set("without the last", func(old reflect.Value) reflect.Value { return old.Slice(0, old.Len()-1) }),
			set("without the first", func(old reflect.Value) reflect.Value { return old.Slice(1, old.Len()) }),
			set("with the first twice", func(old reflect.Value) reflect.Value { return reflect.Append(old, old.Index(0)) }))
	}
	for i := range value.Len() {
		item := fmt.Sprintf("%s[%d]", name, i)
		edits = append(edits, editsOf(t, item, value.Index(i), func(spec reflect.Value) reflect.Value { return at(spec).Index(i) })...)
	}
	return edits
}

func editsOfStruct(t *testing.T, name string, value reflect.Value, at func(reflect.Value) reflect.Value) []edit {
	t.Helper()
	var edits []edit
	for i := range value.NumField() {
		path := name + "." + value.Type().Field(i).Name
		edits = append(edits, editsOf(t, path, value.Field(i), func(spec reflect.Value) reflect.Value { return at(spec).Field(i) })...)
	}
	return edits
}

func allEdits(t *testing.T, rec *v1alpha1.TokenRecord) []edit {
	t.Helper()
	return editsOf(t, "Spec", reflect.ValueOf(rec.Spec), func(spec reflect.Value) reflect.Value { return spec })
}

// oneKey is found under every ID, so that an edited key ID is for the seal to
// notice.
type oneKey struct{ key Key }

func (k oneKey) Key(string) (Key, bool) { return k.key, true }

// TestAnEditedRecordDoesNotOpen edits every field that the spec has, by
// reflection, so that one that comes later cannot be forgotten in the encoding.
func TestAnEditedRecordDoesNotOpen(t *testing.T) {
	for _, v := range readVectors(t) {
		rec := v.sealed(t)
		edits := allEdits(t, rec)
		opener := Opener{Keys: oneKey{v.key()}, ClusterID: v.ClusterID}
		for _, e := range edits {
			edited := rec.DeepCopy()
			e.apply(reflect.ValueOf(&edited.Spec).Elem())
			if reflect.DeepEqual(edited, rec) {
				continue // taken away where there was nothing
			}
			sealed, err := opener.Open(edited)
			if strings.HasPrefix(e.name, "Spec.Hash") {
				if err != nil || sealed.Verify(v.secretDigest()) {
					t.Errorf("%s, %s: error %v, verifies %v; want it to open and verify nothing",
						v.Name, e.name, err, sealed.Verify(v.secretDigest()))
				}
				continue
			}
			if err == nil {
				t.Errorf("%s, %s: opened", v.Name, e.name)
			} else if sealed != (Sealed{}) {
				t.Errorf("%s, %s: refused, and gave something", v.Name, e.name)
			}
		}
		if len(edits) < 50 {
			t.Errorf("%s: only %d edits were tried", v.Name, len(edits))
		}
	}
}

// TestTheFullVectorHasEveryField makes whoever adds a field add it to the
// vector too, so that the edits above reach it.
func TestTheFullVectorHasEveryField(t *testing.T) {
	var visit func(name string, value reflect.Value)
	visit = func(name string, value reflect.Value) {
		switch {
		case value.IsZero(), value.Kind() == reflect.Slice && value.Len() < 2:
			t.Errorf("%s is not set (a list needs two items): add a vector that has it, its tag and its line in docs/token-format.md", name)
		case value.Kind() == reflect.Pointer:
			visit(name, value.Elem())
		case value.Kind() == reflect.Struct:
			for i := range value.NumField() {
				visit(name+"."+value.Type().Field(i).Name, value.Field(i))
			}
		}
	}
	visit("Spec", reflect.ValueOf(vectorNamed(t, fullVector).sealed(t).Spec))
}

func TestARecordOpensInItsOwnPlaceOnly(t *testing.T) {
	v := vectorNamed(t, fullVector)
	for name, change := range map[string]func(*v1alpha1.TokenRecord, *Opener){
		"another namespace":             func(r *v1alpha1.TokenRecord, _ *Opener) { r.Namespace = "prod" },
		"no namespace":                  func(r *v1alpha1.TokenRecord, _ *Opener) { r.Namespace = "" },
		"another name":                  func(r *v1alpha1.TokenRecord, _ *Opener) { r.Name = "aaaaaaaaaaaaaaaa" },
		"no name":                       func(r *v1alpha1.TokenRecord, _ *Opener) { r.Name = "" },
		"namespace and name shifted":    func(r *v1alpha1.TokenRecord, _ *Opener) { r.Namespace, r.Name = r.Namespace+r.Name[:1], r.Name[1:] },
		"another cluster":               func(_ *v1alpha1.TokenRecord, o *Opener) { o.ClusterID = "11111111-2222-3333-4444-555555555555" },
		"no cluster":                    func(_ *v1alpha1.TokenRecord, o *Opener) { o.ClusterID = "" },
		"another key under the same ID": func(_ *v1alpha1.TokenRecord, o *Opener) { o.Keys = KeySet{v.KeyID: {1}} },
		"hash and seal exchanged":       func(r *v1alpha1.TokenRecord, _ *Opener) { r.Spec.Hash, r.Spec.Seal = r.Spec.Seal, r.Spec.Hash },
		"the hash in place of the seal": func(r *v1alpha1.TokenRecord, _ *Opener) { r.Spec.Seal = r.Spec.Hash },
		"the seal of another record": func(r *v1alpha1.TokenRecord, _ *Opener) {
			r.Spec.Seal = vectorNamed(t, minimalVector).sealed(t).Spec.Seal
		},
		"the whole spec of another record": func(r *v1alpha1.TokenRecord, _ *Opener) { r.Spec = vectorNamed(t, "issued before 1970").sealed(t).Spec },
	} {
		rec, opener := v.sealed(t), v.opener()
		if _, err := opener.Open(rec); err != nil {
			t.Fatalf("unchanged: %v", err)
		}
		change(rec, &opener)
		if _, err := opener.Open(rec); !errors.Is(err, ErrSealBroken) {
			t.Errorf("%s: error %v, want %v", name, err, ErrSealBroken)
		}
	}
}

func TestWhatIsNotSealedMayChange(t *testing.T) {
	v := vectorNamed(t, fullVector)
	rec := v.sealed(t)
	rec.Labels = map[string]string{"a": "b"}
	rec.Annotations = map[string]string{"a": "b"}
	rec.UID = types.UID("another")
	rec.ResourceVersion = "7"
	rec.OwnerReferences = []metav1.OwnerReference{{Name: "x"}}
	rec.Finalizers = []string{"example.com/x"}
	rec.Status = v1alpha1.TokenRecordStatus{RevokedAt: "2026-11-24T10:00:00Z", Reason: v1alpha1.EndReasonRevoked}
	sealed, err := v.opener().Open(rec)
	if err != nil || !sealed.Verify(v.secretDigest()) {
		t.Errorf("error %v, verifies %v", err, sealed.Verify(v.secretDigest()))
	}
}
