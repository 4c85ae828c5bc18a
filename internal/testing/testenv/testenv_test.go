package testenv

import (
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

func TestMain(m *testing.M) { os.Exit(Run(m)) }

func TestEachCallMakesAnotherNamespace(t *testing.T) {
	first, second := Namespace(t), Namespace(t)
	if first == second || !strings.HasPrefix(first, "t-testeachcallmakes") {
		t.Errorf("Namespace() = %q, %q, want two names that begin with the test's", first, second)
	}
}

func TestTheConfigurationIsInstalledAndBindsTheManager(t *testing.T) {
	if _, err := ControlPlane(t).Kubectl(t.Context(), "get", "accesstokens,tokenrecords", "-A"); err != nil {
		t.Error(err)
	}
	clients, err := kubernetes.NewForConfig(ManagerConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	orphan := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "orphan"}}
	_, err = clients.CoreV1().Secrets(Namespace(t)).Create(t.Context(), orphan, metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "ValidatingAdmissionPolicy") {
		t.Errorf("Secret without an owner made by the manager's account = %v, want a refusal by policy", err)
	}
}
