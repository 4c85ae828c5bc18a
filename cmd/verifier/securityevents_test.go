package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

const eventConfiguration = `
apiVersion: config.accesstoken.dev/v1alpha1
kind: VerifierConfiguration
securityEvents:
  issuers:
  - issuer: https://idp.example.com
    audience: https://tokens.example.com
    keys: {file: KEYS}
    users: {prefix: "idp:"}
    reissue: true
`

// TestASecurityEventBecomesARevocation pushes one at the listener of a verifier, as
// an identity provider does.
func TestASecurityEventBecomesARevocation(t *testing.T) {
	startManager(t)
	createOnce(t, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "security-events"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "accesstoken-security-events"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: operator.Namespace, Name: operator.VerifierAccount}},
	})
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signing := jose.JSONWebKey{Key: key, KeyID: "k1"}
	folder := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{signing.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	configured := strings.ReplaceAll(eventConfiguration, "KEYS", write("keys.json", string(keys)))
	v := startVerifier(t, "events", "--config="+write("config.yaml", configured))
	without := startVerifier(t, "no-events")

	maria, otto := issueAs(t, "idp:maria", "idp:otto")
	for _, i := range []issued{maria, otto} {
		without.awaitUse(t, i.text, http.StatusOK)
	}
	text := eventOf(t, signing, map[string]any{
		"iss": "https://idp.example.com", "aud": "https://tokens.example.com", "jti": t.Name(), "iat": time.Now().Unix(),
		"sub_id": map[string]any{"format": "iss_sub", "iss": "https://idp.example.com", "sub": "maria"},
		"events": map[string]any{"https://schemas.openid.net/secevent/risc/event-type/account-disabled": map[string]any{}},
	})
	g := gomega.NewWithT(t)
	g.Expect(without.push(t, text)).To(gomega.Equal(http.StatusNotFound), "where no issuer is configured")
	g.Expect(without.use(t, maria.text)).To(gomega.Equal(http.StatusOK))
	g.Eventually(func() int { return v.push(t, text) }). // the authorizer reads bindings from a watch
								WithTimeout(soon).WithPolling(often).Should(gomega.Equal(http.StatusAccepted))
	g.Expect(v.push(t, text)).To(gomega.Equal(http.StatusAccepted), "once more")
	g.Expect(v.push(t, text[:len(text)-8]+"AAAAAAAA")).To(gomega.Equal(http.StatusBadRequest))

	without.awaitUse(t, maria.text, http.StatusUnauthorized)
	g.Expect(without.use(t, otto.text)).To(gomega.Equal(http.StatusOK))
	g.Eventually(func() string { return tokenIn(t, maria.key).text }).WithTimeout(soon).WithPolling(often).ShouldNot(gomega.Equal(maria.text))
	without.awaitUse(t, tokenIn(t, maria.key).text, http.StatusOK)

	list := &v1alpha1.ClusterTokenRevocationList{}
	g.Expect(adminClient(t).List(t.Context(), list)).To(gomega.Succeed())
	var made []*v1alpha1.ClusterTokenRevocation
	for i := range list.Items {
		if list.Items[i].Annotations[v1alpha1.AnnotationSecurityEvent] == t.Name() {
			made = append(made, &list.Items[i])
		}
	}
	g.Expect(made).To(gomega.HaveLen(1))
	g.Expect(made[0].Spec.Subject).To(gomega.HaveValue(gomega.Equal(v1alpha1.RevokedSubject{Kind: v1alpha1.RevokedUser, Name: "idp:maria"})))
	g.Expect(awaitRevoked(t, made[0], &made[0].Status)).To(gomega.BeEquivalentTo(1))
	g.Expect(v.metrics(t)).To(gomega.And(
		gomega.ContainSubstring(`accesstoken_security_events_total{result="Revoked"} 1`),
		gomega.ContainSubstring(`accesstoken_security_events_total{result="Refused"} 1`),
	))
	if log := v.logged(t); strings.Contains(log, text[:40]) || strings.Contains(log, "maria") {
		t.Error("the log has the event, or whom it is about")
	}
}

// issueAs issues tokens that act as two users.
func issueAs(t *testing.T, first, second string) (issued, issued) {
	t.Helper()
	awaitSettled(t)
	namespace := testenv.Namespace(t)
	policy := &v1alpha1.AccessTokenPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: namespace},
		Spec: v1alpha1.AccessTokenPolicySpec{
			NamespaceSelector: &v1alpha1.NamespaceSelector{MatchLabels: map[string]v1alpha1.LabelValue{corev1.LabelMetadataName: v1alpha1.LabelValue(namespace)}},
			Subjects:          &v1alpha1.PolicySubjects{Users: []string{first, second}},
		},
	}
	createOnce(t, policy)
	t.Cleanup(func() {
		if err := adminClient(t).Delete(context.WithoutCancel(t.Context()), policy); err != nil {
			t.Error(err)
		}
	})
	as := func(name, user string) issued {
		return issue(t, namespace, name, v1alpha1.AccessTokenSpec{MaxAge: "24h", Subject: &v1alpha1.TokenSubject{Kind: v1alpha1.SubjectKindUser, Name: user}})
	}
	return as("first", first), as("second", second)
}

// awaitSettled waits until the policies are old enough to have been asked about who
// creates a token that acts as another.
func awaitSettled(t *testing.T) {
	t.Helper()
	const settle = 10 * time.Second
	bindings := &admissionv1.ValidatingAdmissionPolicyBindingList{}
	if err := adminClient(t).List(t.Context(), bindings); err != nil {
		t.Fatal(err)
	}
	for _, binding := range bindings.Items {
		gomega.NewWithT(t).Eventually(func() time.Duration { return time.Since(binding.CreationTimestamp.Time) }).
			WithTimeout(soon).WithPolling(often).Should(gomega.BeNumerically(">", settle))
	}
}

func eventOf(t *testing.T, key jose.JSONWebKey, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType("secevent+jwt"))
	if err != nil {
		t.Fatal(err)
	}
	content, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(content)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// push sends a security event, and returns how that was answered.
func (v *process) push(t *testing.T, event string) (status int) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, v.URL()+"/security-events", strings.NewReader(event))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/secevent+jwt")
	response, err := v.client.Do(request)
	if err != nil {
		t.Logf("%s: %v", v.Name(), err)
		return 0
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}
