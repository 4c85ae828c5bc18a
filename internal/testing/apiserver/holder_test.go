package apiserver

import (
	"path/filepath"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

// holder is somebody who has a token and nothing else.
type holder struct {
	text   string
	record *v1alpha1.TokenRecord
	config *rest.Config
	*kubernetes.Clientset
}

// issue makes an AccessToken and the record of a token for it, and returns when
// the verifier knows it.
func issue(t *testing.T, namespace, name string, audiences, scopes []string) *holder {
	t.Helper()
	the.ready(t)
	admin := admin(t)
	declared := &v1alpha1.AccessToken{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if err := admin.Create(t.Context(), declared); err != nil {
		t.Fatal(err)
	}
	record, text := mint.Default().Declared(t, declared, clock.RealClock{}.Now(), mint.Audiences(audiences...), mint.Scopes(scopes...))
	if err := admin.Create(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	id, err := token.ParseID(record.Name)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if the.store.Lookup(id) == nil {
			return errNotYet
		}
		return nil
	})
	return newHolder(t, text, record)
}

func newHolder(t *testing.T, text string, record *v1alpha1.TokenRecord) *holder {
	t.Helper()
	config := rest.AnonymousClientConfig(testenv.Config(t))
	config.BearerToken, config.QPS = text, -1
	return &holder{text: text, record: record, config: config, Clientset: clients(t, config)}
}

func clients(t *testing.T, config *rest.Config) *kubernetes.Clientset {
	t.Helper()
	made, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func admin(t *testing.T) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	made, err := client.New(testenv.Config(t), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// allow has RBAC allow the user of a token everything, and returns when it does.
func (h *holder) allow(t *testing.T) {
	t.Helper()
	user := h.record.Spec.Subject.Name
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "all-for-token-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}
	if _, err := clients(t, testenv.Config(t)).RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// Asked as one who is no token, so that RBAC alone is seen.
	alone := testenv.Config(t)
	alone.Impersonate.UserName = user
	eventually(t, func() error {
		_, err := clients(t, alone).CoreV1().ConfigMaps(h.record.Namespace).List(t.Context(), always)
		return err
	})
}

// kubectl runs kubectl with the token in the way of docs/kubernetes.md: as a user
// of an administrator's kubeconfig who has no other credential.
func (h *holder) kubectl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cp, path := testenv.ControlPlane(t), filepath.Join(t.TempDir(), "kubeconfig")
	if err := controlplane.WriteKubeconfig(testenv.Config(t), path); err != nil {
		t.Fatal(err)
	}
	if _, err := cp.Kubectl(t.Context(), "--kubeconfig="+path, "config", "set-credentials", "nobody"); err != nil {
		t.Fatal(err)
	}
	return cp.Kubectl(t.Context(), append([]string{"--kubeconfig=" + path, "--user=nobody", "--token=" + h.text}, args...)...)
}
