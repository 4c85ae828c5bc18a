package main

import (
	"context"
	"encoding/base64"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/leak"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

// collector keeps every token that ever appeared in a Secret.
type collector struct {
	mu     sync.Mutex
	tokens map[string]bool
}

// collect watches Secrets until the test ends.
func collect(t *testing.T, namespace string) *collector {
	t.Helper()
	c := &collector{tokens: map[string]bool{}}
	ctx, cancel := context.WithCancel(t.Context())
	watcher, err := adminClient(t).Watch(ctx, &corev1.SecretList{}, client.InNamespace(namespace))
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for event := range watcher.ResultChan() {
			if secret, ok := event.Object.(*corev1.Secret); ok && event.Type != watch.Deleted {
				c.take(secret)
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		group.Wait()
	})
	return c
}

func (c *collector) take(secret *corev1.Secret) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, text := range tokensIn(secret) {
		c.tokens[text] = true
	}
}

func (c *collector) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.tokens)
}

// ids name the tokens seen so far.
func (c *collector) ids() map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := map[string]bool{}
	for text := range c.tokens {
		if presented, err := token.Parse(text); err == nil {
			found[presented.ID()] = true
		}
	}
	return found
}

// needles are the tokens seen so far, and the keys.
func (c *collector) needles(t *testing.T) leak.Needles {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	n := leak.Needles{}
	for text := range c.tokens {
		n.AddToken(text)
	}
	for id, key := range secretOf(t, keySecretKey).Data {
		n.Add("key "+id, key)
	}
	return n
}

// everyFormat declares a token in each format that rotates each second or two,
// so that there are many.
func everyFormat(t *testing.T, namespace string) map[v1alpha1.SecretFormat]client.ObjectKey {
	t.Helper()
	declared := map[v1alpha1.SecretFormat]client.ObjectKey{}
	for _, format := range []v1alpha1.SecretFormat{v1alpha1.SecretFormatOpaque, v1alpha1.SecretFormatBasicAuth, v1alpha1.SecretFormatDockerConfigJSON, v1alpha1.SecretFormatNetrc, v1alpha1.SecretFormatKubeconfig} {
		secret := &v1alpha1.SecretTemplate{Format: format, Data: map[string]v1alpha1.DataText{"header": "Authorization: Bearer {{ .Token }}"}}
		if format == v1alpha1.SecretFormatDockerConfigJSON || format == v1alpha1.SecretFormatNetrc {
			secret.Servers = []string{"git.example.com", "registry.example.com:5000"}
		}
		if format == v1alpha1.SecretFormatKubeconfig {
			secret.Servers = []string{"kubernetes.default.svc"}
		}
		declared[format] = declare(t, namespace, strings.ToLower(string(format)), v1alpha1.AccessTokenSpec{
			Description: "leak test", MaxAge: "10s", Secret: secret, Scopes: []string{"read:all"},
			Rotation: &v1alpha1.Rotation{Interval: "2s", Overlap: "1s"},
		})
	}
	return declared
}

// live leads tokens through every kind of happening.
func live(t *testing.T, namespace string, seen *collector) {
	t.Helper()
	g := gomega.NewWithT(t)
	admin := adminClient(t)
	const foreign = "a foreign secret that nobody may print"
	theirs := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "conflict"}, StringData: map[string]string{"token": foreign}}
	g.Expect(admin.Create(t.Context(), theirs)).To(gomega.Succeed())

	rotating := everyFormat(t, namespace)
	conflict := declare(t, namespace, "conflict", v1alpha1.AccessTokenSpec{})
	expiring := declare(t, namespace, "expiring", v1alpha1.AccessTokenSpec{MaxAge: "2s"})
	suspended := declare(t, namespace, "suspended", v1alpha1.AccessTokenSpec{})
	revoked := declare(t, namespace, "revoked", v1alpha1.AccessTokenSpec{Secret: &v1alpha1.SecretTemplate{Format: v1alpha1.SecretFormatBasicAuth}})
	meddled := declare(t, namespace, "meddled", v1alpha1.AccessTokenSpec{})
	awaitReason(t, conflict, v1alpha1.ReasonSecretConflict)
	for _, key := range []client.ObjectKey{suspended, revoked, meddled} {
		awaitReason(t, key, v1alpha1.ReasonIssued)
	}

	edit(t, suspended, func(at *v1alpha1.AccessToken) { at.Spec.State = v1alpha1.StateSuspended })
	edit(t, revoked, func(at *v1alpha1.AccessToken) { at.Spec.State = v1alpha1.StateRevoked })
	g.Expect(admin.Patch(t.Context(), secretOf(t, meddled), client.RawPatch("application/merge-patch+json", []byte(`{"stringData":{"token":"other"}}`)))).To(gomega.Succeed())
	awaitReason(t, suspended, v1alpha1.ReasonSuspended)
	awaitReason(t, revoked, v1alpha1.ReasonRevoked)
	awaitReason(t, expiring, v1alpha1.ReasonExpired)
	edit(t, suspended, func(at *v1alpha1.AccessToken) { at.Spec.State = v1alpha1.StateActive })
	g.Eventually(func() int64 { return tokenOf(t, meddled).Status.Revision }).WithTimeout(soon).WithPolling(often).Should(gomega.BeNumerically(">=", 2))
	for _, key := range rotating {
		g.Eventually(func() int64 { return tokenOf(t, key).Status.Revision }).WithTimeout(soon).WithPolling(often).Should(gomega.BeNumerically(">=", 3))
	}
	g.Expect(admin.Delete(t.Context(), tokenOf(t, rotating[v1alpha1.SecretFormatNetrc]))).To(gomega.Succeed())
	g.Expect(seen.count()).To(gomega.BeNumerically(">=", 5*3+3+2), "tokens seen")
}

func TestNothingLeaks(t *testing.T) {
	g := gomega.NewWithT(t)
	m := readyManager(t)
	namespace := testenv.Namespace(t)
	seen := collect(t, namespace)
	live(t, namespace, seen)

	status, metrics := m.scrape(t, metricsReader(t))
	g.Expect(status).To(gomega.Equal(200), metrics)
	audit, err := os.ReadFile(testenv.ControlPlane(t).AuditLog())
	g.Expect(err).NotTo(gomega.HaveOccurred())
	everything := leak.Merge(leak.Stored(t), leak.Printed(t), map[string][]byte{"metrics": []byte(metrics), "audit log": audit})
	for place, content := range everything {
		g.Expect(len(content)).To(gomega.BeNumerically(">", 100), "%s holds nothing to search", place)
		g.Expect(tokenPattern.FindString(string(content))).To(gomega.BeEmpty(), "%s holds a token", place)
		g.Expect(string(content)).NotTo(gomega.ContainSubstring("a foreign secret that nobody may print"), place)
	}
	g.Expect(seen.needles(t).Find(everything)).To(gomega.BeEmpty())

	t.Run("also when an admission policy says what it was sent", func(t *testing.T) { testIndiscretePolicy(t, m) })
	t.Run("and the search finds what is planted", func(t *testing.T) { testSearchFindsPlants(t, seen) })
	g.Expect(adminClient(t).DeleteAllOf(t.Context(), &v1alpha1.AccessToken{}, client.InNamespace(namespace))).To(gomega.Succeed())
}

// encodedToken finds a token in base64, the form in which policies see the data
// of a Secret.
var encodedToken = regexp.MustCompile(base64.RawStdEncoding.EncodeToString([]byte(token.Prefix))[:5] + `[0-9A-Za-z+/]{80,}`)

// testIndiscretePolicy lets a policy that somebody else installed put the token
// into its message, which the manager reads, logs, and shows in a condition.
func testIndiscretePolicy(t *testing.T, m *manager) {
	g := gomega.NewWithT(t)
	namespace := testenv.Namespace(t)
	installIndiscretePolicy(t, namespace)
	key := declare(t, namespace, "echo", v1alpha1.AccessTokenSpec{})
	at := awaitReason(t, key, v1alpha1.ReasonWriteFailed)
	g.Expect(at.Status.Conditions).To(gomega.ContainElement(gomega.HaveField("Message", gomega.ContainSubstring("here it is"))), "the policy refused")

	g.Eventually(func() string { return string(m.logged(t, 0)) }).WithTimeout(soon).Should(gomega.ContainSubstring("here it is"))
	audit, err := os.ReadFile(testenv.ControlPlane(t).AuditLog())
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(encodedToken.FindString(string(audit))).NotTo(gomega.BeEmpty(), "the policy said what it was sent")
	for place, content := range leak.Merge(leak.Stored(t), map[string][]byte{"log of the manager": m.logged(t, 0)}) {
		g.Expect(encodedToken.FindString(string(content))).To(gomega.BeEmpty(), "%s holds a token", place)
	}
	g.Expect(adminClient(t).Delete(t.Context(), at)).To(gomega.Succeed())
}

func installIndiscretePolicy(t *testing.T, namespace string) {
	t.Helper()
	g := gomega.NewWithT(t)
	admin := adminClient(t)
	name := metav1.ObjectMeta{Name: "indiscrete"}
	rule := admissionv1.NamedRuleWithOperations{RuleWithOperations: admissionv1.RuleWithOperations{
		Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
		Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"secrets"}},
	}}
	policy := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: name, Spec: admissionv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{rule}},
		Validations: []admissionv1.Validation{{
			Expression:        "request.namespace != '" + namespace + "'",
			MessageExpression: "'here it is: ' + string(object.data['token'])",
		}},
	}}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: name, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: name.Name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
	}}
	for _, object := range []client.Object{policy, binding} {
		g.Expect(admin.Create(t.Context(), object)).To(gomega.Succeed())
		t.Cleanup(func() { _ = admin.Delete(context.WithoutCancel(t.Context()), object) })
	}
	g.Eventually(func() error {
		probe := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "probe"}, StringData: map[string]string{"token": "t"}}
		return admin.Create(t.Context(), probe, client.DryRunAll)
	}).WithTimeout(soon).WithPolling(often).Should(gomega.MatchError(gomega.ContainSubstring("here it is: dA==")))
}

// testSearchFindsPlants puts a token and a key where they must not be.
func testSearchFindsPlants(t *testing.T, seen *collector) {
	g := gomega.NewWithT(t)
	n := seen.needles(t)
	var text string
	for known := range seen.tokens {
		text = known
	}
	keySecret := secretOf(t, keySecretKey)
	lease := map[string][]byte{"plant": nil}
	for _, key := range keySecret.Data {
		lease["plant"] = key
	}
	planted := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: operator.Namespace, Name: "planted"}, BinaryData: lease}
	g.Expect(adminClient(t).Create(t.Context(), planted)).To(gomega.Succeed())
	holder := declare(t, testenv.Namespace(t), "planted", v1alpha1.AccessTokenSpec{State: v1alpha1.StateSuspended})
	edit(t, holder, func(at *v1alpha1.AccessToken) { at.Annotations = map[string]string{"note": text} })

	found := n.Find(leak.Stored(t))
	g.Expect(found).To(gomega.ContainElement(gomega.MatchRegexp(`^token [a-z2-7]{16} in accesstoken.dev AccessTokenList$`)))
	g.Expect(found).To(gomega.ContainElement(gomega.MatchRegexp(`^key \S+ in  ConfigMapList$`)))
	audit, err := os.ReadFile(testenv.ControlPlane(t).AuditLog())
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(n.Find(map[string][]byte{"audit log": audit})).NotTo(gomega.BeEmpty(), "the audit log keeps the bodies of AccessTokens")
	g.Expect(adminClient(t).Delete(t.Context(), planted)).To(gomega.Succeed())
	g.Expect(adminClient(t).Delete(t.Context(), tokenOf(t, holder))).To(gomega.Succeed())
}
