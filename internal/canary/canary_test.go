package canary_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/canary"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/objects"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

const (
	policySecrets = "accesstoken-manager-secrets.accesstoken.dev"
	policyRecords = "accesstoken-records.accesstoken.dev"

	// A policy takes effect about a second after it was written, on a machine
	// that has time.
	patience = 20 * time.Second
	often    = 50 * time.Millisecond
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(testenv.Run(m))
}

// log keeps what a canary says.
type log struct{ lines []string }

func newCanary(t *testing.T, config *rest.Config, own string, ticker clock.WithTicker) (*canary.Canary, *log) {
	t.Helper()
	kept := &log{}
	logger := funcr.New(func(_, line string) { kept.lines = append(kept.lines, line) }, funcr.Options{})
	return canary.New(objects.ClientFor(t, config), own, ticker, logger), kept
}

// unbind removes the binding of a policy until the test ends.
func unbind(t *testing.T, policy string) (bind func()) {
	t.Helper()
	g := gomega.NewWithT(t)
	admin := objects.ClientFor(t, testenv.Config(t))
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{}
	g.Expect(admin.Get(t.Context(), client.ObjectKey{Name: policy}, binding)).To(gomega.Succeed())
	g.Expect(admin.Delete(t.Context(), binding.DeepCopy())).To(gomega.Succeed())
	binding.ResourceVersion, binding.UID = "", ""
	bind = func() {
		// AlreadyExists where the test bound it itself.
		_ = client.IgnoreAlreadyExists(admin.Create(context.WithoutCancel(t.Context()), binding.DeepCopy()))
	}
	t.Cleanup(func() {
		bind()
		awaitPolicies(t)
	})
	return bind
}

// awaitPolicies waits until all is in force again, for the tests to come.
func awaitPolicies(t *testing.T) {
	t.Helper()
	c, _ := newCanary(t, managerConfig(t), operator.Namespace, clock.RealClock{})
	gomega.NewWithT(t).Eventually(func() error { return c.Try(context.WithoutCancel(t.Context())) }).
		WithTimeout(patience).WithPolling(often).Should(gomega.Succeed())
}

// managerConfig has the manager's rights. It is asked for once, since a test
// that ended can ask no more.
func managerConfig(t *testing.T) *rest.Config {
	t.Helper()
	if theManager == nil {
		theManager = testenv.ManagerConfig(t)
	}
	return theManager
}

var theManager *rest.Config

func TestReadyWhileBothPoliciesRefuse(t *testing.T) {
	for _, own := range []string{operator.Namespace, "another"} {
		g := gomega.NewWithT(t)
		c, kept := newCanary(t, managerConfig(t), own, clock.RealClock{})
		g.Expect(c.Check(nil)).To(gomega.MatchError("the admission policies were not tried yet"))
		g.Expect(c.Try(t.Context())).To(gomega.Succeed())
		g.Expect(c.Try(t.Context())).To(gomega.Succeed())
		g.Expect(c.Check(nil)).To(gomega.Succeed())
		g.Expect(kept.lines).To(gomega.HaveLen(1), "it says so once")
		g.Expect(c.NeedLeaderElection()).To(gomega.BeFalse(), "a standby proves that it could act")
	}
}

func TestNotReadyWithoutAPolicy(t *testing.T) {
	for policy, what := range map[string]string{
		policySecrets: "the manager could have created a Secret that no AccessToken controls",
		policyRecords: "the manager could have created a TokenRecord that is a canary",
	} {
		t.Run(policy, func(t *testing.T) {
			g := gomega.NewWithT(t)
			c, kept := newCanary(t, managerConfig(t), operator.Namespace, clock.RealClock{})
			bind := unbind(t, policy)
			g.Eventually(func() error { return c.Try(t.Context()) }).WithTimeout(patience).WithPolling(often).
				Should(gomega.MatchError(gomega.ContainSubstring("%s: the ValidatingAdmissionPolicy %s or its binding is missing", what, policy)))
			g.Expect(c.Try(t.Context())).NotTo(gomega.Succeed())
			g.Expect(c.Check(nil)).To(gomega.MatchError(gomega.ContainSubstring(policy)))
			bind()
			g.Eventually(func() error { return c.Try(t.Context()) }).WithTimeout(patience).WithPolling(often).Should(gomega.Succeed())
			g.Expect(c.Check(nil)).To(gomega.Succeed())
			g.Expect(strings.Count(strings.Join(kept.lines, "\n"), "not ready")).To(gomega.Equal(1), "%q", kept.lines)
		})
	}
}

func TestNothingIsCreated(t *testing.T) {
	g := gomega.NewWithT(t)
	admin := objects.ClientFor(t, testenv.Config(t))
	// What no policy binds is refused nothing: an administrator.
	c, _ := newCanary(t, testenv.Config(t), operator.Namespace, clock.RealClock{})
	g.Expect(c.Try(t.Context())).To(gomega.MatchError(gomega.ContainSubstring("is missing")))
	secrets, records := &corev1.SecretList{}, &v1alpha1.TokenRecordList{}
	g.Expect(admin.List(t.Context(), secrets, client.InNamespace(metav1.NamespaceDefault))).To(gomega.Succeed())
	g.Expect(admin.List(t.Context(), records)).To(gomega.Succeed())
	g.Expect(secrets.Items).To(gomega.BeEmpty())
	g.Expect(records.Items).To(gomega.BeEmpty())
}

// TestRefusedByRBACIsNoProof has RBAC refuse what the policy should.
func TestRefusedByRBACIsNoProof(t *testing.T) {
	g := gomega.NewWithT(t)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "powerless"}}
	g.Expect(objects.ClientFor(t, testenv.Config(t)).Create(t.Context(), account)).To(gomega.Succeed())
	powerless, err := testenv.ControlPlane(t).ServiceAccountConfig(t.Context(), account.Namespace, account.Name)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	c, kept := newCanary(t, powerless, operator.Namespace, clock.RealClock{})
	g.Expect(c.Try(t.Context())).To(gomega.MatchError(gomega.MatchRegexp(
		`^try the admission policy %s: secrets is forbidden: User "system:serviceaccount:default:powerless" cannot create`, policySecrets)))
	g.Expect(c.Check(nil)).NotTo(gomega.Succeed())
	g.Expect(kept.lines).To(gomega.HaveLen(1))
	g.Expect(c.Try(t.Context())).NotTo(gomega.Succeed())
	g.Expect(kept.lines).To(gomega.HaveLen(1), "the same trouble is told once")
}

// TestTriedElsewhereThanInItsOwnNamespace has the operator live in default,
// where the policy does not bind it.
func TestTriedElsewhereThanInItsOwnNamespace(t *testing.T) {
	g := gomega.NewWithT(t)
	admin := objects.ClientFor(t, testenv.Config(t))
	policy := &admissionv1.ValidatingAdmissionPolicy{}
	g.Expect(admin.Get(t.Context(), client.ObjectKey{Name: policySecrets}, policy)).To(gomega.Succeed())
	asItWas := policy.DeepCopy()
	for i, condition := range policy.Spec.MatchConditions {
		policy.Spec.MatchConditions[i].Expression = strings.Replace(condition.Expression, "request.namespace != '"+operator.Namespace+"'", "request.namespace != 'default'", 1)
	}
	g.Expect(policy.Spec).NotTo(gomega.Equal(asItWas.Spec))
	g.Expect(admin.Patch(t.Context(), policy, client.MergeFrom(asItWas))).To(gomega.Succeed())
	t.Cleanup(func() {
		restored := policy.DeepCopy()
		restored.Spec = asItWas.Spec
		gomega.NewWithT(t).Expect(admin.Patch(context.WithoutCancel(t.Context()), restored, client.MergeFrom(policy))).To(gomega.Succeed())
		awaitPolicies(t)
	})

	inDefault, _ := newCanary(t, managerConfig(t), "another", clock.RealClock{})
	g.Eventually(func() error { return inDefault.Try(t.Context()) }).WithTimeout(patience).WithPolling(often).ShouldNot(gomega.Succeed(), "the policy is relaxed")
	c, _ := newCanary(t, managerConfig(t), metav1.NamespaceDefault, clock.RealClock{})
	g.Expect(c.Try(t.Context())).To(gomega.Succeed())
}

// TestItIsTriedEachMinuteAndEachSecondInTrouble runs the loop on a clock of its
// own.
func TestItIsTriedEachMinuteAndEachSecondInTrouble(t *testing.T) {
	g := gomega.NewWithT(t)
	ticker := clocktesting.NewFakeClock(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))
	c, _ := newCanary(t, managerConfig(t), operator.Namespace, ticker)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Start(ctx) }()
	waiting := func() {
		g.Eventually(ticker.HasWaiters).WithTimeout(patience).WithPolling(often).Should(gomega.BeTrue())
	}

	waiting()
	g.Expect(c.Check(nil)).To(gomega.Succeed())
	bind := unbind(t, policySecrets)
	probe, _ := newCanary(t, managerConfig(t), operator.Namespace, ticker)
	g.Eventually(func() error { return probe.Try(t.Context()) }).WithTimeout(patience).WithPolling(often).ShouldNot(gomega.Succeed())

	ticker.Step(time.Minute - time.Second)
	g.Expect(ticker.HasWaiters()).To(gomega.BeTrue(), "it waits a minute")
	g.Expect(c.Check(nil)).To(gomega.Succeed(), "it was not tried yet")
	ticker.Step(time.Second)
	waiting()
	g.Expect(c.Check(nil)).NotTo(gomega.Succeed())

	bind()
	g.Eventually(func() error { return probe.Try(t.Context()) }).WithTimeout(patience).WithPolling(often).Should(gomega.Succeed())
	ticker.Step(time.Second)
	waiting()
	g.Expect(c.Check(nil)).To(gomega.Succeed())

	cancel()
	g.Eventually(ended).WithTimeout(patience).Should(gomega.Receive(gomega.BeNil()))
}
