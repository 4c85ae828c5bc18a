package leak

import (
	"encoding/json"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/objects"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// Stored is everything that the API server keeps save the content of Secrets, as
// JSON with managedFields.
func Stored(t testenv.T) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	for _, kind := range []schema.GroupVersionKind{
		v1alpha1.GroupVersion.WithKind("AccessTokenList"), v1alpha1.GroupVersion.WithKind("TokenRecordList"),
		{Version: "v1", Kind: "EventList"}, {Group: "events.k8s.io", Version: "v1", Kind: "EventList"},
		{Group: "coordination.k8s.io", Version: "v1", Kind: "LeaseList"}, {Version: "v1", Kind: "ConfigMapList"},
	} {
		object, err := objects.Client(t).Scheme().New(kind)
		list, ok := object.(client.ObjectList)
		if err != nil || !ok {
			t.Fatalf("%s: %T, %v", kind, object, err)
		}
		if err := objects.Client(t).List(t.Context(), list); err != nil {
			t.Fatalf("%v", err)
		}
		found[kind.Group+" "+kind.Kind] = asJSON(t, list)
	}
	secrets := &metav1.PartialObjectMetadataList{}
	secrets.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	if err := objects.Client(t).List(t.Context(), secrets); err != nil {
		t.Fatalf("%v", err)
	}
	found["metadata of Secrets"] = asJSON(t, secrets)
	return found
}

func asJSON(t testenv.T, object any) []byte {
	t.Helper()
	encoded, err := json.Marshal(object)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return encoded
}

// Printed is everything that any process wrote: the logs of the programs and of the
// control plane.
func Printed(t testenv.T) map[string][]byte {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(testenv.ControlPlane(t).Dir(), "logs", "*.log"))
	if err != nil || len(logs) < 3 {
		t.Fatalf("logs: %v, %v", logs, err)
	}
	found := map[string][]byte{}
	for _, path := range logs {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatalf("%v", err)
		}
		found["log "+filepath.Base(path)] = content
	}
	return found
}

// Merge puts places together.
func Merge(all ...map[string][]byte) map[string][]byte {
	merged := map[string][]byte{}
	for _, one := range all {
		for place, content := range one {
			merged[place] = content
		}
	}
	return merged
}
