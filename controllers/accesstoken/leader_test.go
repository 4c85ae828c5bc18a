package accesstoken_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/leadership"
)

// Processes of other specs write no term, so that no Lease concerns them.
var _ = Describe("A manager that another one replaced", func() {
	const one, other = "one/1", "other/2"
	var w *world

	// lead makes a term that of the Lease, and waits until the API server's policy
	// sees it.
	lead := func(ctx context.Context, holder string, transitions int32) {
		GinkgoHelper()
		lease := &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Namespace: operator.Namespace, Name: leadership.LeaseName},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: ptr.To(holder), LeaseTransitions: ptr.To(transitions)},
		}
		err := admin.Create(ctx, lease)
		if apierrors.IsAlreadyExists(err) {
			err = admin.Patch(ctx, lease, client.Merge)
		}
		Expect(err).NotTo(HaveOccurred())
		probe := &v1alpha1.TokenRecord{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "abcdefgh234567ab", Annotations: map[string]string{v1alpha1.AnnotationLeader: "nobody/0"}},
			Spec: v1alpha1.TokenRecordSpec{
				Origin: v1alpha1.OriginDeclared, Subject: v1alpha1.Subject{Kind: v1alpha1.SubjectKindAccessToken, Name: "accesstoken:ns:ci"},
				IssuedAt: "2026-11-24T09:00:00Z", KeyID: "k1", Hash: strings.Repeat("0f", 32), Seal: strings.Repeat("0f", 32),
			},
		}
		Eventually(func() error { return live.Create(ctx, probe.DeepCopy(), client.DryRunAll) }).WithTimeout(patience).
			Should(MatchError(ContainSubstring("in term " + holder)))
	}
	inTerm := func(replica int, term string) *process {
		p := w.start(replica)
		p.reconciler.Term = func() string { return term }
		return p
	}

	BeforeEach(func(ctx SpecContext) {
		w = newWorld(ctx)
		lead(ctx, "one", 1)
		w.declare(ctx, rotating())
	})

	It("issues nothing that was revoked while it slept", func(ctx SpecContext) {
		inTerm(0, one).restWithin(ctx, 0)
		w.settled(ctx)
		w.clock.SetTime(w.clock.Now().Add(time.Hour))
		wake := inTerm(0, one).sleepBefore(ctx, 1)
		Expect(wake).NotTo(BeNil(), "a rotation is due")
		lead(ctx, "other", 2)
		state(v1alpha1.StateRevoked)(ctx, w)
		inTerm(1, other).rest(ctx)
		before := slices.Sorted(maps.Keys(w.records(ctx)))
		wake()
		Expect(slices.Sorted(maps.Keys(w.records(ctx)))).To(Equal(before))
		w.consistent(ctx)
	})

	It("blames nothing on the AccessToken, and leaves it to the one that leads", func(ctx SpecContext) {
		lead(ctx, "other", 2)
		result, err := inTerm(0, one).reconcile(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(result.RequeueAfter).To(BeNumerically(">", 0), "a manager that just took over tries again")
		Expect(w.records(ctx)).To(BeEmpty())
		Expect(meta.FindStatusCondition(w.token(ctx).Status.Conditions, v1alpha1.ConditionReady)).
			To(HaveField("Reason", v1alpha1.ReasonIssuing), "no failure")

		inTerm(1, other).restWithin(ctx, 0)
		Expect(w.records(ctx)).To(HaveLen(1))
		for _, record := range w.records(ctx) {
			Expect(record.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationLeader, other))
		}
	})
})
