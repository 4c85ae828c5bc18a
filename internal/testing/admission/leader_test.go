package admission_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/leadership"
)

var _ = Describe("A record that was made in a term", Ordered, func() {
	const leader = "accesstoken-leader"
	lease := func(holder string, transitions int32) *coordinationv1.Lease {
		return &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Namespace: operator.Namespace, Name: leadership.LeaseName},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: ptr.To(holder), LeaseTransitions: ptr.To(transitions)},
		}
	}
	// made asks as the manager's account.
	made := func(ctx SpecContext, term string) error {
		record := tokenRecord("abcdefgh234567ab")
		record.Annotations = map[string]string{v1alpha1.AnnotationLeader: term}
		return manager().Create(ctx, record, client.DryRunAll)
	}

	BeforeAll(func(ctx SpecContext) {
		Expect(admin().Create(ctx, lease("one", 3))).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(admin().Delete(ctx, lease("", 0))).To(Succeed()) })
		Eventually(ctx, func() error { return made(ctx, "none/0") }).Should(beForbiddenBy(leader))
	})

	It("is taken in that term", func(ctx SpecContext) {
		Expect(made(ctx, "one/3")).To(Succeed())
	})

	DescribeTable("is refused in another one,", func(ctx SpecContext, term string) {
		Expect(made(ctx, term)).To(beForbiddenBy(leader, "the record is of term "+term+" of the managers, and "+
			"system:serviceaccount:"+operator.Namespace+":"+operator.Account+" writes it in term one/3: only the manager that leads issues tokens"))
	},
		Entry("which is over", "other/2"),
		Entry("of the same manager, which lost the lead and got it back", "one/2"),
		Entry("of another manager with as many transitions", "other/3"),
		Entry("which nobody leads in", ""),
	)

	It("is refused as soon as another manager leads, and while nobody does", func(ctx SpecContext) {
		Expect(admin().Patch(ctx, lease("two", 4), client.Merge)).To(Succeed())
		Eventually(ctx, func() error { return made(ctx, "two/4") }).Should(Succeed())
		Expect(made(ctx, "one/3")).To(beForbiddenBy(leader))
		Expect(admin().Patch(ctx, lease("", 4), client.Merge)).To(Succeed()) // as a manager does that ends
		Eventually(ctx, func() error { return made(ctx, "two/4") }).Should(beForbiddenBy(leader))
	})

	It("is not asked for a term where its maker elects no leader", func(ctx SpecContext) {
		Expect(manager().Create(ctx, tokenRecord("abcdefgh234567ab"), client.DryRunAll)).To(Succeed())
	})
})
