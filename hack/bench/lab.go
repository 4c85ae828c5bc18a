package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
)

// lab is a control plane with the operator installed and nothing else on it, so
// that what one measurement leaves behind is no load on the next.
type lab struct {
	*bench
	*controlplane.ControlPlane

	// admin declares AccessTokens and looks at everything.
	admin client.Client
	// account has the rights of the manager's service account.
	account client.Client
	// streams is for watches that are read without a client library's caches.
	streams rest.Interface

	manager *operator.Operator // nil while none runs
}

// openLab starts a control plane and installs the operator, without running it.
func (b *bench) openLab(ctx context.Context) (*lab, error) { return b.openLabWith(ctx, nil) }

// openLabWith is openLab with a kube-apiserver that asks a verifier.
func (b *bench) openLabWith(ctx context.Context, verifier *controlplane.Verifier) (*lab, error) {
	b.say("starting a control plane")
	cp, err := controlplane.Start(ctx, controlplane.Options{
		Verifier: verifier,
		APIServerArgs: append([]string{
			"--audit-policy-file=" + filepath.Join(b.root, "hack", "bench", "audit-policy.yaml"),
			"--delete-collection-workers=16", // for what is cleared away between two measurements
		}, b.serverProfileArgs()...),
	})
	if err != nil {
		return nil, err
	}
	l := &lab{bench: b, ControlPlane: cp}
	if err := l.prepare(ctx); err != nil {
		return nil, errors.Join(err, l.shut())
	}
	return l, nil
}

func (l *lab) prepare(ctx context.Context) error {
	if err := operator.Install(ctx, l.ControlPlane, filepath.Join(l.root, "config", "dev")); err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return fmt.Errorf("build scheme: %w", err)
	}
	var err error
	if l.admin, err = client.New(l.Config(), client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("client of the API server: %w", err)
	}
	config, err := l.ServiceAccountConfig(ctx, operator.Namespace, operator.Account)
	if err != nil {
		return err
	}
	if l.account, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("client of the manager's account: %w", err)
	}
	clients, err := kubernetes.NewForConfig(l.Config())
	if err != nil {
		return fmt.Errorf("client of the API server: %w", err)
	}
	l.streams = clients.RESTClient()
	return l.raiseLimit(ctx)
}

// mostTokens is how many tokens a namespace can be allowed to have.
const mostTokens = 10000

// raiseLimit lets every namespace have as many tokens as can be.
func (l *lab) raiseLimit(ctx context.Context) error {
	p := &v1alpha1.AccessTokenPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "bench"},
		Spec:       v1alpha1.AccessTokenPolicySpec{Quota: &v1alpha1.PolicyQuota{Tokens: ptr.To[int32](mostTokens)}},
	}
	if err := l.admin.Create(ctx, p); err != nil {
		return fmt.Errorf("raise the limit of tokens: %w", err)
	}
	return nil
}

// shut stops everything and removes what the control plane stored. The logs of a
// manager that failed are kept.
func (l *lab) shut() error {
	return errors.Join(l.stopManager(), l.Stop())
}

// startManager runs the manager and returns when it says that it is ready.
func (l *lab) startManager(ctx context.Context, args ...string) error {
	args = append([]string{"--leader-elect=true"}, args...)
	if l.workers > 0 {
		args = append(args, fmt.Sprintf("--workers=%d", l.workers))
	}
	manager, err := operator.Start(ctx, l.ControlPlane, operator.Options{Program: l.bench.manager, Args: args})
	if err != nil {
		return err
	}
	l.manager = manager
	return nil
}

// stopManager lets the manager end in good order, so that it gives its Lease
// free, and keeps its log beside the results.
func (l *lab) stopManager() error {
	if l.manager == nil {
		return nil
	}
	manager := l.manager
	l.manager = nil
	stopErr := manager.Stop()
	log, err := os.ReadFile(manager.Log())
	if err == nil {
		err = os.WriteFile(filepath.Join(l.folder, "manager.log"), log, 0o600)
	}
	return errors.Join(stopErr, err)
}

func (l *lab) managerStat() (procStat, error) { return readProc(l.manager.PID()) }

func (l *lab) createNamespace(ctx context.Context, name string) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := l.admin.Create(ctx, namespace); err != nil {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	return nil
}

// clear deletes what a measurement left in a namespace, dependents first, so
// that garbage collection finds nothing to do.
func (l *lab) clear(ctx context.Context, namespace string) error {
	for _, kind := range []client.Object{&corev1.Secret{}, &v1alpha1.TokenRecord{}, &v1alpha1.AccessToken{}} {
		if err := l.admin.DeleteAllOf(ctx, kind, client.InNamespace(namespace)); err != nil {
			return fmt.Errorf("delete every %T in %s: %w", kind, namespace, err)
		}
	}
	return nil
}
