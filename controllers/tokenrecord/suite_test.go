package tokenrecord_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/controllers/tokenrecord"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/objects"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

const (
	retention = 24 * time.Hour
	// grace is how long garbage collection has the first go.
	grace = 10 * time.Second
	// settled is how long every ended record stays.
	settled = 10 * time.Minute

	// patience bounds what takes a watch event, or garbage collection.
	patience = 30 * time.Second
	often    = 50 * time.Millisecond
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(testenv.Run(m))
}

// world is a namespace with an AccessToken, and a reconciler with the manager's
// rights and a clock of its own. No operator runs.
type world struct {
	t          *testing.T
	admin      client.Client
	clock      *clocktesting.FakePassiveClock
	reconciler *tokenrecord.Reconciler
	token      *v1alpha1.AccessToken
}

func newWorld(t *testing.T) *world {
	t.Helper()
	manager := objects.ClientFor(t, testenv.ManagerConfig(t))
	w := &world{
		t: t, admin: objects.ClientFor(t, testenv.Config(t)),
		clock: clocktesting.NewFakePassiveClock(clock.RealClock{}.Now().Truncate(time.Second)), // as the API server's
	}
	w.reconciler = &tokenrecord.Reconciler{Client: manager, Live: manager, Retention: retention, Clock: w.clock}
	w.token = w.declare(testenv.Namespace(t))
	w.report(v1alpha1.AccessTokenStatus{Revision: 1000})
	return w
}

func (w *world) declare(namespace string) *v1alpha1.AccessToken {
	w.t.Helper()
	at := &v1alpha1.AccessToken{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "deploy"}}
	if err := w.admin.Create(w.t.Context(), at); err != nil {
		w.t.Fatal(err)
	}
	return at
}

// record makes a record of the AccessToken, issued now for an hour, and lets it
// be changed before and its status after.
func (w *world) record(revision int64, spec func(*v1alpha1.TokenRecord), status func(*v1alpha1.TokenRecordStatus)) *v1alpha1.TokenRecord {
	w.t.Helper()
	r := &v1alpha1.TokenRecord{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: w.token.Namespace, Name: token.DeclaredID(string(w.token.UID), revision),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(w.token, v1alpha1.GroupVersion.WithKind("AccessToken"))},
		},
		Spec: v1alpha1.TokenRecordSpec{
			AccessTokenName: w.token.Name, AccessTokenUID: string(w.token.UID), Revision: revision, Origin: v1alpha1.OriginDeclared,
			Subject:  v1alpha1.Subject{Kind: v1alpha1.SubjectKindAccessToken, Name: "accesstoken:ns:deploy"},
			IssuedAt: v1alpha1.NewTimestamp(w.clock.Now()), MaxAgeSeconds: ptr.To[int64](3600), NotAfter: v1alpha1.NewTimestamp(w.clock.Now().Add(time.Hour)),
			KeyID: "key", Hash: zeros, Seal: zeros,
		},
	}
	if spec != nil {
		spec(r)
	}
	if err := w.admin.Create(w.t.Context(), r); err != nil {
		w.t.Fatal(err)
	}
	if status != nil {
		status(&r.Status)
		if err := w.admin.Status().Update(w.t.Context(), r); err != nil {
			w.t.Fatal(err)
		}
	}
	return r
}

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

// report writes a status of the AccessToken.
func (w *world) report(status v1alpha1.AccessTokenStatus) {
	w.t.Helper()
	w.token.Status = status
	if err := w.admin.Status().Update(w.t.Context(), w.token); err != nil {
		w.t.Fatal(err)
	}
}

// reconcileAt looks at a record at an instant.
func (w *world) reconcileAt(r *v1alpha1.TokenRecord, at time.Time) time.Duration {
	w.t.Helper()
	w.clock.SetTime(at)
	result, err := w.reconciler.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(r)})
	if err != nil {
		w.t.Fatal(err)
	}
	return result.RequeueAfter
}

func (w *world) exists(r *v1alpha1.TokenRecord) bool {
	w.t.Helper()
	err := w.admin.Get(w.t.Context(), client.ObjectKeyFromObject(r), &v1alpha1.TokenRecord{})
	if client.IgnoreNotFound(err) != nil {
		w.t.Fatal(err)
	}
	return !apierrors.IsNotFound(err)
}

// deleteToken deletes the AccessToken and cuts its records loose before, so that
// garbage collection passes them over.
func (w *world) deleteToken(records ...*v1alpha1.TokenRecord) {
	w.t.Helper()
	g := gomega.NewWithT(w.t)
	for _, r := range records {
		cut := r.DeepCopy()
		cut.OwnerReferences = nil
		g.Expect(w.admin.Patch(w.t.Context(), cut, client.MergeFrom(r))).To(gomega.Succeed())
		cut.DeepCopyInto(r)
	}
	g.Expect(w.admin.Delete(w.t.Context(), w.token)).To(gomega.Succeed())
	g.Eventually(func() bool {
		err := w.admin.Get(context.WithoutCancel(w.t.Context()), client.ObjectKeyFromObject(w.token), &v1alpha1.AccessToken{})
		return apierrors.IsNotFound(err)
	}).WithTimeout(patience).WithPolling(often).Should(gomega.BeTrue())
}
