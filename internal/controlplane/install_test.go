package controlplane

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

const kustomization = "resources: [all.yaml]\n"

// The custom object comes before its definition, and the namespace is needed by
// it, to show that the order in the folder does not matter.
const manifests = `
apiVersion: example.com/v1
kind: Sample
metadata: {name: one, namespace: made-by-install}
---
apiVersion: v1
kind: Namespace
metadata: {name: made-by-install}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: samples.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Sample, plural: samples, singular: sample, listKind: SampleList}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
`

func TestInstallAppliesDefinitionsFirstAndIsIdempotent(t *testing.T) {
	folder := t.TempDir()
	for name, content := range map[string]string{"kustomization.yaml": kustomization, "all.yaml": manifests} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cp := shared
	for range 2 {
		if err := cp.Install(t.Context(), folder); err != nil {
			t.Fatalf("Install() = %v", err)
		}
	}
	name, err := cp.Kubectl(t.Context(), "get", "samples", "-n=made-by-install", "-o=name")
	if err != nil || strings.TrimSpace(name) != "sample.example.com/one" {
		t.Errorf("installed object = %q, %v", name, err)
	}
}

func TestInstallNamesWhatIsWrong(t *testing.T) {
	cp := shared
	err := cp.Install(t.Context(), filepath.Join(t.TempDir(), "absent"))
	if err == nil || !strings.Contains(err.Error(), "absent") {
		t.Errorf("Install() of a missing folder = %v, want its name", err)
	}
}

func TestControllersCollectWhatTheirOwnerLeft(t *testing.T) {
	cp := shared
	clients := client(t, cp.Config())
	for _, args := range [][]string{{"create", "configmap", "owner"}, {"create", "configmap", "owned"}} {
		if _, err := cp.Kubectl(t.Context(), args...); err != nil {
			t.Fatal(err)
		}
	}
	owner, err := clients.CoreV1().ConfigMaps("default").Get(t.Context(), "owner", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	patch := fmt.Sprintf(`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"owner","uid":%q}]}}`, owner.UID)
	if _, err := cp.Kubectl(t.Context(), "patch", "configmap", "owned", "--type=merge", "-p", patch); err != nil {
		t.Fatal(err)
	}
	if err := clients.CoreV1().ConfigMaps("default").Delete(t.Context(), "owner", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func(ctx context.Context) error {
		list, err := clients.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=owned"})
		if err == nil && len(list.Items) > 0 {
			err = fmt.Errorf("owned object is still there")
		}
		return err
	})
}

func TestAuditLogKeepsSecretsOut(t *testing.T) {
	cp := shared
	const value = "what the Secret holds"
	if _, err := cp.Kubectl(t.Context(), "create", "secret", "generic", "audited", "--from-literal=key="+value); err != nil {
		t.Fatal(err)
	}
	log := read(t, cp.AuditLog())
	if !strings.Contains(log, `"name":"audited"`) {
		t.Error("audit log does not name the Secret that was created")
	}
	for _, form := range []string{value, base64.StdEncoding.EncodeToString([]byte(value))} {
		if strings.Contains(log, form) {
			t.Errorf("audit log holds the content of a Secret as %q", form)
		}
	}
}

func TestMetricsAreReadable(t *testing.T) {
	cp := shared
	metrics, err := cp.Metrics(t.Context())
	if err != nil || !strings.Contains(string(metrics), "apiserver_request_total{") {
		t.Errorf("Metrics() = %d bytes, %v, want request counters", len(metrics), err)
	}
}

func listen(t *testing.T, port int) net.Listener {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:"+portString(port))
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

func portString(port int) string { return strconv.Itoa(port) }

func httpClient(t *testing.T, cp *ControlPlane) *http.Client {
	t.Helper()
	client, err := rest.HTTPClientFor(cp.Config())
	if err != nil {
		t.Fatal(err)
	}
	return client
}
