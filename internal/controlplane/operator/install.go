package operator

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/assets"
)

// Where every configuration in config/ puts the manager unless it says otherwise.
const (
	Namespace = "accesstoken-system"
	Account   = "accesstoken-manager"
)

// declarable bounds how long the API server takes to learn the schema of a new
// kind, and how often that is tried.
const (
	declarableTimeout  = 30 * time.Second
	declarableInterval = 100 * time.Millisecond
)

// InstallDev installs the clone's configuration for development: config/dev, or
// config/dev-1.34 where the API server has no MutatingAdmissionPolicy, which it
// has from 1.36 on.
func InstallDev(ctx context.Context, cp *controlplane.ControlPlane) error {
	root, err := assets.ModuleRoot()
	if err != nil {
		return err
	}
	clients, err := kubernetes.NewForConfig(cp.Config())
	if err != nil {
		return fmt.Errorf("client of the API server: %w", err)
	}
	served, err := clients.Discovery().ServerResourcesForGroupVersion(admissionv1.SchemeGroupVersion.String())
	if err != nil {
		return fmt.Errorf("ask the API server for its admission kinds: %w", err)
	}
	folder := "dev-1.34"
	for _, resource := range served.APIResources {
		if resource.Kind == "MutatingAdmissionPolicy" {
			folder = "dev"
		}
	}
	return Install(ctx, cp, filepath.Join(root, "config", folder))
}

// Install applies the kustomize folder and returns when AccessTokens can be
// declared and the admission policies in it bind the manager's account: a Secret
// that no AccessToken controls is refused.
func Install(ctx context.Context, cp *controlplane.ControlPlane, folder string) error {
	if err := cp.Install(ctx, folder); err != nil {
		return err
	}
	if err := waitDeclarable(ctx, cp); err != nil {
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

// waitDeclarable waits until an AccessToken can be created. The policy that
// stamps its creator applies a configuration to it, for which the API server
// needs the schema of the kind; it refuses every AccessToken until it has read
// that, a moment after it serves the kind.
func waitDeclarable(ctx context.Context, cp *controlplane.ControlPlane) error {
	clients, err := dynamic.NewForConfig(cp.Config())
	if err != nil {
		return fmt.Errorf("client of an administrator: %w", err)
	}
	probe := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{}}}
	probe.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("AccessToken"))
	probe.SetName("policy-probe")
	tokens := clients.Resource(v1alpha1.GroupVersion.WithResource("accesstokens")).Namespace(metav1.NamespaceDefault)
	var last error
	err = wait.PollUntilContextTimeout(ctx, declarableInterval, declarableTimeout, true, func(ctx context.Context) (bool, error) {
		_, last = tokens.Create(ctx, probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("an AccessToken cannot be created: %w", errors.Join(last, err))
	}
	return nil
}
