package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/cluster"
	"github.com/accesstoken-dev/accesstoken-operator/internal/keys"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
	"github.com/accesstoken-dev/accesstoken-operator/internal/store"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/line"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/objects"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

const (
	// promptly is what is promised while the watches are up, and long what the test
	// machine may take where nothing is promised.
	promptly = time.Second
	long     = time.Minute

	// halfOpen is within which a silent connection is to be noticed; the verifier
	// gives client-go the time-outs below for it.
	halfOpen         = 8 * time.Second
	readIdleSeconds  = "4"
	pingSeconds      = "3"
	pollEvery        = 20 * time.Millisecond
	bookmarkInterval = time.Minute
)

// watched is a store that is fed by watches, and what feeds the API server.
type watched struct {
	*testing.T
	admin     client.Client
	namespace string
	mint      mint.Mint
	store     *store.Store
	freshness *store.Freshness
	ring      *keys.Ring
	keyless   atomic.Int64 // records of the namespace that were refused for want of their key
}

// watch runs the watches over a configuration until the test ends.
func watch(t *testing.T, config *rest.Config) *watched {
	t.Helper()
	admin := objects.Client(t)
	w := &watched{T: t, admin: admin, namespace: testenv.Namespace(t), freshness: &store.Freshness{}, ring: keys.NewRing()}
	clusterID, err := cluster.ID(t.Context(), admin)
	if err != nil {
		t.Fatal(err)
	}
	w.mint = mint.Mint{KeyID: mint.KeyID, Key: mint.Key, ClusterID: clusterID}
	w.create(w.keySecret(w.mint))
	w.run(config)
	return w
}

func (w *watched) run(config *rest.Config) {
	relist := make(chan struct{}, 1)
	w.store = store.New(store.Options{
		Opener: record.Opener{Keys: w.ring, ClusterID: w.mint.ClusterID}, Clock: clock.RealClock{},
		Refused: func(rec *v1alpha1.TokenRecord, why store.Refusal, _ error) {
			if rec.Namespace == w.namespace && why == store.RefusalKeyUnknown {
				w.keyless.Add(1)
			}
		},
		Relist: func() {
			select {
			case relist <- struct{}{}:
			default:
			}
		},
	})
	keeper := &keys.Keeper{Ring: w.ring, Reopen: func() {}}
	watches := &store.Watches{
		Store: w.store, KeyNamespace: w.namespace, Freshness: w.freshness, Clock: clock.RealClock{}, Relist: relist,
		Keys: func(secret *corev1.Secret) {
			keeper.Observe(secret)
			w.store.KeysChanged()
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- watches.Run(ctx, config) }()
	w.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.Error(err)
		}
	})
	w.within(long, "everything is read", func() bool { return w.fresh(long) == nil && w.store.Complete() })
}

func (w *watched) fresh(most time.Duration) error {
	return w.freshness.Check(clock.RealClock{}.Now(), most)
}

// within waits for a state, and says how long it took.
func (w *watched) within(most time.Duration, what string, holds func() bool) {
	w.Helper()
	since := clock.RealClock{}.Now()
	if err := wait.PollUntilContextTimeout(w.Context(), pollEvery, most, true, func(context.Context) (bool, error) { return holds(), nil }); err != nil {
		w.Fatalf("%s: not within %s", what, most)
	}
	w.Logf("%s: after %s", what, clock.RealClock{}.Since(since).Round(time.Millisecond))
}

func (w *watched) create(object client.Object) {
	w.Helper()
	if err := w.admin.Create(w.Context(), object); err != nil {
		w.Fatal(err)
	}
}

func (w *watched) delete(object client.Object) {
	w.Helper()
	if err := w.admin.Delete(w.Context(), object); err != nil {
		w.Fatal(err)
	}
}

func (w *watched) keySecret(mints ...mint.Mint) *corev1.Secret {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: keys.SecretName}, Data: map[string][]byte{}}
	for _, each := range mints {
		secret.Data[each.KeyID] = each.Key[:]
	}
	return secret
}

// declare makes an AccessToken and a record of it, both in a namespace. The record
// has no owner reference, as if somebody had cut it: nothing collects it.
func (w *watched) declare(with mint.Mint, namespace, name string) (*v1alpha1.AccessToken, *v1alpha1.TokenRecord) {
	w.Helper()
	declared := &v1alpha1.AccessToken{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	w.create(declared)
	rec, _ := with.Declared(w, declared, clock.RealClock{}.Now())
	w.create(rec)
	return declared, rec
}

func (w *watched) lookup(rec *v1alpha1.TokenRecord) *verify.Token {
	w.Helper()
	id, err := token.ParseID(rec.Name)
	if err != nil {
		w.Fatal(err)
	}
	return w.store.Lookup(id)
}

func (w *watched) live(rec *v1alpha1.TokenRecord) func() bool {
	return func() bool {
		found := w.lookup(rec)
		return found != nil && found.Owner().State() == verify.StateLive && found.Owner().Namespace().State() == verify.StateLive
	}
}

func (w *watched) revoke(rec *v1alpha1.TokenRecord) {
	w.Helper()
	patch := fmt.Sprintf(`{"status":{"revokedAt":%q,"reason":"Revoked"}}`, v1alpha1.NewTimestamp(clock.RealClock{}.Now()))
	if err := w.admin.Status().Patch(w.Context(), rec.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		w.Fatal(err)
	}
}

func (w *watched) revoked(rec *v1alpha1.TokenRecord) func() bool {
	return func() bool {
		found := w.lookup(rec)
		if found == nil {
			return false
		}
		_, revoked := found.RevokedAt()
		return revoked
	}
}

func TestWatchesTellOfRecordsWithinASecond(t *testing.T) {
	w := watch(t, testenv.Config(t))
	_, rec := w.declare(w.mint, w.namespace, "deploy")
	w.within(promptly, "the record is found", w.live(rec))
	w.revoke(rec)
	w.within(promptly, "its revocation is known", w.revoked(rec))
	w.delete(rec)
	w.within(promptly, "it is gone", func() bool { return w.lookup(rec) == nil })

	forged := mint.Unsealed(w.namespace, "forged", "uid", 1, clock.RealClock{}.Now())
	w.mint.Seal(w, forged)
	forged.ResourceVersion, forged.CreationTimestamp, forged.Spec.Scopes = "", metav1.Time{}, []string{"admin"}
	w.create(forged)
	w.within(promptly, "the forged one is refused", func() bool { return w.store.Refused()[store.RefusalSealBroken] > 0 })
	if w.lookup(forged) != nil {
		t.Error("the forged one is found")
	}
}

// keysLast lets no request for Secrets through before the list of records is here.
type keysLast struct {
	next   http.RoundTripper
	listed chan struct{}
	list   func() // closes it
}

func (k *keysLast) RoundTrip(request *http.Request) (*http.Response, error) {
	if strings.Contains(request.URL.Path, "/secrets") {
		select {
		case <-k.listed:
		case <-request.Context().Done():
		}
	}
	response, err := k.next.RoundTrip(request)
	if err == nil && strings.HasSuffix(request.URL.Path, "/tokenrecords") {
		response.Body = &listedBody{response.Body, k.list}
	}
	return response, err
}

// listedBody says when the last record of a list was read.
type listedBody struct {
	io.ReadCloser
	listed func()
}

func (b *listedBody) Read(p []byte) (n int, err error) {
	n, err = b.ReadCloser.Read(p)
	if bytes.Contains(p[:n], []byte(metav1.InitialEventsAnnotationKey)) {
		b.listed()
	}
	return n, err
}

func TestRecordsThatComeBeforeTheKeysWaitForThem(t *testing.T) {
	w := watch(t, testenv.Config(t))
	_, rec := w.declare(w.mint, w.namespace, "deploy")
	w.within(promptly, "the record is found", w.live(rec))

	listed := make(chan struct{})
	config := rest.CopyConfig(testenv.Config(t))
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return &keysLast{next, listed, sync.OnceFunc(func() { close(listed) })}
	})
	again := &watched{T: t, admin: w.admin, namespace: w.namespace, mint: w.mint, freshness: &store.Freshness{}, ring: keys.NewRing()}
	again.run(config)
	if !again.live(rec)() || again.keyless.Load() > 0 {
		t.Errorf("found: %v, and refused %d records for want of their key", again.live(rec)(), again.keyless.Load())
	}
}

func TestADeletedAccessTokenEndsItsTokensThoughTheRecordsStay(t *testing.T) {
	w := watch(t, testenv.Config(t))
	declared, rec := w.declare(w.mint, w.namespace, "deploy")
	w.within(promptly, "the record is found", w.live(rec))
	w.delete(declared)
	w.within(promptly, "its owner is gone", func() bool { return w.lookup(rec).Owner().State() == verify.StateGone })
	if err := w.admin.Get(t.Context(), client.ObjectKeyFromObject(rec), rec); err != nil {
		t.Errorf("the record did not stay: %v", err)
	}
}

func TestADeletedNamespaceEndsItsTokensWhateverHoldsItUp(t *testing.T) {
	w := watch(t, testenv.Config(t))
	namespace := testenv.Namespace(t)
	holding := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "holding", Finalizers: []string{"example.com/held"}}}
	w.create(holding)
	_, rec := w.declare(w.mint, namespace, "deploy")
	w.within(promptly, "the record is found", w.live(rec))
	found := w.lookup(rec)
	w.delete(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	w.within(promptly, "its namespace is gone", func() bool { return found.Owner().Namespace().State() == verify.StateGone })
	if err := w.admin.Get(t.Context(), client.ObjectKeyFromObject(holding), holding); err != nil {
		t.Fatal(err)
	}
	holding.Finalizers = nil
	if err := w.admin.Update(t.Context(), holding); err != nil {
		t.Fatal(err)
	}
}

func TestKeysComeAndGo(t *testing.T) {
	w := watch(t, testenv.Config(t))
	second := mint.Mint{KeyID: "20261125t090000z-second", Key: record.Key{2}, ClusterID: w.mint.ClusterID}
	_, first := w.declare(w.mint, w.namespace, "first")
	_, waits := w.declare(second, w.namespace, "waits")
	w.within(promptly, "the first is found", w.live(first))
	w.within(promptly, "the other waits for its key", func() bool { return w.store.Refused()[store.RefusalKeyUnknown] > 0 })
	for _, c := range []struct {
		secret       *corev1.Secret
		first, waits bool
	}{
		{w.keySecret(w.mint, second), true, true},
		{w.keySecret(second), false, true},
		{w.keySecret(w.mint, second), true, true},
		{w.keySecret(w.mint), true, false},
	} {
		if err := w.admin.Update(t.Context(), c.secret); err != nil {
			t.Fatal(err)
		}
		w.within(long, fmt.Sprintf("found are the first: %v, the other: %v", c.first, c.waits), func() bool {
			return w.live(first)() == c.first && w.live(waits)() == c.waits && w.store.Complete()
		})
	}
}

// slowLists holds up plain lists of records until they may go on, and says when one
// came.
type slowLists struct {
	next    http.RoundTripper
	came    *atomic.Bool
	release <-chan struct{}
}

func (s *slowLists) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/tokenrecords") && r.URL.Query().Get("watch") == "" {
		s.came.Store(true)
		select {
		case <-s.release:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	return s.next.RoundTrip(r)
}

func TestWhatIsRevokedWhileAllRecordsAreReadAgainIsRefusedMeanwhile(t *testing.T) {
	came, release := &atomic.Bool{}, make(chan struct{})
	config := rest.CopyConfig(testenv.Config(t))
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return &slowLists{next, came, release}
	})
	w := watch(t, config)
	second := mint.Mint{KeyID: "20261125t090000z-second", Key: record.Key{2}, ClusterID: w.mint.ClusterID}
	_, revoked := w.declare(w.mint, w.namespace, "revoked")
	_, deleted := w.declare(w.mint, w.namespace, "deleted")
	_, waits := w.declare(second, w.namespace, "waits")
	w.within(promptly, "both are found", func() bool { return w.live(revoked)() && w.live(deleted)() })
	w.within(promptly, "the other waits for its key", func() bool { return w.store.Refused()[store.RefusalKeyUnknown] > 0 })

	// One that comes is told of by a change; a key that goes and comes has all read.
	for _, secret := range []*corev1.Secret{w.keySecret(second), w.keySecret(w.mint, second)} {
		if err := w.admin.Update(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
	}
	w.within(long, "all records are read again", func() bool { return came.Load() })
	refused := func() bool {
		_, ended := w.lookup(revoked).RevokedAt()
		return ended && w.lookup(deleted) == nil
	}
	w.revoke(revoked)
	w.delete(deleted)
	w.within(promptly, "what ends meanwhile is refused", refused)
	close(release)
	w.within(long, "all is read", func() bool { return w.live(waits)() && w.store.Complete() })
	if !refused() {
		t.Error("what ended meanwhile is good again")
	}
}

// TestBookmarksKeepAQuietStoreFresh takes as long as the API server may be silent.
func TestBookmarksKeepAQuietStoreFresh(t *testing.T) {
	w := watch(t, testenv.Config(t))
	began := clock.RealClock{}.Now()
	quiet := func() bool {
		now := clock.RealClock{}.Now()
		staleness, ok := w.freshness.Staleness(now)
		return ok && now.Add(-staleness).After(began)
	}
	w.within(3*bookmarkInterval, "each kind is heard of again", quiet)
}

func TestAHalfOpenConnectionIsNoticedWithinEightSeconds(t *testing.T) {
	t.Setenv("HTTP2_READ_IDLE_TIMEOUT_SECONDS", readIdleSeconds)
	t.Setenv("HTTP2_PING_TIMEOUT_SECONDS", pingSeconds)
	l := line.New(t)
	w := watch(t, l.Config(t))
	_, rec := w.declare(w.mint, w.namespace, "deploy")
	w.within(promptly, "the record is found", w.live(rec))
	l.Silence()
	w.revoke(rec)
	w.within(halfOpen+promptly, "the revocation is known", w.revoked(rec))
}

func TestWithoutTheAPIServerTheStoreGoesOnAndCatchesUp(t *testing.T) {
	l := line.New(t)
	w := watch(t, l.Config(t))
	_, stays := w.declare(w.mint, w.namespace, "stays")
	declared, goes := w.declare(w.mint, w.namespace, "goes")
	w.within(promptly, "both are found", func() bool { return w.live(stays)() && w.live(goes)() })
	l.Cut()
	w.delete(declared)
	w.revoke(stays)
	w.within(long, "it grows stale", func() bool { return errors.Is(w.fresh(2*time.Second), verify.ErrStale) })
	if !w.live(stays)() || !w.live(goes)() || w.revoked(stays)() || !w.store.Complete() {
		t.Error("what was known is not known any more")
	}
	l.Mend()
	w.within(long, "it has caught up", func() bool {
		gone := w.lookup(goes)
		return w.revoked(stays)() && (gone == nil || gone.Owner().State() == verify.StateGone)
	})
	if err := w.fresh(long); err != nil {
		t.Error(err)
	}
}
