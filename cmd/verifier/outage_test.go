package main

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"google.golang.org/grpc/codes"
	corev1 "k8s.io/api/core/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/revocation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/line"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/objects"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// over makes a verifier reach the API server over a line.
func over(t *testing.T, l *line.Line) string {
	t.Helper()
	config, err := testenv.ControlPlane(t).ServiceAccountConfig(t.Context(), operator.Namespace, operator.VerifierAccount)
	if err != nil {
		t.Fatal(err)
	}
	config.Host = l.URL()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := controlplane.WriteKubeconfig(config, path); err != nil {
		t.Fatal(err)
	}
	return "--kubeconfig=" + path
}

func TestAnswersGoOnWithoutTheAPIServer(t *testing.T) {
	g := gomega.NewWithT(t)
	startManager(t)
	l := line.New(t)
	v := startVerifier(t, "outage", over(t, l))
	namespace := testenv.Namespace(t)
	good, ended := issue(t, namespace, "good", v1alpha1.AccessTokenSpec{}), issue(t, namespace, "ended", v1alpha1.AccessTokenSpec{})
	v.awaitUse(t, good.text, http.StatusOK)
	v.awaitUse(t, ended.text, http.StatusOK)
	account := introspector(t, "verifier.accesstoken.dev")
	if status, answer := v.introspect(t, account, good.text); status != http.StatusOK || !strings.Contains(answer, `"active":true`) {
		t.Fatalf("introspection: %d %s", status, answer)
	}

	l.Cut()
	edit(t, ended.key, func(at *v1alpha1.AccessToken) { at.Spec.State = v1alpha1.StateRevoked })
	awaitReason(t, ended.key, v1alpha1.ReasonRevoked)
	v.keepUsing(t, good, time.Now().Add(aWhile))
	g.Expect(v.use(t, ended.text)).To(gomega.Equal(http.StatusOK), "it cannot know")
	g.Expect(v.use(t, otherSecret(t, good, ended))).To(gomega.Equal(http.StatusUnauthorized))
	status, answer := v.introspect(t, account, good.text)
	g.Expect(status).To(gomega.Equal(http.StatusOK), answer)
	g.Expect(answer).To(gomega.ContainSubstring(`"active":true`), "who asks was known a moment ago")
	status, answer = v.form(t, revocation.Path, "", url.Values{"token": {good.text}})
	g.Expect(status).To(gomega.Equal(http.StatusServiceUnavailable), answer, "an end that cannot be written is no success")
	status, body := v.probe(t, "/readyz")
	g.Expect(status).To(gomega.Equal(http.StatusOK), body)

	l.Mend()
	v.awaitUse(t, ended.text, http.StatusUnauthorized)
	g.Expect(v.use(t, good.text)).To(gomega.Equal(http.StatusOK))
	g.Eventually(func() time.Time { return good.lastUse(t) }).WithTimeout(later).WithPolling(5*often).ShouldNot(gomega.BeZero(), "uses are written then")
}

// staleness is short enough to wait for, and long enough to issue a token within.
const staleness = 5 * time.Second

func TestAStaleVerifierSaysThatItCouldNotCheck(t *testing.T) {
	startManager(t)
	good := issue(t, testenv.Namespace(t), "good", v1alpha1.AccessTokenSpec{})
	v := startVerifier(t, "stale", "--max-staleness="+staleness.String())
	v.awaitUse(t, good.text, http.StatusOK)
	v.awaitUse(t, good.text, http.StatusServiceUnavailable) // nobody touches the keys
	v.expectUnchecked(t, good, "nothing was heard from the API server for too long", "Stale")
	v.awaitLog(t, `"level":"ERROR","msg":"not ready",.*"err":"nothing was heard from the API server of [a-zA-Z ]+ since 20[-0-9:TZ]+, which is more than --max-staleness \(5s\)"`)
}

// awaitLog waits for a line of the verifier's log.
func (v *process) awaitLog(t *testing.T, pattern string) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func() (string, error) {
		content, err := os.ReadFile(v.Log())
		return string(content), err
	}).WithTimeout(soon).WithPolling(often).Should(gomega.MatchRegexp(pattern))
}

func TestAStaleVerifierRecoversWhenTheAPIServerIsBack(t *testing.T) {
	g := gomega.NewWithT(t)
	startManager(t)
	namespace := testenv.Namespace(t)
	good, ended := issue(t, namespace, "good", v1alpha1.AccessTokenSpec{}), issue(t, namespace, "ended", v1alpha1.AccessTokenSpec{})
	l := line.New(t)
	v := startVerifier(t, "recovers", over(t, l), "--max-staleness="+staleness.String())
	v.awaitUse(t, good.text, http.StatusOK)
	v.awaitUse(t, ended.text, http.StatusOK)

	l.Cut()
	edit(t, ended.key, func(at *v1alpha1.AccessToken) { at.Spec.State = v1alpha1.StateRevoked })
	awaitReason(t, ended.key, v1alpha1.ReasonRevoked)
	v.awaitUse(t, good.text, http.StatusServiceUnavailable)
	g.Expect(v.use(t, ended.text)).To(gomega.Equal(http.StatusServiceUnavailable))
	g.Expect(v.logged(t)).NotTo(gomega.ContainSubstring("verifier ends"))

	l.Mend()
	g.Eventually(func(g gomega.Gomega) {
		if status := v.use(t, ended.text); status == http.StatusOK {
			gomega.StopTrying("it answers before it knows what happened meanwhile").Now()
		}
		g.Expect(v.use(t, good.text)).To(gomega.Equal(http.StatusOK))
	}).WithTimeout(soon).WithPolling(often).Should(gomega.Succeed())
	g.Expect(v.use(t, ended.text)).To(gomega.Equal(http.StatusUnauthorized))
}

// expectUnchecked says that every protocol answers that it could not check, and
// calls no token bad.
func (v *process) expectUnchecked(t *testing.T, good issued, why, reason string) {
	t.Helper()
	g := gomega.NewWithT(t)
	account := introspector(t, "verifier.accesstoken.dev")
	for _, text := range []string{good.text, strings.ToUpper(good.text), "no token"} {
		g.Expect(v.review(t, text)).To(gomega.SatisfyAll(
			gomega.HaveField("Authenticated", false), gomega.HaveField("Error", gomega.ContainSubstring("could not check"))))
		status, answer := v.introspect(t, account, text)
		g.Expect(status).To(gomega.Equal(http.StatusServiceUnavailable), answer)
		g.Expect(answer).NotTo(gomega.ContainSubstring("active"))
		status, answer = v.form(t, revocation.Path, "", url.Values{"token": {text}})
		g.Expect(status).To(gomega.Equal(http.StatusServiceUnavailable), answer)
	}
	g.Expect(v.use(t, good.text)).To(gomega.Equal(http.StatusServiceUnavailable))
	check := v.check(t, "shop", "/cart", map[string]string{"authorization": "Bearer " + good.text})
	g.Expect(check.GetStatus().GetCode()).To(gomega.BeEquivalentTo(codes.Unavailable))
	g.Expect(check.GetDeniedResponse().GetStatus().GetCode()).To(gomega.BeEquivalentTo(http.StatusServiceUnavailable))
	status, _ := v.probe(t, "/readyz")
	g.Expect(status).To(gomega.Equal(http.StatusInternalServerError))
	_, body := v.probe(t, "/readyz/store")
	g.Expect(body).To(gomega.ContainSubstring(why))
	for _, protocol := range []string{"TokenReview", "ForwardAuth", "ExtAuthz"} {
		g.Expect(v.metrics(t)).To(gomega.MatchRegexp(`(?m)^accesstoken_verifications_total{protocol="` + protocol + `",reason="` + reason + `",result="error"} [1-9]`))
	}
}

func TestKeysThatGoAndCome(t *testing.T) {
	g := gomega.NewWithT(t)
	startManager(t)
	v := startVerifier(t, "keys")
	namespace := testenv.Namespace(t)
	good := issue(t, namespace, "good", v1alpha1.AccessTokenSpec{})
	v.awaitUse(t, good.text, http.StatusOK)
	backup := secretOf(t, objects.KeySecret)
	restored := backup.DeepCopy()
	restored.ResourceVersion, restored.UID = "", ""
	t.Cleanup(func() { createOnce(t, restored.DeepCopy()) }) // also for the tests to come

	remove(t, backup.DeepCopy())
	v.awaitUse(t, good.text, http.StatusServiceUnavailable)
	v.expectUnchecked(t, good, "the verifier is not ready", "NotReady")
	v.awaitLog(t, `"level":"ERROR","msg":"not ready",.*"err":"there is no key in the Secret accesstoken-system/accesstoken-keys`)
	_, body := v.probe(t, "/readyz/keys")
	g.Expect(body).To(gomega.ContainSubstring("the keys are lost"))
	createOnce(t, restored.DeepCopy())
	v.awaitUse(t, good.text, http.StatusOK)
	g.Eventually(func() int {
		status, _ := v.probe(t, "/readyz")
		return status
	}).WithTimeout(soon).WithPolling(often).Should(gomega.Equal(http.StatusOK))
	v.awaitLog(t, `"msg":"not ready"(.*\n)+.*"level":"INFO","msg":"ready"`)
	awaitReason(t, good.key, v1alpha1.ReasonIssued)

	old := addKey(t)
	young := issue(t, namespace, "young", v1alpha1.AccessTokenSpec{})
	g.Expect(old).NotTo(gomega.ContainElement(young.record(t).Spec.KeyID), "it is sealed with the new key")
	v.awaitUse(t, young.text, http.StatusOK)
	g.Expect(v.use(t, good.text)).To(gomega.Equal(http.StatusOK), "earlier keys stay good")

	g.Expect(old).To(gomega.ContainElement(good.record(t).Spec.KeyID))
	dropKeys(t, old)
	v.awaitUse(t, good.text, http.StatusUnauthorized)
	g.Expect(v.use(t, young.text)).To(gomega.Equal(http.StatusOK))
	g.Eventually(func() string { return tokenIn(t, good.key).text }).WithTimeout(soon).WithPolling(often).ShouldNot(gomega.Equal(good.text))
	v.awaitUse(t, tokenIn(t, good.key).text, http.StatusOK)
}

// addKey adds a key that is newer than all others, and returns the IDs of these.
func addKey(t *testing.T) (old []string) {
	t.Helper()
	changeKeys(t, func(keys *corev1.Secret) {
		old = nil
		for id := range keys.Data {
			old = append(old, id)
		}
		key := make([]byte, 32)
		_, _ = rand.Read(key)
		keys.Data[time.Now().UTC().Format("20060102t150405z")+"-zzzzzzzz"] = key
	})
	return old
}

func dropKeys(t *testing.T, ids []string) {
	t.Helper()
	changeKeys(t, func(keys *corev1.Secret) {
		for id := range keys.Data {
			if slices.Contains(ids, id) {
				delete(keys.Data, id)
			}
		}
	})
}

func changeKeys(t *testing.T, change func(*corev1.Secret)) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func() error {
		keys := secretOf(t, objects.KeySecret)
		change(keys)
		return adminClient(t).Update(t.Context(), keys)
	}).WithTimeout(soon).WithPolling(often).Should(gomega.Succeed())
}
