package admission_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

const noOrphans = "accesstoken-no-orphans"

// orphanDependents asks for what propagationPolicy Orphan asks for, as clients
// did before there was such a field.
type orphanDependents struct{}

func (orphanDependents) ApplyToDelete(o *client.DeleteOptions) {
	o.Raw = &metav1.DeleteOptions{OrphanDependents: ptr.To(true)} //nolint:staticcheck // the API server still takes it
}

var _ = Describe("Deleting an AccessToken", func() {
	var owned *corev1.Secret

	BeforeEach(func(ctx SpecContext) {
		s := secret{name: "ci", owner: declared(ctx, "ci"), revision: "1", typ: corev1.SecretTypeOpaque, data: map[string]string{"token": "x"}}
		var err error
		owned, err = s.apply(ctx)
		Expect(err).NotTo(HaveOccurred())
	})

	gone := func(ctx SpecContext, objects ...client.Object) {
		GinkgoHelper()
		for _, o := range objects {
			Eventually(ctx, func() bool {
				return apierrors.IsNotFound(admin().Get(ctx, client.ObjectKeyFromObject(o), o))
			}).Should(BeTrue(), "%s is still there", o.GetName())
		}
	}

	DescribeTable("takes its Secret with it", func(ctx SpecContext, options ...client.DeleteOption) {
		Expect(as(bob).Delete(ctx, accessToken("ci", ""), options...)).To(Succeed())
		gone(ctx, accessToken("ci", ""), owned)
	},
		Entry("by default"),
		Entry("in the background", client.PropagationPolicy(metav1.DeletePropagationBackground)),
		Entry("in the foreground", client.PropagationPolicy(metav1.DeletePropagationForeground)),
	)

	It("takes its Secret with it when the namespace goes", func(ctx SpecContext) {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
		Expect(admin().Delete(ctx, ns)).To(Succeed())
		gone(ctx, ns)
	})

	DescribeTable("leaves nothing behind, even for an administrator", func(ctx SpecContext, option client.DeleteOption) {
		const message = "asked to leave the Secret and the records of an AccessToken behind: delete with --cascade=background or foreground"
		Expect(as(eve).Delete(ctx, accessToken("ci", ""), option)).To(beForbiddenBy(noOrphans, "eve "+message))
		Expect(admin().Delete(ctx, accessToken("ci", ""), option)).To(beForbiddenBy(noOrphans, message))
	},
		Entry("by propagationPolicy", client.PropagationPolicy(metav1.DeletePropagationOrphan)),
		Entry("by orphanDependents", orphanDependents{}),
	)

	It("leaves nothing behind when all are deleted", func(ctx SpecContext) {
		output, err := testenv.ControlPlane(GinkgoT()).Kubectl(ctx, "delete", "accesstokens", "--all", "-n", namespace, "--cascade=orphan")
		Expect(err).To(HaveOccurred())
		Expect(output).To(ContainSubstring("delete with --cascade=background or foreground"))
		all := &client.DeleteAllOfOptions{DeleteOptions: client.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationOrphan)}}
		Expect(admin().DeleteAllOf(ctx, accessToken("", ""), client.InNamespace(namespace), all)).To(beForbiddenBy(noOrphans))
	})

	It("takes no finalizer that leaves something behind", func(ctx SpecContext) {
		const message = "eve set the finalizer orphan, which would leave the Secret and the records of an AccessToken behind: remove it"
		finalizer := merge(object{"metadata": object{"finalizers": []string{metav1.FinalizerOrphanDependents}}})
		Expect(as(eve).Patch(ctx, accessToken("ci", ""), finalizer)).To(beForbiddenBy(noOrphans, message))
		created := accessToken("born", "")
		created.SetFinalizers([]string{metav1.FinalizerOrphanDependents})
		Expect(as(eve).Create(ctx, created)).To(beForbiddenBy(noOrphans, message))

		others := merge(object{"metadata": object{"finalizers": []string{"example.com/theirs"}}})
		Expect(as(eve).Patch(ctx, accessToken("ci", ""), others)).To(Succeed())
		Expect(as(eve).Patch(ctx, accessToken("ci", ""), merge(object{"metadata": object{"finalizers": nil}}))).To(Succeed())
	})
})
