package main

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/onsi/gomega"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/revocation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// enforcing is a configuration by which scopes hold inside kube-apiserver.
const enforcing = configuration + "kubernetes: {scopes: Enforced}\n"

// counted is a line of the metrics, for answers of a protocol.
func counted(protocol, result, reason string) string {
	return `accesstoken_verifications_total{protocol="` + protocol + `",reason="` + reason + `",result="` + result + `"} `
}

func TestADenialForScopesIsWrittenDownAndCounted(t *testing.T) {
	g := gomega.NewWithT(t)
	startManager(t)
	v := startVerifier(t, "", "--config="+file(t, enforcing))
	namespace := testenv.Namespace(t)
	i := issue(t, namespace, "scoped", v1alpha1.AccessTokenSpec{Audiences: []string{"kubernetes"}, Scopes: []string{"read:pods"}})
	g.Eventually(func() error {
		_, err := testenv.ControlPlane(t).Kubectl(t.Context(), "--kubeconfig="+nobody(t), "--token="+i.text, "--namespace="+namespace, "get", "configmaps")
		return err
	}).WithTimeout(soon).WithPolling(often).Should(gomega.MatchError(gomega.ContainSubstring("none of them is mapped to")))
	g.Eventually(func() string { return v.logged(t) }).WithTimeout(soon).WithPolling(often).Should(gomega.ContainSubstring(
		`"event.action":"token.refused","event.outcome":"failure","event.reason":"ScopeMissing","user.name":"accesstoken:` + namespace + `:scoped",` +
			`"url.path":"/api/v1/namespaces/` + namespace + `/configmaps","accesstoken.verb":"list","accesstoken.protocol":"AccessReview",` +
			`"accesstoken.id":"` + i.id(t) + `"`))
	g.Expect(v.metrics(t)).To(gomega.MatchRegexp(`(?m)^\Q` + counted("AccessReview", "inactive", "ScopeMissing") + `\E[1-9]`))
}

func TestTriesToRevokeAreWrittenDownAndCounted(t *testing.T) {
	g := gomega.NewWithT(t)
	startManager(t)
	v := startVerifier(t, "revocation")
	namespace := testenv.Namespace(t)
	i, other := issue(t, namespace, "one", v1alpha1.AccessTokenSpec{}), issue(t, namespace, "other", v1alpha1.AccessTokenSpec{})
	v.awaitUse(t, i.text, http.StatusOK)
	try := func(text string) {
		status, _ := v.form(t, revocation.Path, "", url.Values{"token": {text}})
		g.Expect(status).To(gomega.Equal(http.StatusOK))
	}
	try("no-token")
	try(i.text)
	v.awaitUse(t, i.text, http.StatusUnauthorized)
	try(i.text)
	try(otherSecret(t, i, other)) // its check sum is wrong

	logged := func() string { return v.logged(t) }
	for _, line := range []string{
		`"event.action":"token.refused","event.outcome":"failure","event.reason":"Malformed","source.ip":"127.0.0.1","user_agent.original":"Go-http-client/`,
		`"event.action":"token.revoked","event.outcome":"success","event.reason":"RevokedByHolder","source.ip":"127.0.0.1","user.name":"accesstoken:` + namespace + `:one"`,
	} {
		g.Eventually(logged).WithTimeout(soon).WithPolling(often).Should(gomega.ContainSubstring(line))
	}
	all := v.metrics(t)
	for series, count := range map[string]string{
		counted("Revocation", "active", ""):            "1",
		counted("Revocation", "inactive", "Revoked"):   "1",
		counted("Revocation", "inactive", "Malformed"): "2",
	} {
		g.Expect(all).To(gomega.MatchRegexp(`(?m)^\Q` + series + `\E` + count + "$"))
	}
}

func TestTheAuditLogIsAFileThatCanBeMovedAway(t *testing.T) {
	g := gomega.NewWithT(t)
	path := filepath.Join(t.TempDir(), "audit.log")
	toFile := strings.Replace(configuration, "audit: {accepted: All}", "audit: {accepted: All, path: "+path+"}", 1)
	startManager(t)
	v := startVerifier(t, "audited", "--config="+file(t, toFile))
	namespace := testenv.Namespace(t)
	before, after := issue(t, namespace, "before", v1alpha1.AccessTokenSpec{}), issue(t, namespace, "after", v1alpha1.AccessTokenSpec{})
	content := func(path string) func() string {
		return func() string {
			content, err := os.ReadFile(path)
			g.Expect(err).NotTo(gomega.HaveOccurred())
			return string(content)
		}
	}
	used := func(i issued) string {
		v.awaitUse(t, i.text, http.StatusOK)
		return `"event.action":"token.accepted","event.outcome":"success","source.ip":"192.0.2.7","user.name":"accesstoken:` + i.key.Namespace + `:` + i.key.Name
	}
	g.Eventually(content(path)).WithTimeout(soon).WithPolling(often).Should(gomega.ContainSubstring(used(before)))

	g.Expect(os.Rename(path, path+".1")).To(gomega.Succeed())
	g.Expect(syscall.Kill(v.PID(), syscall.SIGHUP)).To(gomega.Succeed())
	g.Eventually(path).WithTimeout(soon).WithPolling(often).Should(gomega.BeAnExistingFile())
	line := used(after)
	g.Eventually(content(path)).WithTimeout(soon).WithPolling(often).Should(gomega.ContainSubstring(line))
	g.Expect(content(path + ".1")()).NotTo(gomega.ContainSubstring(line))
}
