package accesstokenquota_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/controllers"
	"github.com/accesstoken-dev/accesstoken-operator/controllers/accesstokenquota"
	"github.com/accesstoken-dev/accesstoken-operator/internal/quota"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/objects"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

const (
	// hold is how long a place stays taken that was not seen used.
	hold = time.Minute

	// patience bounds how long a watch takes, on a busy machine.
	patience = 20 * time.Second
	often    = 20 * time.Millisecond
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(testenv.Run(m))
}

// world is a namespace, the quota controller with the manager's rights and a
// cache, and a clock. Nothing issues: tests make the records.
type world struct {
	t         *testing.T
	admin     client.Client
	replica   client.Client
	cache     cache.Cache
	namespace string
	clock     *clocktesting.FakePassiveClock
	events    *events.FakeRecorder
	quotas    *accesstokenquota.Reconciler
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, admin: objects.Client(t), namespace: testenv.Namespace(t), events: events.NewFakeRecorder(100)}
	namespace := &corev1.Namespace{}
	w.must(w.admin.Get(t.Context(), client.ObjectKey{Name: w.namespace}, namespace))
	w.clock = clocktesting.NewFakePassiveClock(namespace.CreationTimestamp.Time)
	replica, err := cluster.New(testenv.ManagerConfig(t), func(o *cluster.Options) {
		o.Scheme = w.admin.Scheme()
		o.Client = controllers.ClientOptions()
		o.Cache = controllers.CacheOptions()
	})
	w.must(err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- replica.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("cache: %v", err)
		}
	})
	w.replica, w.cache = replica.GetClient(), replica.GetCache()
	w.restart()
	return w
}

// restart starts the controller anew: its memory goes.
func (w *world) restart() {
	live, err := client.New(testenv.ManagerConfig(w.t), client.Options{Scheme: w.admin.Scheme()})
	w.must(err)
	w.quotas = accesstokenquota.New(accesstokenquota.Options{Client: w.replica, Live: live, Recorder: w.events, Clock: w.clock})
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) eventually(what any, matcher gomega.OmegaMatcher) {
	w.t.Helper()
	gomega.NewWithT(w.t).Eventually(what).WithTimeout(patience).WithPolling(often).Should(matcher)
}

// declare creates an AccessToken, in a second of its own: a creation counts in
// seconds, and a tie is settled by the UID.
func (w *world) declare(names ...string) {
	w.t.Helper()
	for _, name := range names {
		objects.Declare(w.t, w.namespace, name, v1alpha1.AccessTokenSpec{})
	}
}

func (w *world) token(name string) *v1alpha1.AccessToken {
	w.t.Helper()
	return objects.AccessToken(w.t, client.ObjectKey{Namespace: w.namespace, Name: name})
}

// issue makes the first record of AccessTokens, as the operator would, for a day.
func (w *world) issue(names ...string) {
	w.t.Helper()
	for _, name := range names {
		at := w.token(name)
		w.must(w.admin.Create(w.t.Context(), &v1alpha1.TokenRecord{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: at.Namespace, Name: token.DeclaredID(string(at.UID), 1),
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(at, v1alpha1.GroupVersion.WithKind("AccessToken"))},
			},
			Spec: v1alpha1.TokenRecordSpec{
				AccessTokenName: at.Name, AccessTokenUID: string(at.UID), Revision: 1, Origin: v1alpha1.OriginDeclared,
				Subject:  v1alpha1.Subject{Kind: v1alpha1.SubjectKindAccessToken, Name: "accesstoken:ns:" + at.Name},
				IssuedAt: v1alpha1.NewTimestamp(w.clock.Now()), MaxAgeSeconds: ptr.To[int64](86400), NotAfter: v1alpha1.NewTimestamp(w.clock.Now().Add(24 * time.Hour)),
				KeyID: "key", Hash: strings.Repeat("0", 64), Seal: strings.Repeat("0", 64),
			},
		}))
	}
}

// end revokes the record of an AccessToken and lets its status say that nothing
// follows.
func (w *world) end(name string) {
	w.t.Helper()
	at := w.token(name)
	record := &v1alpha1.TokenRecord{}
	w.must(w.admin.Get(w.t.Context(), client.ObjectKey{Namespace: at.Namespace, Name: token.DeclaredID(string(at.UID), 1)}, record))
	record.Status = v1alpha1.TokenRecordStatus{RevokedAt: v1alpha1.NewTimestamp(w.clock.Now()), Reason: v1alpha1.EndReasonRevoked}
	w.must(w.admin.Status().Update(w.t.Context(), record))
	at.Spec.State = v1alpha1.StateRevoked
	w.must(w.admin.Update(w.t.Context(), at))
	at.Status = v1alpha1.AccessTokenStatus{
		ObservedGeneration: at.Generation, EndedAt: v1alpha1.NewTimestamp(w.clock.Now()), IssuedAt: record.Spec.IssuedAt, Revision: 1,
		Conditions: []metav1.Condition{{
			Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonRevoked, ObservedGeneration: at.Generation, LastTransitionTime: metav1.NewTime(w.clock.Now()),
		}},
	}
	w.must(w.admin.Status().Update(w.t.Context(), at))
}

// settle lets the controller settle the ledger, once its cache shows all that there
// is and the ledger has rested, and says when it wants to look again.
func (w *world) settle() time.Duration {
	w.t.Helper()
	w.pass(100 * quota.DefaultTimes().Rest)
	return w.reconcile()
}

func (w *world) reconcile() time.Duration {
	w.t.Helper()
	w.settled()
	key := client.ObjectKey{Namespace: w.namespace, Name: v1alpha1.AccessTokenQuotaName}
	result, err := w.quotas.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: key})
	w.must(err)
	return result.RequeueAfter
}

func (w *world) settled() {
	w.t.Helper()
	w.eventually(func() string { return w.versions(w.cache) }, gomega.Equal(w.versions(w.admin)))
}

// versions names all that the controller reads with its resourceVersion.
func (w *world) versions(reader client.Reader) string {
	w.t.Helper()
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	w.must(reader.Get(w.t.Context(), client.ObjectKey{Name: w.namespace}, namespace))
	text := []string{namespace.ResourceVersion}
	for _, list := range []client.ObjectList{&v1alpha1.AccessTokenList{}, &v1alpha1.TokenRecordList{}, &v1alpha1.AccessTokenQuotaList{}} {
		w.must(reader.List(w.t.Context(), list, client.InNamespace(w.namespace)))
		text = append(text, versionsIn(list))
	}
	policies := &v1alpha1.AccessTokenPolicyList{}
	w.must(reader.List(w.t.Context(), policies))
	return strings.Join(append(text, versionsIn(policies)), "\n")
}

func versionsIn(list client.ObjectList) string {
	found := map[string]string{}
	switch l := list.(type) {
	case *v1alpha1.AccessTokenList:
		for _, item := range l.Items {
			found[item.Name] = item.ResourceVersion
		}
	case *v1alpha1.TokenRecordList:
		for _, item := range l.Items {
			found[item.Name] = item.ResourceVersion
		}
	case *v1alpha1.AccessTokenQuotaList:
		for _, item := range l.Items {
			found[item.Name] = item.ResourceVersion
		}
	case *v1alpha1.AccessTokenPolicyList:
		for _, item := range l.Items {
			found[item.Name] = item.ResourceVersion
		}
	}
	return fmt.Sprintf("%T%v", list, found)
}

func (w *world) ledger() *v1alpha1.AccessTokenQuota {
	w.t.Helper()
	ledger := &v1alpha1.AccessTokenQuota{}
	w.must(w.admin.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: v1alpha1.AccessTokenQuotaName}, ledger))
	return ledger
}

// holders names who holds a place, in order.
func (w *world) holders() []string {
	w.t.Helper()
	var names []string
	for _, holder := range w.ledger().Status.Holders {
		names = append(names, holder.Name)
	}
	return names
}

// limit lets the namespace have that many tokens.
func (w *world) limit(tokens int32) {
	w.t.Helper()
	objects.Raise(w.t, w.namespace, tokens)
}

func (w *world) pass(span time.Duration) { w.clock.SetTime(w.clock.Now().Add(span)) }

func (w *world) delete(name string) {
	w.t.Helper()
	w.must(w.admin.Delete(w.t.Context(), w.token(name)))
}
