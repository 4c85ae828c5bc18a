package lastused_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lastused"
	"github.com/accesstoken-dev/accesstoken-operator/internal/store"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/objects"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

const (
	patience = 30 * time.Second
	often    = 10 * time.Millisecond

	// tick is how often a Recorder looks.
	tick = 250 * time.Millisecond

	ours = "accesstoken.dev"
)

// verifierConfig has the rights of the verifier's account.
func verifierConfig(t *testing.T) *rest.Config {
	t.Helper()
	config, err := testenv.ControlPlane(t).ServiceAccountConfig(t.Context(), operator.Namespace, operator.VerifierAccount)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	return config
}

// cluster is a namespace on the API server, and the time of its verifiers, which
// the test steps.
type cluster struct {
	t         *testing.T
	admin     client.Client
	namespace string
	clock     *clocktesting.FakeClock
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	return &cluster{t: t, admin: objects.ClientFor(t, testenv.Config(t)), namespace: testenv.Namespace(t), clock: clocktesting.NewFakeClock(clock.RealClock{}.Now())}
}

// issue makes an AccessToken and the record of its first token.
func (c *cluster) issue(name string, changes ...func(*v1alpha1.TokenRecord)) (presented string, key client.ObjectKey) {
	c.t.Helper()
	at := &v1alpha1.AccessToken{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: name}}
	if err := c.admin.Create(c.t.Context(), at); err != nil {
		c.t.Error(err)
		return "", key
	}
	rec, presented := mint.Default().Declared(c.t, at, clock.RealClock{}.Now(), changes...)
	if err := c.admin.Create(c.t.Context(), rec); err != nil {
		c.t.Error(err)
	}
	return presented, client.ObjectKeyFromObject(rec)
}

func (c *cluster) status(key client.ObjectKey) v1alpha1.TokenRecordStatus {
	c.t.Helper()
	rec := &v1alpha1.TokenRecord{}
	if err := c.admin.Get(c.t.Context(), key, rec); err != nil {
		c.t.Fatal(err)
	}
	return rec.Status
}

func (c *cluster) lastUsed(key client.ObjectKey) time.Time {
	c.t.Helper()
	at, err := c.status(key).LastUsedAt.Parse()
	if err != nil {
		return time.Time{}
	}
	return at
}

// pass lets the clock run, in steps of real time, until something is so.
func (c *cluster) pass(what string, so func() bool) {
	c.t.Helper()
	gomega.NewWithT(c.t).Eventually(func() bool {
		c.clock.Step(tick)
		return so()
	}).WithTimeout(patience).WithPolling(often).Should(gomega.BeTrue(), what)
}

// replica is what of a verifier notes uses: a store fed by watches, a decider and
// a recorder.
type replica struct {
	*cluster
	store    *store.Store
	recorder *lastused.Recorder
	around   verify.Verifier
	writes   atomic.Int64
	outcomes sync.Map // lastused.Outcome to *atomic.Int64
	before   func()   // comes before each write
	writer   lastused.Writer
	end      context.CancelFunc // of the recorder, in order
}

// WriteUse implements lastused.Writer.
func (r *replica) WriteUse(ctx context.Context, use lastused.Use) error {
	r.writes.Add(1)
	if r.before != nil {
		r.before()
	}
	return r.writer.WriteUse(ctx, use)
}

func (r *replica) outcome(o lastused.Outcome) *atomic.Int64 {
	count, _ := r.outcomes.LoadOrStore(o, &atomic.Int64{})
	return count.(*atomic.Int64)
}

// start starts a replica, whose recorder runs until the end of the test or of the
// replica.
func (c *cluster) start() *replica {
	c.t.Helper()
	return c.startWith(lastused.Options{Clock: c.clock})
}

func (c *cluster) startWith(options lastused.Options) *replica {
	c.t.Helper()
	config := verifierConfig(c.t)
	r := &replica{cluster: c, writer: lastused.NewWriter(objects.ClientFor(c.t, config))}
	r.store = store.New(store.Options{Opener: mint.Default().Opener(), Clock: clock.RealClock{}})
	watches := &store.Watches{
		Store: r.store, Keys: func(*corev1.Secret) {}, KeyNamespace: operator.Namespace,
		Freshness: &store.Freshness{}, Clock: clock.RealClock{},
	}
	options.Index, options.Writer = r.store, r
	options.Observe = func(o lastused.Outcome) { r.outcome(o).Add(1) }
	r.recorder = lastused.New(options)
	r.around = r.recorder.Around(&verify.Decider{
		Index: r.store, Fresh: func(time.Time) error { return nil }, Clock: options.Clock, DefaultAudience: ours,
	})
	var group sync.WaitGroup
	watching, stopWatching := context.WithCancel(context.Background())
	recording, stopRecording := context.WithCancel(context.Background())
	r.end = stopRecording
	group.Go(func() { _ = watches.Run(watching, config) })
	group.Go(func() { _ = r.recorder.Start(recording) })
	c.t.Cleanup(func() {
		stopRecording()
		stopWatching()
		// A recorder goes on until what is left is written, or its time is up.
		done := make(chan struct{})
		go func() {
			group.Wait()
			close(done)
		}()
		gomega.NewWithT(c.t).Eventually(func() <-chan struct{} {
			c.clock.Step(tick)
			return done
		}).WithTimeout(patience).WithPolling(often).Should(gomega.BeClosed())
	})
	return r
}

// use presents a token.
func (r *replica) use(presented string) verify.Verdict {
	r.t.Helper()
	verdict, err := r.around.Verify(context.Background(), verify.Request{
		Token: presented, Audiences: []string{ours}, Protocol: verify.ProtocolForwardAuth, UserAgent: "curl/8.14.1", Host: "git.example.com",
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return verdict
}

// probe asks whether a token is good, without using it.
func (r *replica) probe(presented string) verify.Reason {
	r.t.Helper()
	verdict, err := r.around.Verify(context.Background(), verify.Request{Token: presented, Audiences: []string{ours}, Probe: true})
	if err != nil {
		r.t.Fatal(err)
	}
	return verdict.Reason
}

// knows waits until the replica knows a token and its owner.
func (r *replica) knows(key client.ObjectKey) {
	r.t.Helper()
	id, err := token.ParseID(key.Name)
	if err != nil {
		r.t.Fatal(err)
	}
	gomega.NewWithT(r.t).Eventually(func() bool {
		known := r.store.Lookup(id)
		return known != nil && known.Owner().State() == verify.StateLive && known.Owner().Namespace().State() == verify.StateLive
	}).WithTimeout(patience).WithPolling(often).Should(gomega.BeTrue())
}

func TestUseAtOneReplicaExtendsATokenAtAnother(t *testing.T) {
	g := gomega.NewWithT(t)
	c := newCluster(t)
	presented, key := c.issue("deploy", mint.Sliding(10*time.Minute, 2*time.Hour))
	unused, unusedKey := c.issue("unused", mint.Sliding(10*time.Minute, 2*time.Hour))
	a, b := c.start(), c.start()
	for _, r := range []*replica{a, b} {
		r.knows(key)
		r.knows(unusedKey)
	}
	for range 12 { // a use each 8 minutes, which is more than an hour and a half
		c.clock.Step(8 * time.Minute)
		g.Expect(a.use(presented).Active()).To(gomega.BeTrue())
		used := c.clock.Now()
		c.pass("the use is written", func() bool { return !c.lastUsed(key).Before(used.Truncate(time.Second)) })
		id, _ := token.ParseID(key.Name)
		for _, r := range []*replica{a, b} {
			c.pass("the replica sees it", func() bool {
				at, _ := r.store.Lookup(id).LastUsedAt()
				return !at.Before(used.Truncate(time.Second))
			})
		}
		g.Expect(b.probe(presented)).To(gomega.BeEmpty())
	}
	g.Expect(b.probe(unused)).To(gomega.Equal(verify.ReasonExpired))
	g.Expect(b.writes.Load()).To(gomega.BeZero())
	status := c.status(key)
	g.Expect(status.LastUserAgent).To(gomega.Equal("curl/8.14.1"))
	g.Expect(status.LastUsedFor).To(gomega.Equal("ForwardAuth git.example.com"))
	g.Expect(status.LastUsedFrom).To(gomega.BeEmpty())
	c.clock.Step(40 * time.Minute)
	g.Expect(b.probe(presented)).To(gomega.Equal(verify.ReasonExpired), "past its hard end")
}

func TestManyUsesAreOneWrite(t *testing.T) {
	g := gomega.NewWithT(t)
	c := newCluster(t)
	presented, key := c.issue("deploy")
	r := c.start()
	r.knows(key)
	for range 1000 {
		g.Expect(r.use(presented).Active()).To(gomega.BeTrue())
	}
	c.pass("the use is written", func() bool { return r.outcome(lastused.OutcomeWritten).Load() == 1 })
	for range 60 { // 9 minutes
		for range 100 {
			r.use(presented)
		}
		c.clock.Step(9 * time.Second)
	}
	g.Expect(r.writes.Load()).To(gomega.BeEquivalentTo(1))
}

func TestAReplicaThatIsKilledLosesOnePeriodAtMost(t *testing.T) {
	g := gomega.NewWithT(t)
	c := newCluster(t)
	presented, key := c.issue("deploy")
	r := c.start()
	r.knows(key)
	for range 35 {
		r.use(presented)
		c.clock.Step(time.Minute)
		c.pass("what is due is written", func() bool { return r.recorder.Overdue() == 0 && !r.due(key) })
	}
	// From here on the recorder does nothing more, as one that was killed.
	lost := c.clock.Now().Sub(c.lastUsed(key))
	g.Expect(lost).To(gomega.BeNumerically("<=", lastused.DefaultVisibility+time.Minute))
	g.Expect(r.writes.Load()).To(gomega.BeNumerically("<=", 5))
}

// due says that a use is older than the period and not in the record that the
// replica knows.
func (r *replica) due(key client.ObjectKey) bool {
	id, _ := token.ParseID(key.Name)
	at, used := r.store.Lookup(id).LastUsedAt()
	return r.recorder.Pending() > 0 && (!used || r.clock.Now().Sub(at) > lastused.DefaultVisibility+time.Second)
}

func TestAWriteOfTheManagerMeanwhileIsKept(t *testing.T) {
	g := gomega.NewWithT(t)
	c := newCluster(t)
	presented, key := c.issue("deploy", mint.Sliding(time.Hour, 2*time.Hour))
	r := c.start()
	manager := objects.ClientFor(t, testenv.ManagerConfig(t))
	var once sync.Once
	r.before = func() {
		once.Do(func() {
			rec := &v1alpha1.TokenRecord{}
			if err := manager.Get(t.Context(), key, rec); err != nil {
				t.Error(err)
			}
			lower := int64(1800)
			changed := rec.DeepCopy()
			changed.Status.MaxAgeSeconds = &lower
			if err := manager.Status().Patch(t.Context(), changed, client.MergeFromWithOptions(rec, client.MergeFromWithOptimisticLock{})); err != nil {
				t.Error(err)
			}
		})
	}
	r.knows(key)
	r.use(presented)
	used := c.clock.Now()
	c.pass("the use is written", func() bool { return r.outcome(lastused.OutcomeWritten).Load() == 1 })
	status := c.status(key)
	g.Expect(r.outcome(lastused.OutcomeConflict).Load()).To(gomega.BeEquivalentTo(1))
	g.Expect(*status.MaxAgeSeconds).To(gomega.BeEquivalentTo(1800))
	g.Expect(c.lastUsed(key)).To(gomega.BeTemporally("~", used, time.Second))
}

func TestAThousandTokensCostTheBudgetAtMost(t *testing.T) {
	g := gomega.NewWithT(t)
	c := newCluster(t)
	const tokens, rate = 1000, lastused.DefaultWritesPerSecond
	presented, keys := make([]string, tokens), make([]client.ObjectKey, tokens)
	var issuing sync.WaitGroup
	next := make(chan int)
	for range 16 {
		issuing.Go(func() {
			for i := range next {
				presented[i], keys[i] = c.issue(fmt.Sprintf("deploy-%d", i))
			}
		})
	}
	for i := range tokens {
		next <- i
	}
	close(next)
	issuing.Wait()
	r := c.start()
	for _, key := range keys {
		r.knows(key)
	}
	began := c.clock.Now()
	for range 1000 {
		for _, each := range presented {
			r.use(each)
		}
	}
	most := func() float64 { return rate*(c.clock.Now().Sub(began).Seconds()) + rate*tick.Seconds() }
	c.pass("all are written", func() bool {
		g.Expect(float64(r.writes.Load())).To(gomega.BeNumerically("<=", most()))
		return r.outcome(lastused.OutcomeWritten).Load() == tokens
	})
	g.Expect(c.clock.Now().Sub(began)).To(gomega.BeNumerically(">=", (tokens/rate-1)*time.Second))
	for _, key := range keys[:10] {
		g.Expect(c.lastUsed(key)).To(gomega.BeTemporally("~", began, time.Second))
	}
}

func TestAtTheEndOfAReplicaAllIsWritten(t *testing.T) {
	c := newCluster(t)
	presented, key := c.issue("deploy", mint.Sliding(24*time.Hour, 100*time.Hour))
	r := c.start()
	r.knows(key)
	r.use(presented)
	c.pass("the first use is written", func() bool { return r.outcome(lastused.OutcomeWritten).Load() == 1 })
	c.clock.Step(time.Minute)
	r.use(presented)
	used := c.clock.Now()
	r.end()
	c.pass("the last use is written", func() bool { return !c.lastUsed(key).Before(used.Truncate(time.Second)) })
}

// TestConcurrentVerifyWatchAndFlush is for the race detector: two replicas in real
// time, and a manager that writes too.
func TestConcurrentVerifyWatchAndFlush(t *testing.T) {
	g := gomega.NewWithT(t)
	c := newCluster(t)
	presented, key := c.issue("deploy", mint.Sliding(time.Minute, time.Hour))
	inRealTime := lastused.Options{Clock: clock.RealClock{}, Visibility: time.Second}
	a, b := c.startWith(inRealTime), c.startWith(inRealTime)
	a.knows(key)
	b.knows(key)
	manager := objects.ClientFor(t, testenv.ManagerConfig(t))
	using, stop := context.WithCancel(t.Context())
	var users sync.WaitGroup
	var uses, refused atomic.Int64
	for _, r := range []*replica{a, b} {
		for range 2 {
			users.Go(func() {
				for using.Err() == nil {
					uses.Add(1)
					if !r.use(presented).Active() {
						refused.Add(1)
					}
				}
			})
		}
	}
	var managed int64
	g.Eventually(func(g gomega.Gomega) {
		managed++
		lower := 60 - managed/10
		patch := fmt.Appendf(nil, `{"status":{"maxAgeSeconds":%d}}`, max(lower, 30))
		rec := &v1alpha1.TokenRecord{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
		g.Expect(manager.Status().Patch(t.Context(), rec, client.RawPatch(types.MergePatchType, patch))).To(gomega.Succeed())
		g.Expect(a.outcome(lastused.OutcomeWritten).Load() + b.outcome(lastused.OutcomeWritten).Load()).To(gomega.BeNumerically(">=", 4))
	}).WithTimeout(patience).WithPolling(tick).Should(gomega.Succeed())
	stop()
	users.Wait()
	g.Expect(refused.Load()).To(gomega.BeZero())
	g.Expect(a.writes.Load() + b.writes.Load()).To(gomega.BeNumerically("<", uses.Load()/10))
}
