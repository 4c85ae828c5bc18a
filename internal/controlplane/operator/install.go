package operator

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane"
)

// Where every configuration in config/ puts the manager unless it says otherwise.
const (
	Namespace = "accesstoken-system"
	Account   = "accesstoken-manager"
)

// Install applies the kustomize folder and returns when the admission policies
// in it bind the manager's account: a Secret that no AccessToken controls is
// refused.
func Install(ctx context.Context, cp *controlplane.ControlPlane, folder string) error {
	if err := cp.Install(ctx, folder); err != nil {
		return err
	}
	manager, err := cp.ServiceAccountConfig(ctx, Namespace, Account)
	if err != nil {
		return err
	}
	clients, err := kubernetes.NewForConfig(manager)
	if err != nil {
		return fmt.Errorf("client of the manager's account: %w", err)
	}
	return controlplane.WaitRefused(ctx, func(ctx context.Context) error {
		orphan := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "policy-probe"}}
		dryRun := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
		_, err := clients.CoreV1().Secrets(metav1.NamespaceDefault).Create(ctx, orphan, dryRun)
		return err
	})
}
