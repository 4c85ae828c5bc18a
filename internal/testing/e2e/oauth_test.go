//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/caller"
)

// TestAnOAuthLibraryIntrospectsAndRevokes has oauth4webapi, a client library, ask
// the verifier as a resource server does, with a service account's token.
func TestAnOAuthLibraryIntrospectsAndRevokes(t *testing.T) {
	at := declare(t, v1alpha1.AccessTokenSpec{Scopes: []string{"deploy:shop", "read:shop"}})
	text := content(t, mountSecret(t, at), "token")
	jwt := introspector(t, at.Namespace)

	for _, authentication := range []string{"basic", "bearer"} {
		var answer map[string]any
		await(t, at, "can be asked about", func() bool { // a role takes effect in a moment
			answer = askOAuth(t, map[string]string{"what": "introspect", "authentication": authentication, "credential": jwt, "token": text})
			return answer["active"] == true
		})
		for name, want := range map[string]any{
			"scope": "deploy:shop read:shop", "username": "accesstoken:" + at.Namespace + ":" + at.Name, "sub": string(at.UID),
			"jti": at.Status.TokenID, "token_type": "Bearer", "accesstoken.dev/namespace": at.Namespace, "accesstoken.dev/name": at.Name,
		} {
			if answer[name] != want {
				t.Errorf("%s = %v, want %v", name, answer[name], want)
			}
		}
	}
	stranger := askOAuth(t, map[string]string{"what": "introspect", "authentication": "basic", "credential": text, "token": text})
	if stranger["active"] != nil || stranger["status"] != float64(401) {
		t.Errorf("a caller who may not ask: %v", stranger)
	}

	if got := askOAuth(t, map[string]string{"what": "revoke", "authentication": "none", "token": text}); got["revoked"] != true {
		t.Fatalf("revoke: %v", got)
	}
	// At once, without waiting:
	got := askOAuth(t, map[string]string{"what": "introspect", "authentication": "bearer", "credential": jwt, "token": text})
	if got["active"] != false || len(got) != 1 {
		t.Errorf("a revoked token: %v", got)
	}
	// The operator takes it for leaked, and puts a new one in the Secret.
	await(t, at, "has the next revision", func() bool { return at.Status.Revision == 2 })
	if renewed := content(t, mountSecret(t, at), "token"); renewed == text {
		t.Error("the Secret holds the revoked token")
	}
	if got := askOAuth(t, map[string]string{"what": "revoke", "authentication": "none", "token": text}); got["revoked"] != true {
		t.Errorf("revoke again: %v", got)
	}
}

// introspector makes a service account that may ask about the default audience,
// as the documentation says, and returns a token of it.
func introspector(t *testing.T, namespace string) string {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "resource-server"}}
	if err := cluster.Create(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "introspector-" + namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "accesstoken-introspector"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: account.Name}},
	}
	if err := cluster.Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{caller.DefaultAudience}}}
	if err := cluster.SubResource("token").Create(t.Context(), account, request); err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}

// askOAuth runs oauth4webapi, which `hack/e2e-packages.sh` installs.
func askOAuth(t *testing.T, ask map[string]string) map[string]any {
	t.Helper()
	ask["url"] = verifier.URL()
	input, err := json.Marshal(ask)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	node := exec.CommandContext(ctx, "node", filepath.Join("oauth", "client.mjs"))
	node.Env = append(node.Environ(), "NODE_EXTRA_CA_CERTS="+verifierCA)
	node.Stdin = strings.NewReader(string(input))
	output, err := node.CombinedOutput()
	if err != nil {
		t.Fatalf("oauth4webapi: %v\n%s", err, output)
	}
	var answer map[string]any
	if err := json.Unmarshal(output, &answer); err != nil {
		t.Fatalf("oauth4webapi said %s", output)
	}
	return answer
}
