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
	"sigs.k8s.io/controller-runtime/pkg/client"

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

// Install applies the kustomize folder and returns when the admission policies in it
// bind the manager's account, so that a Secret that no AccessToken controls is
// refused, and AccessTokens can be declared under them.
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
	err = controlplane.WaitRefused(ctx, func(ctx context.Context) error {
		orphan := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "policy-probe"}}
		dryRun := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
		_, err := clients.CoreV1().Secrets(metav1.NamespaceDefault).Create(ctx, orphan, dryRun)
		return err
	})
	if err != nil {
		return err
	}
	// Policies come into force together. One with parameters refuses everything until
	// these are read.
	return waitDeclarable(ctx, cp)
}

// creatorPolicy is the MutatingAdmissionPolicy that stamps who created an
// AccessToken.
const creatorPolicy = "accesstoken-creator-stamp.accesstoken.dev"

// waitDeclarable waits until an AccessToken can be created, and is stamped with
// its creator where a policy does that. That policy takes a moment to come into
// force; then it applies a configuration, for which the API server needs the
// schema of the kind, and refuses every AccessToken until it has read it.
func waitDeclarable(ctx context.Context, cp *controlplane.ControlPlane) error {
	clients, err := dynamic.NewForConfig(cp.Config())
	if err != nil {
		return fmt.Errorf("client of an administrator: %w", err)
	}
	policies := clients.Resource(admissionv1.SchemeGroupVersion.WithResource("mutatingadmissionpolicies"))
	_, err = policies.Get(ctx, creatorPolicy, metav1.GetOptions{})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("look for policy %s: %w", creatorPolicy, err)
	}
	stamps := err == nil
	probe := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{}}}
	probe.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("AccessToken"))
	probe.SetName("policy-probe")
	tokens := clients.Resource(v1alpha1.GroupVersion.WithResource("accesstokens")).Namespace(metav1.NamespaceDefault)
	var last error
	err = wait.PollUntilContextTimeout(ctx, declarableInterval, declarableTimeout, true, func(ctx context.Context) (bool, error) {
		var created *unstructured.Unstructured
		created, last = tokens.Create(ctx, probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return last == nil && (!stamps || created.GetAnnotations()[v1alpha1.AnnotationCreatedBy] != ""), nil
	})
	if err != nil {
		return fmt.Errorf("an AccessToken cannot be created: %w", errors.Join(last, err))
	}
	return nil
}
