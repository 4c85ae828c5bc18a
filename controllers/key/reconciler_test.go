package key_test

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/controllers/key"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/keys"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/objects"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

const year = 365 * 24 * time.Hour

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(testenv.Run(m))
}

// replica is one manager's part in the keys, with the manager's rights.
type replica struct {
	*key.Reconciler
	keeper   *keys.Keeper
	ring     *keys.Ring
	events   *events.FakeRecorder
	reopened *int
}

// world is the key Secret, which is one, and a clock.
type world struct {
	t     *testing.T
	admin client.Client
	clock *clocktesting.FakePassiveClock
}

// newWorld begins without keys and without records.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, admin: objects.ClientFor(t, testenv.Config(t)), clock: clocktesting.NewFakePassiveClock(noon)}
	gomega.NewWithT(t).Expect(client.IgnoreNotFound(w.admin.Delete(t.Context(), w.empty()))).To(gomega.Succeed())
	return w
}

// empty is the key Secret without a key.
func (w *world) empty() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: operator.Namespace, Name: keys.SecretName}}
}

func (w *world) replica() replica {
	w.t.Helper()
	r := replica{ring: keys.NewRing(), events: events.NewFakeRecorder(100), reopened: new(int)}
	r.keeper = &keys.Keeper{
		Live: objects.ClientFor(w.t, testenv.ManagerConfig(w.t)), Namespace: operator.Namespace, MaxAge: year, Ring: r.ring,
		Clock: w.clock, Random: rand.Reader, Recorder: r.events, Log: logr.Discard(), Reopen: func() { *r.reopened++ },
	}
	r.Reconciler = &key.Reconciler{Keeper: r.keeper}
	return r
}

// reconcile does one pass that must succeed.
func (w *world) reconcile(r replica) ctrl.Result {
	w.t.Helper()
	result, err := r.Reconcile(w.t.Context(), ctrl.Request{})
	if err != nil {
		w.t.Fatal(err)
	}
	return result
}

// stored is the key Secret; nil when there is none.
func (w *world) stored() *corev1.Secret {
	w.t.Helper()
	secret := w.empty()
	err := w.admin.Get(w.t.Context(), client.ObjectKeyFromObject(secret), secret)
	if apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		w.t.Fatal(err)
	}
	return secret
}

// record stores a record until the test ends or forget is called.
func (w *world) record() (forget func()) {
	w.t.Helper()
	zeros := strings.Repeat("0", 64)
	object := &v1alpha1.TokenRecord{
		ObjectMeta: metav1.ObjectMeta{Namespace: testenv.Namespace(w.t), Name: token.DeclaredID("uid", 1)},
		Spec: v1alpha1.TokenRecordSpec{
			Origin: v1alpha1.OriginDeclared, Subject: v1alpha1.Subject{Kind: v1alpha1.SubjectKindAccessToken, Name: "accesstoken:ns:name"},
			IssuedAt: v1alpha1.NewTimestamp(noon), KeyID: "key", Hash: zeros, Seal: zeros,
		},
	}
	if err := w.admin.Create(w.t.Context(), object); err != nil {
		w.t.Fatal(err)
	}
	forget = func() {
		if err := client.IgnoreNotFound(w.admin.Delete(context.WithoutCancel(w.t.Context()), object)); err != nil {
			w.t.Error(err)
		}
	}
	w.t.Cleanup(forget)
	return forget
}

// happened are the events so far.
func (r replica) happened() []string {
	var found []string
	for {
		select {
		case event := <-r.events.Events:
			found = append(found, event)
		default:
			return found
		}
	}
}

func TestTheFirstKeyIsMadeOnce(t *testing.T) {
	g := gomega.NewWithT(t)
	w := newWorld(t)
	replicas := []replica{w.replica(), w.replica(), w.replica()}
	var group sync.WaitGroup
	for _, r := range replicas {
		group.Go(func() { w.reconcile(r) })
	}
	group.Wait()
	data := w.stored().Data
	g.Expect(data).To(gomega.HaveLen(1), "the API server lets one of them create it")
	for _, r := range replicas {
		g.Expect(w.reconcile(r).RequeueAfter).To(gomega.Equal(year))
		id, current, ok := r.ring.Current()
		g.Expect(ok).To(gomega.BeTrue())
		g.Expect(id).To(gomega.HavePrefix("20261124t120000z-"))
		g.Expect(data).To(gomega.HaveKeyWithValue(id, current[:]))
		g.Expect(*r.reopened).To(gomega.BeZero())
	}
}

func TestAKeyIsAddedWhenItIsDue(t *testing.T) {
	for name, test := range map[string]struct {
		request string
		due     time.Time
	}{
		"by age":                   {"", noon.Add(year)},
		"by request":               {"2026-11-24T12:00:01Z", noon.Add(time.Second)},
		"by a request to come":     {"2026-12-24T18:00:00Z", time.Date(2026, 12, 24, 18, 0, 0, 0, time.UTC)},
		"by one within the second": {"2026-11-24T12:00:00.7Z", noon.Add(time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			g := gomega.NewWithT(t)
			w := newWorld(t)
			r := w.replica()
			w.reconcile(r)
			first := w.stored()
			if test.request != "" {
				first.Annotations = map[string]string{keys.AnnotationRotateRequestedAt: test.request}
				g.Expect(w.admin.Update(t.Context(), first)).To(gomega.Succeed())
			}

			g.Expect(w.reconcile(r).RequeueAfter).To(gomega.Equal(test.due.Sub(noon)))
			w.clock.SetTime(test.due.Add(-1))
			g.Expect(w.reconcile(r).RequeueAfter).To(gomega.Equal(time.Duration(1)))
			g.Expect(w.stored().Data).To(gomega.HaveLen(1))
			w.clock.SetTime(test.due)
			w.reconcile(r)
			for range 3 {
				g.Expect(w.reconcile(r).RequeueAfter).To(gomega.Equal(year), "once")
			}
			second := w.stored().Data
			g.Expect(second).To(gomega.HaveLen(2))
			for id, material := range first.Data {
				g.Expect(second).To(gomega.HaveKeyWithValue(id, material), "the earlier key stays")
			}
			id, _, _ := r.ring.Current()
			g.Expect(first.Data).NotTo(gomega.HaveKey(id))
			g.Expect(*r.reopened).To(gomega.BeZero(), "nothing that opened before ceases to")
			g.Expect(r.happened()).To(gomega.ConsistOf(gomega.HavePrefix("Normal KeyRotated added key " + id)))
		})
	}
}

func TestOneDueMomentAddsOneKey(t *testing.T) {
	g := gomega.NewWithT(t)
	w := newWorld(t)
	replicas := []replica{w.replica(), w.replica(), w.replica()}
	for _, r := range replicas {
		w.reconcile(r)
	}
	w.clock.SetTime(noon.Add(year))
	var group sync.WaitGroup
	for _, r := range replicas {
		group.Go(func() {
			if _, err := r.Reconcile(t.Context(), ctrl.Request{}); err != nil && !apierrors.IsConflict(err) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, r := range replicas {
		w.reconcile(r)
	}
	g.Expect(w.stored().Data).To(gomega.HaveLen(2))
}

func TestRecordsWithoutAKeyAreNoBeginning(t *testing.T) {
	for name, secret := range map[string]func(*world) *corev1.Secret{
		"the Secret is gone":  func(*world) *corev1.Secret { return nil },
		"the Secret is empty": func(w *world) *corev1.Secret { return w.empty() },
		"the Secret has no keys": func(w *world) *corev1.Secret {
			s := w.empty()
			s.Data = map[string][]byte{"note": []byte("the keys were here")}
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := gomega.NewWithT(t)
			w := newWorld(t)
			forget := w.record()
			if s := secret(w); s != nil {
				g.Expect(w.admin.Create(t.Context(), s)).To(gomega.Succeed())
			}
			before := w.stored()
			r := w.replica()
			for range 2 {
				g.Expect(w.reconcile(r).RequeueAfter).To(gomega.Equal(10 * time.Second))
			}
			g.Expect(w.stored()).To(gomega.Equal(before))
			g.Expect(r.ring.Check(nil)).To(gomega.MatchError(keys.ErrLost))
			g.Expect(*r.reopened).To(gomega.Equal(1), "every token is told, once")
			g.Expect(r.happened()).To(gomega.HaveEach(gomega.HavePrefix("Warning KeyLost there are records but no key in Secret accesstoken-system/accesstoken-keys")))

			forget()
			w.reconcile(r)
			w.reconcile(r)
			g.Expect(r.ring.Check(nil)).To(gomega.Succeed(), "without records a new key is a beginning")
			g.Expect(*r.reopened).To(gomega.Equal(2))
			id, current, _ := r.ring.Current()
			g.Expect(w.stored().Data).To(gomega.HaveKeyWithValue(id, current[:]))
		})
	}
}

func TestADroppedKeyIsForgotten(t *testing.T) {
	g := gomega.NewWithT(t)
	w := newWorld(t)
	r := w.replica()
	w.reconcile(r)
	w.clock.SetTime(noon.Add(year))
	w.reconcile(r)
	secret := w.stored()
	oldest := slices.Min(slices.Collect(maps.Keys(secret.Data)))
	delete(secret.Data, oldest)
	g.Expect(w.admin.Update(t.Context(), secret)).To(gomega.Succeed())
	w.reconcile(r)
	_, known := r.ring.Key(oldest)
	g.Expect(known).To(gomega.BeFalse())
	g.Expect(r.ring.IDs()).To(gomega.HaveLen(1))
	g.Expect(*r.reopened).To(gomega.Equal(1))
}

// maintainer answers as a keeper would.
type maintainer struct {
	next time.Duration
	err  error
}

func (m maintainer) Maintain(context.Context) (time.Duration, error) { return m.next, m.err }

func TestWhatTheKeeperAnswersIsKeptTo(t *testing.T) {
	trouble := errors.New("no API server")
	for name, test := range map[string]struct {
		answer maintainer
		after  time.Duration
		err    error
	}{
		"nothing is due":   {maintainer{}, 0, nil},
		"something is due": {maintainer{next: time.Hour}, time.Hour, nil},
		"trouble":          {maintainer{err: trouble}, 0, trouble},
		"lost keys":        {maintainer{err: keys.ErrLost}, 10 * time.Second, nil},
	} {
		result, err := (&key.Reconciler{Keeper: test.answer}).Reconcile(t.Context(), ctrl.Request{})
		if result.RequeueAfter != test.after || !errors.Is(err, test.err) {
			t.Errorf("%s: after %s, %v", name, result.RequeueAfter, err)
		}
	}
}
