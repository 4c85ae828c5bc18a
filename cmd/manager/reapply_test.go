package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// manifest is one as it lies in Git.
const manifest = `apiVersion: accesstoken.dev/v1alpha1
kind: AccessToken
metadata:
  name: %[1]s
  namespace: %[2]s
  labels: {team: shop}
spec:
  description: Deploys the web shop from CI
  maxAge: 720h
  scopes: [deploy:shop, read:registry]
  rotation: {interval: 168h, overlap: 24h}
  secret: {format: Netrc, servers: [git.example.com]}
`

// TestReapplyingChangesNothing lets each tool that brings manifests from Git to
// the cluster do so again and again.
func TestReapplyingChangesNothing(t *testing.T) {
	readyManager(t)
	namespace := testenv.Namespace(t)
	for _, tool := range []struct {
		name  string
		first []string
		again []string
	}{
		{"client-side", []string{"apply"}, []string{"apply"}},
		{"server-side", []string{"apply", "--server-side"}, []string{"apply", "--server-side"}},
		{"server-side-by-force", []string{"apply", "--server-side"}, []string{"apply", "--server-side", "--force-conflicts", "--field-manager=another"}},
		{"replace", []string{"create"}, []string{"replace"}},
	} {
		t.Run(tool.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "token.yaml")
			if err := os.WriteFile(file, fmt.Appendf(nil, manifest, tool.name, namespace), 0o600); err != nil {
				t.Fatal(err)
			}
			run := func(args []string) {
				if output, err := kubectl(t, append(args, "-f", file)...); err != nil {
					t.Fatal(err, output)
				}
			}
			run(tool.first)
			reapply(t, client.ObjectKey{Namespace: namespace, Name: tool.name}, func() { run(tool.again) })
		})
	}
}

// reapply checks that ten times over nothing changes but, perhaps, who owns which
// field, and that the manager writes nothing.
func reapply(t *testing.T, key client.ObjectKey, again func()) {
	t.Helper()
	g := gomega.NewWithT(t)
	before := awaitReason(t, key, v1alpha1.ReasonIssued)
	secret := secretOf(t, key)
	quiet(t)
	mark := auditMark(t)
	for range 10 {
		again()
	}
	after := tokenOf(t, key)
	g.Expect(after.Generation).To(gomega.Equal(before.Generation))
	g.Expect(after.Spec).To(gomega.Equal(before.Spec))
	g.Expect(after.Status).To(gomega.Equal(before.Status))
	g.Expect(secretOf(t, key)).To(gomega.Equal(secret))
	inNamespace := func(r request) bool { return r.ObjectRef.Namespace == key.Namespace }
	g.Consistently(func() []request { return keep(managerRequests(t, mark), request.Writes, inNamespace) }).
		WithTimeout(aWhile / 3).WithPolling(5 * often).Should(gomega.BeEmpty())
}

// quiet waits until the manager has not written for a moment: events come a
// little after what they tell of.
func quiet(t *testing.T) {
	t.Helper()
	g := gomega.NewWithT(t)
	g.Eventually(func(g gomega.Gomega) {
		mark := auditMark(t)
		g.Consistently(func() []request { return keep(managerRequests(t, mark), request.Writes, not(request.Lease)) }).
			WithTimeout(aWhile / 3).WithPolling(5 * often).Should(gomega.BeEmpty())
	}).WithTimeout(later).Should(gomega.Succeed())
}
