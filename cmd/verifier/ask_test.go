package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/onsi/gomega"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/internal/server/extauthz"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/introspection"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/tokenreview"
)

// original is the request that a gateway asks about, unless a test says
// otherwise.
var original = http.Header{
	"X-Forwarded-Method": {http.MethodGet}, "X-Forwarded-Uri": {"/cart"}, "X-Forwarded-Host": {"shop.example.com"},
	"X-Forwarded-For": {"192.0.2.7"}, "User-Agent": {"basket/1.0"},
}

// gate asks as Traefik and Caddy do, with headers beside those of original.
func (v *verifier) gate(ctx context.Context, headers http.Header) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, v.URL()+"/auth/forwarded/shop", nil)
	if err != nil {
		return 0, err
	}
	for _, more := range []http.Header{original, headers} {
		for name, values := range more {
			request.Header[name] = values
		}
	}
	response, err := v.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

func bearer(text string) http.Header { return http.Header{"Authorization": {"Bearer " + text}} }

// use uses a token at a gateway, and returns how that was answered; 0 is for a
// verifier that did not.
func (v *verifier) use(t *testing.T, text string) (status int) {
	t.Helper()
	status, err := v.gate(t.Context(), bearer(text))
	if err != nil {
		t.Logf("%s: %v", v.Name(), err)
	}
	return status
}

// awaitUse uses a token until it is answered so.
func (v *verifier) awaitUse(t *testing.T, text string, status int) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func() int { return v.use(t, text) }).
		WithTimeout(soon).WithPolling(often).Should(gomega.Equal(status), v.Name())
}

// review asks as kube-apiserver does. The answer is never empty.
func (v *verifier) review(t *testing.T, text string, audiences ...string) authenticationv1.TokenReviewStatus {
	t.Helper()
	body, err := json.Marshal(&authenticationv1.TokenReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "authentication.k8s.io/v1", Kind: "TokenReview"},
		Spec:     authenticationv1.TokenReviewSpec{Token: text, Audiences: audiences},
	})
	if err != nil {
		t.Fatal(err)
	}
	status, answer := post(t, v.webhooks, v.WebhooksURL()+tokenreview.Path, "application/json", "", body)
	if status != http.StatusOK {
		t.Fatalf("TokenReview: %d %s", status, answer)
	}
	review := &authenticationv1.TokenReview{}
	if err := json.Unmarshal([]byte(answer), review); err != nil {
		t.Fatalf("TokenReview: %v in %s", err, answer)
	}
	return review.Status
}

// introspect asks as a service does that shows a credential of its own.
func (v *verifier) introspect(t *testing.T, credential, text string) (status int, answer string) {
	t.Helper()
	form := url.Values{"token": {text}, "client_ip": {"192.0.2.7"}}.Encode()
	return post(t, v.client, v.URL()+introspection.Path, "application/x-www-form-urlencoded", "Bearer "+credential, []byte(form))
}

// check asks as Envoy does.
func (v *verifier) check(t *testing.T, headers map[string]string) *authv3.CheckResponse {
	t.Helper()
	connection, err := grpc.NewClient(v.ExtAuthzAddress(), grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(authority(t), "")))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	answer, err := authv3.NewAuthorizationClient(connection).Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		ContextExtensions: map[string]string{extauthz.PolicyExtension: "shop"},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: http.MethodGet, Path: "/cart", Host: "shop.example.com", Headers: headers,
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func post(t *testing.T, client *http.Client, to, kind, authorization string, body []byte) (status int, answer string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", kind)
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var read strings.Builder
	if _, err := io.Copy(&read, response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, read.String()
}
