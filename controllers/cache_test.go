package controllers

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

func TestTheCacheKeepsOnlyWhatIsReadOfWhatTenantsMakeInNumbers(t *testing.T) {
	long := strings.Repeat("x", 200_000)
	for name, c := range map[string]struct{ keep, has, want map[string]string }{
		"none that is kept":    {nil, map[string]string{"a": long}, nil},
		"one that is kept":     {map[string]string{"b": ""}, map[string]string{"a": long, "b": "c"}, map[string]string{"b": "c"}},
		"one that is too long": {map[string]string{"a": ""}, map[string]string{"a": long}, map[string]string{"a": long[:mostValue]}},
		"the groups of a creator": {map[string]string{v1alpha1.AnnotationCreatedByGroups: ""}, map[string]string{v1alpha1.AnnotationCreatedByGroups: long},
			map[string]string{v1alpha1.AnnotationCreatedByGroups: long}},
		"no annotation": {map[string]string{"a": ""}, nil, nil},
	} {
		var keep []string
		for key := range c.keep {
			keep = append(keep, key)
		}
		object := &v1alpha1.TokenRevocation{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "ci", Name: "leak", UID: "uid", ResourceVersion: "7", Generation: 1, Annotations: c.has,
				Labels: map[string]string{"a": "b"}, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}}, OwnerReferences: []metav1.OwnerReference{{Name: "n"}}, Finalizers: []string{"f"},
			},
			Spec: v1alpha1.TokenRevocationSpec{RevocationSpec: v1alpha1.RevocationSpec{All: true}},
		}
		want := &v1alpha1.TokenRevocation{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ci", Name: "leak", UID: "uid", ResourceVersion: "7", Generation: 1, Annotations: c.want}, Spec: object.Spec,
		}
		if got, err := keepOnly(keep...)(object); err != nil || !equality.Semantic.DeepEqual(got, want) {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

// mostCachedBytes is what the largest TokenRevocation may cost in the cache: most of
// it are its IDs, a hundred texts.
const mostCachedBytes = 6000

// TestACachedRevocationCostsLittle decodes the largest there are, as a watch does.
func TestACachedRevocationCostsLittle(t *testing.T) {
	const count = 2000
	kept, before := make([]any, count), heapInUse()
	for i := range kept {
		made := &v1alpha1.TokenRevocation{ObjectMeta: metav1.ObjectMeta{
			Namespace: "team-1-production", Name: fmt.Sprintf("leaked-%d", i), UID: "00000000-0000-4000-8000-000000000000", ResourceVersion: "123456",
			Annotations:   map[string]string{"filled": strings.Repeat("x", 20_000)},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl", FieldsV1: metav1.NewFieldsV1(`{"f:spec":{` + strings.Repeat(" ", 3000) + `}}`)}},
		}}
		for id := range 100 {
			made.Spec.TokenIDs = append(made.Spec.TokenIDs, token.DeclaredID(made.Name, int64(id)))
		}
		text, err := json.Marshal(made)
		if err != nil {
			t.Fatal(err)
		}
		decoded := &v1alpha1.TokenRevocation{}
		if err := json.Unmarshal(text, decoded); err != nil {
			t.Fatal(err)
		}
		if kept[i], err = keepOnly()(decoded); err != nil {
			t.Fatal(err)
		}
	}
	each := (heapInUse() - before) / count
	t.Logf("%d bytes for each", each)
	if each > mostCachedBytes || each < 1000 {
		t.Errorf("%d bytes for each, at most %d are promised", each, mostCachedBytes)
	}
	runtime.KeepAlive(kept)
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
