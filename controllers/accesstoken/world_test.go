package accesstoken_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/controllers/accesstoken"
	"github.com/accesstoken-dev/accesstoken-operator/controllers/accesstokenquota"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/keys"
	"github.com/accesstoken-dev/accesstoken-operator/internal/metrics"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

const (
	clusterID = "11111111-2222-3333-4444-555555555555"

	// anyTime is a good-once tolerance for specs that step the clock away from
	// the API server's; good-once itself is tested without a step.
	anyTime = 100 * 365 * 24 * time.Hour

	// patience bounds how long a watch may take to show a write of somebody
	// else, on a busy machine.
	patience = 20 * time.Second

	// horizon is how far the clock is stepped until what was begun has come to
	// rest: past the 30 s and 60 s waits.
	horizon = 3 * time.Minute
)

// world is one namespace with one AccessToken, and a clock.
type world struct {
	namespace string
	key       client.ObjectKey
	clock     *clocktesting.FakePassiveClock
	ring      *keys.Ring
	keeper    *keys.Keeper
	events    *events.FakeRecorder
	quotas    *accesstokenquota.Reconciler
	tolerance time.Duration

	// policySettle is none, but where the wait itself is the matter.
	policySettle time.Duration

	// held are the IDs of tokens that were seen in a Secret: somebody may have
	// read them.
	held map[string]bool
}

// newWorld makes a namespace and keys; the clock shows the time that the API
// server's does.
func newWorld(ctx context.Context) *world {
	w := &world{
		namespace: testenv.Namespace(ginkgo.GinkgoT()),
		ring:      keys.NewRing(),
		events:    events.NewFakeRecorder(1000),
		tolerance: anyTime,

		policySettle: time.Nanosecond,
		held:         map[string]bool{},
	}
	namespace := &corev1.Namespace{}
	gomega.Expect(admin.Get(ctx, client.ObjectKey{Name: w.namespace}, namespace)).To(gomega.Succeed())
	w.clock = clocktesting.NewFakePassiveClock(namespace.CreationTimestamp.Time)
	w.key = client.ObjectKey{Namespace: w.namespace, Name: "deploy"}
	w.keeper = &keys.Keeper{
		Live: admin, Namespace: w.namespace, Ring: w.ring, Clock: w.clock, Random: rand.Reader,
		Recorder: w.events, Log: ctrl.Log, Reopen: func() {},
	}
	w.quotas = accesstokenquota.New(accesstokenquota.Options{Client: replicas[0], Live: live, Recorder: w.events, Clock: w.clock})
	w.giveKey(ctx, "20260101t000000z-first")
	return w
}

// giveKey puts a key of this ID beside the others.
func (w *world) giveKey(_ context.Context, id string) {
	material := make([]byte, 32)
	_, err := rand.Read(material)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	data := map[string][]byte{id: material}
	for _, known := range w.ring.IDs() {
		key, _ := w.ring.Key(known)
		data[known] = key[:]
	}
	w.keeper.Observe(&corev1.Secret{Data: data})
}

// process is one run of the operator: its memory goes when it ends.
type process struct {
	*world
	client     *faultyClient
	reconciler *accesstoken.Reconciler
}

// start starts a process on a replica.
func (w *world) start(replica int) *process {
	counters, err := metrics.NewLifecycle(prometheus.NewRegistry())
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	p := &process{world: w, client: &faultyClient{Client: replicas[replica]}}
	p.reconciler = accesstoken.New(accesstoken.Options{
		Client: p.client, Live: live, Keys: w.ring, ClusterID: clusterID, GoodOnceTolerance: w.tolerance, Namespace: operator.Namespace, PolicySettle: w.policySettle,
		Recorder: w.events, Metrics: counters, Random: rand.Reader, Clock: w.clock,
	})
	return p
}

// grant settles the quota of the namespace, and waits until the replicas see it.
func (w *world) grant(ctx context.Context) {
	key := client.ObjectKey{Namespace: w.namespace, Name: v1alpha1.AccessTokenQuotaName}
	before, after := &v1alpha1.AccessTokenQuota{}, &v1alpha1.AccessTokenQuota{}
	gomega.Expect(client.IgnoreNotFound(replicas[0].Get(ctx, key, before))).To(gomega.Succeed())
	_, err := w.quotas.Reconcile(ctx, ctrl.Request{NamespacedName: key})
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	gomega.Expect(client.IgnoreNotFound(replicas[0].Get(ctx, key, after))).To(gomega.Succeed())
	if before.ResourceVersion == after.ResourceVersion {
		return // it reads its own writes: there was none
	}
	for _, replica := range replicas {
		gomega.Eventually(func(g gomega.Gomega) {
			cached, current := &v1alpha1.AccessTokenQuota{}, &v1alpha1.AccessTokenQuota{}
			g.Expect(client.IgnoreNotFound(admin.Get(ctx, key, current))).To(gomega.Succeed())
			g.Expect(client.IgnoreNotFound(replica.Get(ctx, key, cached))).To(gomega.Succeed())
			g.Expect(cached.ResourceVersion).To(gomega.Equal(current.ResourceVersion))
		}).WithTimeout(patience).Should(gomega.Succeed())
	}
}

// reconcile does one pass and notes which tokens can be read afterwards.
func (p *process) reconcile(ctx context.Context) (ctrl.Result, error) {
	p.grant(ctx)
	result, err := p.reconciler.Reconcile(ctx, request(p.world))
	p.note(ctx)
	p.readable(ctx)
	return result, err
}

func (w *world) note(ctx context.Context) {
	for _, secret := range secretsOf(ctx, w.namespace) {
		for _, text := range tokensIn(secret) {
			presented, err := token.Parse(text)
			gomega.Expect(err).NotTo(gomega.HaveOccurred(), "a Secret holds what is no token")
			w.held[presented.ID()] = true
		}
	}
}

// rest reconciles until nothing is due within the horizon, stepping the clock
// to each moment that the operator asked to look again at.
func (p *process) rest(ctx context.Context) {
	p.restWithin(ctx, horizon)
}

func (p *process) restWithin(ctx context.Context, span time.Duration) {
	end := p.clock.Now().Add(span)
	for range 200 {
		result, err := p.reconcile(ctx)
		switch {
		case errors.Is(err, errStopped):
			return
		case err != nil:
			gomega.Expect(apierrors.IsConflict(err)).To(gomega.BeTrue(), "reconcile: %v", err)
		case result.RequeueAfter == 0 || p.clock.Now().Add(result.RequeueAfter).After(end):
			return
		default:
			p.clock.SetTime(p.clock.Now().Add(result.RequeueAfter))
		}
	}
	ginkgo.Fail("the operator comes to no rest")
}

// declare creates the AccessToken and waits until the replicas see it.
func (w *world) declare(ctx context.Context, spec v1alpha1.AccessTokenSpec) {
	object := &v1alpha1.AccessToken{ObjectMeta: metav1.ObjectMeta{Name: w.key.Name, Namespace: w.namespace}, Spec: spec}
	gomega.Expect(admin.Create(ctx, object)).To(gomega.Succeed())
	w.seen(ctx)
}

// edit changes the AccessToken and waits until the replicas see it.
func (w *world) edit(ctx context.Context, change func(*v1alpha1.AccessToken)) {
	object := w.token(ctx)
	change(object)
	gomega.Expect(admin.Update(ctx, object)).To(gomega.Succeed())
	w.seen(ctx)
}

// seen waits until every replica's cache shows the AccessToken as it is.
func (w *world) seen(ctx context.Context) {
	for _, replica := range replicas {
		gomega.Eventually(func(g gomega.Gomega) {
			cached, current := &v1alpha1.AccessToken{}, w.token(ctx)
			g.Expect(replica.Get(ctx, w.key, cached)).To(gomega.Succeed())
			g.Expect(cached.ResourceVersion).To(gomega.Equal(current.ResourceVersion))
		}).WithTimeout(patience).Should(gomega.Succeed())
	}
}

// settled waits until every replica's cache shows the records and Secrets of
// the namespace as they are.
func (w *world) settled(ctx context.Context) {
	for _, replica := range replicas {
		gomega.Eventually(func(g gomega.Gomega) {
			g.Expect(versions(ctx, replica, w.namespace)).To(gomega.Equal(versions(ctx, admin, w.namespace)))
		}).WithTimeout(patience).Should(gomega.Succeed())
	}
}

// versions names every record and labelled Secret of a namespace with its
// resourceVersion.
func versions(ctx context.Context, reader client.Reader, namespace string) map[string]string {
	found := map[string]string{}
	records := &v1alpha1.TokenRecordList{}
	gomega.Expect(reader.List(ctx, records, client.InNamespace(namespace))).To(gomega.Succeed())
	for _, r := range records.Items {
		found["record "+r.Name] = r.ResourceVersion
	}
	secrets := &metav1.PartialObjectMetadataList{}
	secrets.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	gomega.Expect(reader.List(ctx, secrets, client.InNamespace(namespace), client.HasLabels{v1alpha1.LabelAccessToken})).To(gomega.Succeed())
	for _, s := range secrets.Items {
		found["secret "+s.Name] = s.ResourceVersion
	}
	return found
}

func (w *world) token(ctx context.Context) *v1alpha1.AccessToken {
	object := &v1alpha1.AccessToken{}
	gomega.Expect(admin.Get(ctx, w.key, object)).To(gomega.Succeed())
	return object
}

func (w *world) records(ctx context.Context) map[string]v1alpha1.TokenRecord {
	list := &v1alpha1.TokenRecordList{}
	gomega.Expect(admin.List(ctx, list, client.InNamespace(w.namespace))).To(gomega.Succeed())
	found := map[string]v1alpha1.TokenRecord{}
	for _, r := range list.Items {
		found[r.Name] = r
	}
	return found
}

// verify says why a token would be refused now; nil when it would be accepted.
func (w *world) verify(ctx context.Context, text string) error {
	presented, err := token.Parse(text)
	if err != nil {
		return err
	}
	object, ok := w.records(ctx)[presented.ID()]
	if !ok {
		return fmt.Errorf("token %s has no record", presented.ID())
	}
	if err := w.good(&object); err != nil {
		return err
	}
	sealed, _ := record.Opener{Keys: w.ring, ClusterID: clusterID, Tolerance: w.tolerance}.Open(&object)
	if !sealed.Verify(presented.SecretDigest()) {
		return fmt.Errorf("token %s does not fit its record", presented.ID())
	}
	return nil
}

// good says why a record verifies nothing now.
func (w *world) good(object *v1alpha1.TokenRecord) error {
	if _, err := (record.Opener{Keys: w.ring, ClusterID: clusterID, Tolerance: w.tolerance}).Open(object); err != nil {
		return fmt.Errorf("record %s: %w", object.Name, err)
	}
	if record.Ended(object, w.clock.Now()) {
		return fmt.Errorf("record %s has ended", object.Name)
	}
	return nil
}

// consistent checks what must hold whenever the operator is at rest.
func (w *world) consistent(ctx context.Context) {
	ginkgo.GinkgoHelper()
	delivered := map[string]bool{}
	for _, secret := range secretsOf(ctx, w.namespace) {
		for _, text := range tokensIn(secret) {
			gomega.Expect(w.verify(ctx, text)).To(gomega.Succeed(), "a Secret holds a token that does not verify")
			delivered[idOf([]byte(text))] = true
		}
	}
	wanted := w.wantsToken(ctx)
	for name, object := range w.records(ctx) {
		if w.good(&object) != nil {
			continue
		}
		gomega.Expect(w.held).To(gomega.HaveKey(name), "a record verifies whose token nobody holds")
		gomega.Expect(wanted).To(gomega.BeTrue(), "record %s verifies though no token is wanted", name)
		overlaps := object.Status.Reason == v1alpha1.EndReasonSuperseded && object.Status.ExpiresAt != ""
		gomega.Expect(delivered[name] || overlaps).To(gomega.BeTrue(), "record %s verifies though its token is in no Secret and nothing is to end it", name)
	}
}

// wantsToken says whether anybody wants there to be a token.
func (w *world) wantsToken(ctx context.Context) bool {
	object := &v1alpha1.AccessToken{}
	err := admin.Get(ctx, w.key, object)
	gomega.Expect(client.IgnoreNotFound(err)).To(gomega.Succeed())
	return err == nil && object.Spec.State != v1alpha1.StateSuspended && object.Spec.State != v1alpha1.StateRevoked
}

var tokenPattern = regexp.MustCompile(token.Pattern)

// tokensIn finds every token in a Secret.
func tokensIn(secret corev1.Secret) []string {
	var found []string
	for _, value := range secret.Data {
		found = append(found, tokenPattern.FindAllString(string(value), -1)...)
	}
	return found
}

// currentToken is the token in the Secret of this name.
func (w *world) currentToken(ctx context.Context, name string) string {
	secret := &corev1.Secret{}
	gomega.Expect(admin.Get(ctx, client.ObjectKey{Namespace: w.namespace, Name: name}, secret)).To(gomega.Succeed())
	return string(secret.Data["token"])
}

// happened are the events so far, of a reason.
func (w *world) happened(reason string) []string {
	var found []string
	for {
		select {
		case event := <-w.events.Events:
			if strings.Contains(event, " "+reason+" ") {
				found = append(found, event)
			}
		default:
			return found
		}
	}
}

func request(w *world) ctrl.Request { return ctrl.Request{NamespacedName: w.key} }

// seenOrGone waits until every replica's cache shows the AccessToken as it is,
// also when it is gone.
func (w *world) seenOrGone(ctx context.Context) {
	if err := admin.Get(ctx, w.key, &v1alpha1.AccessToken{}); !apierrors.IsNotFound(err) {
		w.seen(ctx)
		return
	}
	for _, replica := range replicas {
		gomega.Eventually(func() bool {
			return apierrors.IsNotFound(replica.Get(ctx, w.key, &v1alpha1.AccessToken{}))
		}).WithTimeout(patience).Should(gomega.BeTrue())
	}
}
