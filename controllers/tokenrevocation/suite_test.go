package tokenrevocation_test

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/controllers/tokenrevocation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/metrics"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/objects"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

const (
	patience = 30 * time.Second
	often    = 50 * time.Millisecond
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(testenv.Run(m))
}

// world is a namespace, and a reconciler with the manager's rights and a clock of
// its own. No operator runs.
type world struct {
	*testing.T
	*gomega.WithT
	namespace  string
	admin      client.Client
	writes     *writes
	clock      *clocktesting.FakePassiveClock
	events     *events.FakeRecorder
	reconciler *tokenrevocation.Reconciler
}

func newWorld(t *testing.T) *world {
	t.Helper()
	manager := objects.ClientFor(t, testenv.ManagerConfig(t))
	counters, err := metrics.NewLifecycle(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		T: t, WithT: gomega.NewWithT(t), namespace: testenv.Namespace(t), admin: objects.ClientFor(t, testenv.Config(t)), writes: &writes{Client: manager},
		clock:  clocktesting.NewFakePassiveClock(clock.RealClock{}.Now()), // as the API server's
		events: events.NewFakeRecorder(100),
	}
	w.reconciler = &tokenrevocation.Reconciler{Client: w.writes, Live: manager, Recorder: w.events, Metrics: counters, Clock: w.clock}
	return w
}

// record makes a record of this revision of an AccessToken, sealed with no key
// that anybody has.
func (w *world) record(name string, revision int64, edits ...func(*v1alpha1.TokenRecord)) *v1alpha1.TokenRecord {
	w.T.Helper()
	rec := mint.Unsealed(w.namespace, name, mint.UID(w.namespace, name), revision, w.clock.Now())
	for _, edit := range edits {
		edit(rec)
	}
	mint.Default().Seal(w.T, rec)
	status := rec.Status
	rec.ResourceVersion, rec.CreationTimestamp = "", metav1.Time{}
	w.Expect(w.admin.Create(w.Context(), rec)).To(gomega.Succeed())
	if status == (v1alpha1.TokenRecordStatus{}) {
		return rec
	}
	rec.Status = status
	w.Expect(w.admin.Status().Update(w.Context(), rec)).To(gomega.Succeed())
	return rec
}

// status is that of a record as it is now.
func (w *world) status(rec *v1alpha1.TokenRecord) v1alpha1.TokenRecordStatus {
	w.T.Helper()
	w.Expect(w.admin.Get(w.Context(), client.ObjectKeyFromObject(rec), rec)).To(gomega.Succeed())
	return rec.Status
}

// revoke makes a TokenRevocation.
func (w *world) revoke(name string, spec v1alpha1.RevocationSpec) *v1alpha1.TokenRevocation {
	w.T.Helper()
	made := &v1alpha1.TokenRevocation{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec:       v1alpha1.TokenRevocationSpec{RevocationSpec: spec},
	}
	w.Expect(w.admin.Create(w.Context(), made)).To(gomega.Succeed())
	return made
}

// copies are those of TokenRevocations of the namespace.
func (w *world) copies() (copies []v1alpha1.ClusterTokenRevocation) {
	w.T.Helper()
	list := &v1alpha1.ClusterTokenRevocationList{}
	w.Expect(w.admin.List(w.Context(), list)).To(gomega.Succeed())
	for _, each := range list.Items {
		if each.Spec.Namespace == w.namespace {
			copies = append(copies, each)
		}
	}
	return copies
}

// reconcile does a pass, reads the object anew if it is there, and returns when
// to look again.
func (w *world) reconcile(object client.Object) (time.Duration, error) {
	w.T.Helper()
	result, err := w.reconciler.Reconcile(w.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(object)})
	w.Expect(client.IgnoreNotFound(w.admin.Get(w.Context(), client.ObjectKeyFromObject(object), object))).To(gomega.Succeed())
	return result.RequeueAfter, err
}

func (w *world) exists(object client.Object) bool {
	w.T.Helper()
	err := w.admin.Get(w.Context(), client.ObjectKeyFromObject(object), object)
	w.Expect(client.IgnoreNotFound(err)).To(gomega.Succeed())
	return err == nil
}

var errStopped = errors.New("the process was stopped")

// writes counts writes, and stops the process after one of them. Those that are made
// side by side come one after the other.
type writes struct {
	client.Client
	one    sync.Mutex
	count  int
	stopAt int // the write after which nothing more is written; 0: never
}

func (c *writes) do(write func() error) error {
	c.one.Lock()
	defer c.one.Unlock()
	if c.stopAt > 0 && c.count >= c.stopAt {
		return errStopped
	}
	c.count++
	err := write()
	if c.count == c.stopAt {
		return errStopped // whoever wrote does not learn what came of it
	}
	return err
}

func (c *writes) Create(ctx context.Context, object client.Object, options ...client.CreateOption) error {
	return c.do(func() error { return c.Client.Create(ctx, object, options...) })
}

func (c *writes) Delete(ctx context.Context, object client.Object, options ...client.DeleteOption) error {
	return c.do(func() error { return c.Client.Delete(ctx, object, options...) })
}

func (c *writes) Status() client.SubResourceWriter { return statusWrites{c.Client.Status(), c} }

type statusWrites struct {
	client.SubResourceWriter
	of *writes
}

func (s statusWrites) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
	return s.of.do(func() error { return s.SubResourceWriter.Patch(ctx, object, patch, options...) })
}

// lagging shows records as a cache does that is behind.
type lagging struct {
	*writes
	records []v1alpha1.TokenRecord
}

func (c *lagging) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if shown, ok := list.(*v1alpha1.TokenRecordList); ok {
		shown.Items = c.records
		return nil
	}
	return c.writes.List(ctx, list, options...)
}
