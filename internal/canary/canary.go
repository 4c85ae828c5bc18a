package canary

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

const (
	name = "accesstoken-canary"

	interval = time.Minute
	retry    = time.Second

	policySecrets = "accesstoken-manager-secrets." + v1alpha1.Group
	policyRecords = "accesstoken-records." + v1alpha1.Group
)

// Canary tries what the policies have to refuse, once a minute.
type Canary struct {
	live      client.Client
	namespace string
	clock     clock.WithTicker
	log       logr.Logger
	verdict   atomic.Pointer[error]
}

// New makes a canary that writes with live, which goes to the API server
// without a cache. Own is the operator's namespace, in which its account is not
// bound.
func New(live client.Client, own string, ticker clock.WithTicker, log logr.Logger) *Canary {
	c := &Canary{live: client.NewDryRunClient(live), namespace: elsewhere(own), clock: ticker, log: log}
	pending := fmt.Errorf("the admission policies were not tried yet")
	c.verdict.Store(&pending)
	return c
}

// elsewhere is a namespace that every cluster has, that nobody can delete, and
// that is not the operator's own.
func elsewhere(own string) string {
	if own == metav1.NamespaceDefault {
		return metav1.NamespaceSystem
	}
	return metav1.NamespaceDefault
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: a standby proves
// that it could act.
func (c *Canary) NeedLeaderElection() bool { return false }

// Start tries until the context ends.
func (c *Canary) Start(ctx context.Context) error {
	for {
		wait := interval
		if c.Try(ctx) != nil {
			wait = retry
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.clock.After(wait):
		}
	}
}

// Check is a readiness check: nil while both policies refuse.
func (c *Canary) Check(*http.Request) error { return *c.verdict.Load() }

// Try tries both policies now.
func (c *Canary) Try(ctx context.Context) error {
	err := c.try(ctx)
	before := *c.verdict.Swap(&err)
	switch {
	case err == nil && before != nil:
		c.log.Info("the admission policies are in force")
	case err != nil && ctx.Err() == nil && (before == nil || before.Error() != err.Error()):
		c.log.Error(err, "not ready")
	}
	return err
}

func (c *Canary) try(ctx context.Context) error {
	unowned := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: c.namespace}}
	if err := refused(c.live.Create(ctx, unowned), policySecrets, "a Secret that no AccessToken controls"); err != nil {
		return err
	}
	return refused(c.live.Create(ctx, canaryRecord(c.namespace)), policyRecords, "a TokenRecord that is a canary")
}

// refused says nothing when the policy forbade what it has to forbid. The API
// server names the policy in its message and nowhere else; a refusal for another
// reason, such as missing RBAC, proves nothing.
func refused(err error, policy, what string) error {
	switch {
	case err == nil:
		return fmt.Errorf("the manager could have created %s: the ValidatingAdmissionPolicy %s or its binding is missing, apply the policies that this release ships", what, policy)
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), policy):
		return nil
	}
	return fmt.Errorf("try the admission policy %s: %w", policy, err)
}

func canaryRecord(namespace string) *v1alpha1.TokenRecord {
	now := v1alpha1.NewTimestamp(time.Unix(0, 0))
	return &v1alpha1.TokenRecord{
		ObjectMeta: metav1.ObjectMeta{
			Name: token.DeclaredID(name, 1), Namespace: namespace,
			Annotations: map[string]string{v1alpha1.AnnotationCanary: "true"},
		},
		Spec: v1alpha1.TokenRecordSpec{
			Origin:   v1alpha1.OriginDeclared,
			Subject:  v1alpha1.Subject{Kind: v1alpha1.SubjectKindAccessToken, Name: v1alpha1.PrincipalPrefix + namespace + ":" + name},
			IssuedAt: now, KeyID: name, Hash: strings.Repeat("0", 64), Seal: strings.Repeat("0", 64),
		},
	}
}
