package delegation_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/delegation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/objects"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

const (
	subjectPolicy = "accesstoken-subject.accesstoken.dev"
	patience      = 20 * time.Second
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(testenv.Run(m))
}

// world is an administrator, and a manager with its rights and its clock.
type world struct {
	gomega.Gomega
	t       *testing.T
	admin   client.Client
	clock   *clocktesting.FakeClock
	checker *delegation.Checker
}

// newWorld begins without a note.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Gomega: gomega.NewWithT(t), t: t, admin: objects.ClientFor(t, testenv.Config(t))}
	w.clock = clocktesting.NewFakeClock(w.policy().CreationTimestamp.Add(time.Hour))
	w.checker = &delegation.Checker{Live: objects.ClientFor(t, testenv.ManagerConfig(t)), Namespace: operator.Namespace, Clock: w.clock}
	w.Expect(client.IgnoreNotFound(w.admin.Delete(t.Context(), w.note()))).To(gomega.Succeed())
	return w
}

func (w *world) note() *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: operator.Namespace, Name: delegation.WitnessName}}
}

// noted is what is written about the policies; nil where nothing is.
func (w *world) noted() map[string]string {
	w.t.Helper()
	note := w.note()
	w.Expect(client.IgnoreNotFound(w.admin.Get(w.t.Context(), client.ObjectKeyFromObject(note), note))).To(gomega.Succeed())
	return note.Data
}

// since is since when the policy is in force, as it is noted.
func (w *world) since() string {
	w.t.Helper()
	fields := strings.Fields(w.noted()["policy."+subjectPolicy])
	w.Expect(fields).To(gomega.HaveLen(3))
	return fields[2]
}

func (w *world) policy() *admissionv1.ValidatingAdmissionPolicy {
	w.t.Helper()
	policy := &admissionv1.ValidatingAdmissionPolicy{}
	w.Expect(w.admin.Get(context.WithoutCancel(w.t.Context()), client.ObjectKey{Name: subjectPolicy}, policy)).To(gomega.Succeed())
	return policy
}

// otherRelease makes the policy be one that this release does not ship, until the
// function that it returns is called.
func (w *world) otherRelease() (upgrade func()) {
	w.t.Helper()
	shipped := w.policy().Spec.Validations
	set := func(validations []admissionv1.Validation) {
		policy := w.policy()
		before := policy.DeepCopy()
		policy.Spec.Validations = validations
		w.Expect(w.admin.Patch(context.WithoutCancel(w.t.Context()), policy, client.MergeFrom(before))).To(gomega.Succeed())
	}
	set(shipped[:1])
	upgrade = sync.OnceFunc(func() { set(shipped) })
	w.t.Cleanup(upgrade)
	return upgrade
}

func (w *world) sight() []*delegation.Refusal {
	w.t.Helper()
	refusals, err := w.checker.Sight(w.t.Context())
	w.Expect(err).NotTo(gomega.HaveOccurred())
	return refusals
}

func TestTheLookoutNotesThePoliciesAtOnceAndEachMinute(t *testing.T) {
	w := newWorld(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	lookout := &delegation.Lookout{Checker: w.checker, Clock: w.clock, Log: logr.Discard()}
	go func() { ended <- lookout.Start(ctx) }()
	for range 2 {
		w.Eventually(w.noted).WithTimeout(patience).Should(gomega.HaveLen(8))
		for _, name := range []string{"creator", "subject", "reserved-scopes", "without-expiry"} {
			w.Expect(w.noted()).To(gomega.HaveKey("policy.accesstoken-" + name + ".accesstoken.dev"))
			w.Expect(w.noted()).To(gomega.HaveKey("binding.accesstoken-" + name + ".accesstoken.dev"))
		}
		w.Eventually(w.clock.HasWaiters).WithTimeout(patience).Should(gomega.BeTrue())
		w.Expect(w.admin.Delete(t.Context(), w.note())).To(gomega.Succeed())
		w.clock.Step(time.Minute)
	}
	w.Eventually(w.clock.HasWaiters).WithTimeout(patience).Should(gomega.BeTrue())
	stop()
	w.Eventually(ended).WithTimeout(patience).Should(gomega.Receive(gomega.Succeed()))
	w.Expect(lookout.NeedLeaderElection()).To(gomega.BeTrue(), "the note has one writer")
}

func TestTheLookoutTellsOnceWhatIsWrong(t *testing.T) {
	w := newWorld(t)
	w.otherRelease()
	var lines []string
	looked := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	lookout := &delegation.Lookout{Checker: w.checker, Clock: w.clock, Log: funcr.New(func(_, line string) { lines = append(lines, line) }, funcr.Options{})}
	go func() {
		defer close(looked)
		_ = lookout.Start(ctx)
	}()
	for range 3 {
		w.Eventually(w.clock.HasWaiters).WithTimeout(patience).Should(gomega.BeTrue())
		w.clock.Step(time.Minute)
	}
	w.Eventually(w.clock.HasWaiters).WithTimeout(patience).Should(gomega.BeTrue())
	stop()
	<-looked
	w.Expect(lines).To(gomega.ConsistOf(gomega.ContainSubstring(subjectPolicy + " or its binding is not as this release ships it")))
	w.Expect(w.noted()).To(gomega.HaveLen(6), "the others are noted")
}

func TestAnUpgradeThatChangesAPolicyLeavesItInForce(t *testing.T) {
	w := newWorld(t)
	upgrade := w.otherRelease()
	w.sight()
	created := string(v1alpha1.NewTimestamp(w.policy().CreationTimestamp.Time))
	note := w.note()
	w.Expect(w.admin.Get(t.Context(), client.ObjectKeyFromObject(note), note)).To(gomega.Succeed())
	// As the lookout of that release wrote it.
	note.Data["policy."+subjectPolicy] = fmt.Sprintf("%s %d %s", w.policy().UID, w.policy().Generation, created)
	w.Expect(w.admin.Update(t.Context(), note)).To(gomega.Succeed())

	upgrade()
	w.Expect(w.sight()).To(gomega.BeEmpty())
	w.Expect(w.since()).To(gomega.Equal(created))
}

func TestWhatNobodyWatchedCountsFromItsFirstSightingOn(t *testing.T) {
	w := newWorld(t)
	w.otherRelease()()
	w.Expect(w.sight()).To(gomega.BeEmpty())
	since, err := v1alpha1.Timestamp(w.since()).Parse()
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(since).To(gomega.BeTemporally("~", w.clock.Now().Add(30*time.Second), time.Second))
	w.clock.Step(time.Hour)
	w.sight()
	w.Expect(w.since()).To(gomega.Equal(string(v1alpha1.NewTimestamp(since))), "and not from a later one on")
}

func TestAGapBetweenTwoSightingsIsSeen(t *testing.T) {
	w := newWorld(t)
	w.sight()
	before := w.noted()
	end := w.otherRelease()
	refusals := w.sight()
	w.Expect(refusals).To(gomega.HaveLen(1))
	w.Expect(refusals[0].Message).To(gomega.ContainSubstring("is not as this release ships it"))
	w.Expect(w.noted()).To(gomega.Equal(before), "what is not in force is not noted")
	end()
	w.Expect(w.sight()).To(gomega.BeEmpty())
	w.Expect(w.since() > string(v1alpha1.NewTimestamp(w.clock.Now()))).To(gomega.BeTrue())
}

func TestARefusalSaysFromWhenOnPoliciesCount(t *testing.T) {
	created := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	clock := clocktesting.NewFakeClock(created)
	checker := &delegation.Checker{Clock: clock}
	for _, c := range []struct {
		power delegation.Power
		since time.Duration
		now   time.Duration
		want  string
	}{
		{delegation.ActingAs, 30 * time.Second, 0, "the admission policies that ask for the right to act as its subject count from 2026-11-01T12:00:35Z on, too late for this AccessToken: delete it, and create it again after that"},
		{delegation.ActingAs, 30 * time.Second, time.Minute, "the admission policies that ask for the right to act as its subject are in force since 2026-11-01T12:00:30Z, too late for this AccessToken: delete and create it again"},
		{delegation.WithoutExpiry, 0, time.Minute, "the admission policies that ask for the right to have a token without expiry are in force since 2026-11-01T12:00:00Z, too late for this AccessToken: give spec.maxAge an age such as 8760h, or delete and create it again"},
		{delegation.ReservedScopes, -5 * time.Second, time.Minute, ""},
	} {
		clock.SetTime(created.Add(c.now))
		said := ""
		if refusal := checker.Admitted(c.power, created.Add(c.since), created); refusal != nil {
			said = refusal.Message
		}
		if said != c.want {
			t.Errorf("since %s, at %s:\n got %s\nwant %s", c.since, c.now, said, c.want)
		}
	}
}

func TestAnotherPolicyThatRefusesTheCanaryIsNamed(t *testing.T) {
	w := newWorld(t)
	refuses := w.otherPolicy()
	live, err := client.NewWithWatch(testenv.ManagerConfig(t), client.Options{Scheme: w.admin.Scheme()})
	w.Expect(err).NotTo(gomega.HaveOccurred())
	// Of two policies that refuse, the API server names either.
	w.checker.Live = interceptor.NewClient(live, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			if _, canary := object.(*v1alpha1.AccessToken); canary {
				return refuses
			}
			return c.Create(ctx, object, options...)
		},
	})
	refusal, _, err := w.checker.InForce(t.Context(), "default", []delegation.Power{delegation.ActingAs})
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(refusal).NotTo(gomega.BeNil())
	w.Expect(refusal.Reason).To(gomega.Equal(v1alpha1.ReasonCreatorUnchecked))
	w.Expect(refusal.Message).To(gomega.And(
		gomega.ContainSubstring("another policy refused the dry run that "+subjectPolicy+" has to refuse"),
		gomega.ContainSubstring("ValidatingAdmissionPolicy 'team-label' with binding 'team-label' denied request: say which team")))
}

// otherPolicy is what the API server says of an AccessToken that somebody else's
// policy refuses, until the test ends.
func (w *world) otherPolicy() error {
	w.t.Helper()
	meta := metav1.ObjectMeta{Name: "team-label"}
	policy := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: meta, Spec: admissionv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{admissionv1.Create},
			Rule:       admissionv1.Rule{APIGroups: []string{v1alpha1.Group}, APIVersions: []string{"*"}, Resources: []string{"accesstokens"}},
		}}}},
		Validations: []admissionv1.Validation{{Expression: "'team' in object.metadata.?labels.orValue({})", Message: "say which team"}},
	}}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: meta, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: meta.Name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
	}}
	for _, object := range []client.Object{policy, binding} {
		w.Expect(w.admin.Create(w.t.Context(), object)).To(gomega.Succeed())
		w.t.Cleanup(func() {
			w.Expect(w.admin.Delete(context.WithoutCancel(w.t.Context()), object)).To(gomega.Succeed())
		})
	}
	var refused error
	w.Eventually(func() error {
		refused = w.admin.Create(w.t.Context(), &v1alpha1.AccessToken{ObjectMeta: metav1.ObjectMeta{Name: "own", Namespace: "default"}}, client.DryRunAll)
		return refused
	}).WithTimeout(patience).Should(gomega.MatchError(gomega.ContainSubstring("say which team")))
	return refused
}
