package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/internal/server/extauthz"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/introspection"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/tokenreview"
)

// review asks as kube-apiserver does. The answer is never empty.
func (v *process) review(t *testing.T, text string, audiences ...string) authenticationv1.TokenReviewStatus {
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

// form sends a form as a service does that shows a credential of its own.
func (v *process) form(t *testing.T, path, authorization string, form url.Values) (status int, answer string) {
	t.Helper()
	return post(t, v.client, v.URL()+path, "application/x-www-form-urlencoded", authorization, []byte(form.Encode()))
}

// introspect asks about a token as a service account.
func (v *process) introspect(t *testing.T, account, text string) (status int, answer string) {
	t.Helper()
	return v.form(t, introspection.Path, "Bearer "+account, url.Values{"token": {text}, "client_ip": {"192.0.2.7"}})
}

// check asks as Envoy does.
func (v *process) check(t *testing.T, policy, path string, headers map[string]string) *authv3.CheckResponse {
	t.Helper()
	connection, err := grpc.NewClient(v.ExtAuthzAddress(), grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(authority(t), "")))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	answer, err := authv3.NewAuthorizationClient(connection).Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		ContextExtensions: map[string]string{extauthz.PolicyExtension: policy},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: http.MethodGet, Path: path, Host: "shop.example.com", Headers: headers,
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// introspector is the credential of a service account that may introspect, for an
// audience: the verifier's own, or empty for the API server's.
func introspector(t *testing.T, audience string) string {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "introspector"}}
	createOnce(t, account.DeepCopy())
	createOnce(t, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "test-introspector"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "accesstoken-introspector"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: account.Namespace, Name: account.Name}},
	})
	request := &authenticationv1.TokenRequest{}
	if audience != "" {
		request.Spec.Audiences = []string{audience}
	}
	if err := adminClient(t).SubResource("token").Create(t.Context(), account, request); err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
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
