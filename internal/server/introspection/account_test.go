package introspection_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"github.com/accesstoken-dev/accesstoken-operator/internal/caller"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

const (
	patience = 20 * time.Second
	often    = 50 * time.Millisecond
)

// TestAServiceAccountWithTheShippedRoleAsksAboutTheDefaultAudience binds the role
// of config/rbac, as the documentation says.
func TestAServiceAccountWithTheShippedRoleAsksAboutTheDefaultAudience(t *testing.T) {
	w := newWorldAt(t, testenv.Config(t))
	admin, err := kubernetes.NewForConfig(testenv.Config(t))
	if err != nil {
		t.Fatal(err)
	}
	namespace := testenv.Namespace(t)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "billing"}}
	if _, err := admin.CoreV1().ServiceAccounts(namespace).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{caller.DefaultAudience}}}
	answer, err := admin.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), account.Name, request, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	jwt := answer.Status.Token
	if got := w.introspect(t, jwt, w.texts["default"]); got.Code != http.StatusForbidden {
		t.Errorf("before the role is bound: %s", dump(got))
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "accesstoken-introspector"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: account.Name}},
	}
	if _, err := admin.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	err = wait.PollUntilContextTimeout(t.Context(), often, patience, true, func(context.Context) (bool, error) {
		w.clock.SetTime(w.clock.Now().Add(caller.DefaultKeepYes))
		return w.introspect(t, jwt, w.texts["default"]).Code == http.StatusOK, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.clock.SetTime(w.clock.Now().Add(caller.DefaultKeepYes))
	if got := w.introspect(t, jwt, w.texts["default"]).Body.String(); !strings.Contains(got, `"aud":["accesstoken.dev"]`) {
		t.Errorf("a token for the default audience: %s", got)
	}
	for _, name := range []string{"full", "cluster", "caller", "elsewhere", "unknown"} {
		if got := w.introspect(t, jwt, w.texts[name]).Body.String(); got != inactive {
			t.Errorf("%s: %s", name, got)
		}
	}
}
