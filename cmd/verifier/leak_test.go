package main

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/accessreview"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/introspection"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/revocation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/tokenreview"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/leak"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/objects"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// anyAuthorization finds what an Authorization header holds, whosever it is.
var anyAuthorization = regexp.MustCompile(`(?i)\b(bearer|basic)[ :="]+[A-Za-z0-9+/_.~-]{20,}`)

// otherSecret is a token that has the form of one and the ID of another.
func otherSecret(t *testing.T, i, other issued) string {
	t.Helper()
	id := i.id(t)
	return strings.Replace(other.text, other.id(t), id, 1)
}

func TestNothingPresentedLeaks(t *testing.T) {
	g := gomega.NewWithT(t)
	startManager(t)
	v := startVerifier(t, "")
	namespace := testenv.Namespace(t)
	unwanted := leak.Needles{}
	good := issue(t, namespace, "good", v1alpha1.AccessTokenSpec{})
	kubernetes := issue(t, namespace, "kubernetes", v1alpha1.AccessTokenSpec{Audiences: []string{"kubernetes"}})
	billing := issue(t, namespace, "billing", v1alpha1.AccessTokenSpec{Audiences: []string{"billing-api"}, Scopes: []string{"invoices:read"}})
	ended := issue(t, namespace, "ended", v1alpha1.AccessTokenSpec{})
	edit(t, ended.key, func(at *v1alpha1.AccessToken) { at.Spec.State = v1alpha1.StateRevoked })
	v.awaitUse(t, ended.text, http.StatusUnauthorized)
	holder := issue(t, namespace, "holder", v1alpha1.AccessTokenSpec{})
	presented := []string{good.text, kubernetes.text, billing.text, ended.text}
	for _, text := range append(presented, holder.text) {
		unwanted.AddToken(text)
	}
	guessed := otherSecret(t, good, ended)
	unwanted.Add("a guess", []byte(guessed)) // its check sum is wrong
	account, elsewhere := introspector(t, "verifier.accesstoken.dev"), introspector(t, "")
	for _, jwt := range []string{account, elsewhere} {
		unwanted.Add("the JWT of a service account", []byte(jwt))
		unwanted.Add("the signature of a service account's JWT", []byte(jwt[strings.LastIndex(jwt, ".")+1:]))
	}
	for id, key := range secretOf(t, objects.KeySecret).Data {
		unwanted.Add("key "+id, key)
	}

	for _, text := range append(presented, guessed, account, elsewhere) {
		v.presentToGateways(t, text)
		v.presentToServices(t, text, account)
		v.presentToAPIServer(t, text)
	}
	status, _ := v.form(t, revocation.Path, "", url.Values{"token": {holder.text}})
	g.Expect(status).To(gomega.Equal(http.StatusOK))
	v.awaitUse(t, holder.text, http.StatusUnauthorized)
	g.Eventually(func() string { return good.record(t).Status.LastUserAgent }).WithTimeout(soon).WithPolling(often).ShouldNot(gomega.BeEmpty())

	everything := leak.Merge(leak.Stored(t), leak.Printed(t), map[string][]byte{"metrics": []byte(v.metrics(t)), "audit log of the API server": apiServerAudit(t)})
	for place, content := range everything {
		g.Expect(len(content)).To(gomega.BeNumerically(">", 100), "%s holds nothing to search", place)
		g.Expect(objects.TokenPattern.FindString(string(content))).To(gomega.BeEmpty(), "%s holds a token", place)
		g.Expect(anyAuthorization.FindString(string(content))).To(gomega.BeEmpty(), "%s holds an Authorization header", place)
	}
	g.Expect(unwanted.Find(everything)).To(gomega.BeEmpty())
	t.Run("and the search finds what is planted", func(t *testing.T) { testPlantsAreFound(t, v, unwanted, good) })
}

func apiServerAudit(t *testing.T) []byte {
	t.Helper()
	content, err := os.ReadFile(testenv.ControlPlane(t).AuditLog())
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// presentToGateways presents a text in every place of a request that a gateway
// asks about, and in every place of the question itself.
func (v *process) presentToGateways(t *testing.T, text string) {
	t.Helper()
	basic := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	for _, headers := range []http.Header{
		bearer(text),
		{"Authorization": {"bearer  " + text}},
		{"Authorization": {basic("user", text)}},
		{"Authorization": {basic(text, "")}},
		{"Authorization": {text}},
		{"Authorization": {"Digest " + text}},
		{"Authorization": {"Bearer " + text + ", Bearer " + text}},
		{"Authorization": {"Bearer " + text, basic("user", text)}},
		{"Cookie": {"session=" + text}},
		{"Cookie": {"access_token=" + text}},
		{"User-Agent": {text}},
		{"User-Agent": {"curl/8 (" + text + ")"}},
		{"X-Forwarded-Uri": {"/cart/" + text}},
		{"X-Forwarded-Uri": {"/cart?access_token=" + text}},
		{"X-Forwarded-Host": {text}},
		{"X-Forwarded-Method": {text}},
		{"X-Forwarded-For": {text}},
	} {
		if _, carried := headers["Authorization"]; !carried {
			headers["Authorization"] = bearer(text)["Authorization"]
		}
		if _, err := v.gate(t.Context(), headers); err != nil {
			t.Fatal(err)
		}
		envoy := map[string]string{}
		for name, values := range headers {
			envoy[strings.ToLower(name)] = strings.Join(values, ",")
		}
		v.check(t, "shop", "/cart", envoy)
	}
	v.check(t, "shop", "/cart?access_token="+text, nil)
	v.check(t, "shop", "/"+text, map[string]string{"authorization": "Bearer " + text})
	v.check(t, text, "/cart", map[string]string{"authorization": "Bearer " + text})
	for _, path := range []string{"/auth/forwarded/" + text, "/auth/nginx/shop?access_token=" + text, "/auth/" + text, "/" + text, "/introspect/" + text} {
		v.visit(t, v.URL()+path, text)
	}
	v.visit(t, v.HealthURL()+"/readyz/"+text, text)
	v.visit(t, v.MetricsURL()+"?token="+text, text)
}

// visit asks for a page with an Authorization header, and does not mind how that
// is answered.
func (v *process) visit(t *testing.T, page, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, page, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = bearer(text)
	request.Header.Set("User-Agent", text)
	response, err := v.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
}

// presentToServices presents a text in forms.
func (v *process) presentToServices(t *testing.T, text, account string) {
	t.Helper()
	v.introspect(t, account, text)
	v.introspect(t, text, text)
	for _, form := range []url.Values{
		{"token": {text, text}},
		{"token": {text}, "client_ip": {text}},
		{"token": {text}, "token_type_hint": {text}},
		{"token": {" " + text}},
		{text: {text}},
	} {
		v.form(t, introspection.Path, "Bearer "+account, form)
		v.form(t, revocation.Path, "Basic "+base64.StdEncoding.EncodeToString([]byte(text+":"+text)), url.Values{"tokens": form["token"]})
	}
	v.form(t, introspection.Path, "Basic "+base64.StdEncoding.EncodeToString([]byte("client:"+text)), url.Values{"token": {text}})
	post(t, v.client, v.URL()+introspection.Path, "application/json", "Bearer "+account, []byte(`{"token":"`+text+`"}`))
	post(t, v.client, v.URL()+introspection.Path+"?token="+text, "application/x-www-form-urlencoded", "Bearer "+account, []byte("token="+text+"%zz"))
	post(t, v.client, v.URL()+revocation.Path+"?token="+text, "text/plain", "Bearer "+text, []byte(text))
}

// presentToAPIServer presents a text to kube-apiserver, as it asks about texts.
func (v *process) presentToAPIServer(t *testing.T, text string) {
	t.Helper()
	v.review(t, text)
	v.review(t, text, "billing-api")
	v.review(t, text, text)
	for path, body := range map[string]string{
		tokenreview.Path:        `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":"` + text + `"`,
		tokenreview.Path + "?x": `{"kind":"` + text + `","spec":{"token":"` + text + `"}}`,
		accessreview.Path:       `{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","spec":{"user":"` + text + `","resourceAttributes":{"verb":"get","name":"` + text + `"},"extra":{"accesstoken.dev/scopes":["` + text + `"]}}}`,
	} {
		post(t, v.webhooks, v.WebhooksURL()+path, "application/json", "Bearer "+text, []byte(body))
	}
	config := rest.AnonymousClientConfig(testenv.Config(t))
	config.BearerToken = text
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	_, err = clients.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsUnauthorized(err) {
		t.Fatal(err)
	}
}

// testPlantsAreFound writes a token and a header where they must not be.
func testPlantsAreFound(t *testing.T, v *process, unwanted leak.Needles, good issued) {
	g := gomega.NewWithT(t)
	log := filepath.Join(testenv.ControlPlane(t).Dir(), "logs", "planted.log")
	g.Expect(os.WriteFile(log, []byte(`{"msg":"got `+base64.URLEncoding.EncodeToString([]byte("user:"+good.text))+`"}`), 0o600)).To(gomega.Succeed())
	t.Cleanup(func() { _ = os.Remove(log) })
	rec := good.record(t)
	rec.Status.LastUserAgent = good.text
	g.Expect(adminClient(t).Status().Update(context.WithoutCancel(t.Context()), rec)).To(gomega.Succeed())

	found := unwanted.Find(leak.Merge(leak.Stored(t), leak.Printed(t), map[string][]byte{"audit log of the API server": apiServerAudit(t)}))
	for _, place := range []string{"log planted.log", "accesstoken.dev TokenRecordList", "audit log of the API server"} {
		g.Expect(found).To(gomega.ContainElement(gomega.MatchRegexp(`^token [a-z2-7]{16} in `+regexp.QuoteMeta(place)+`$`)), place)
	}
	g.Expect(anyAuthorization.MatchString(`authorization: Bearer ` + good.text)).To(gomega.BeTrue())
	g.Expect(v.logged(t)).To(gomega.ContainSubstring(good.id(t)), "the audit log of the verifier is in what was searched")
}
