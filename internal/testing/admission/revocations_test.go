package admission_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

const (
	revocations = "accesstoken-revocations"
	zoe         = "zoe" // answers for the tokens of the cluster, but is no administrator of it
)

// ownRevocation revokes everything in the namespace.
func ownRevocation(name string) *v1alpha1.TokenRevocation {
	return &v1alpha1.TokenRevocation{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.TokenRevocationSpec{RevocationSpec: v1alpha1.RevocationSpec{All: true}},
	}
}

// wideRevocation revokes everything in the namespace, from outside of it.
func wideRevocation(annotations map[string]string) *v1alpha1.ClusterTokenRevocation {
	return &v1alpha1.ClusterTokenRevocation{
		ObjectMeta: metav1.ObjectMeta{Name: "wide-" + namespace, Annotations: annotations},
		Spec:       v1alpha1.ClusterTokenRevocationSpec{Namespace: namespace},
	}
}

// answerForTokens gives zoe the role accesstoken-admin.
func answerForTokens(ctx context.Context) {
	GinkgoHelper()
	err := admin().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: zoe},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "accesstoken-admin"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: zoe}},
	})
	Expect(client.IgnoreAlreadyExists(err)).To(Succeed())
	Eventually(ctx, func() bool { return may(ctx, zoe, "create", "clustertokenrevocations", "", "") }).Should(BeTrue())
}

var _ = Describe("A revocation", func() {
	done := object{"status": object{"conditions": []object{{
		"type": "Ready", "status": "True", "reason": "Revoked", "message": "", "lastTransitionTime": "2026-11-24T09:00:00Z",
	}}}}
	underWay := object{"status": object{"conditions": []object{{
		"type": "Ready", "status": "Unknown", "reason": "Revoking", "message": "", "lastTransitionTime": "2026-11-24T09:00:00Z",
	}}}}
	const notYet = "is in force, but not yet written into all records"

	AfterEach(func(ctx SpecContext) {
		Expect(client.IgnoreNotFound(admin().Delete(ctx, wideRevocation(nil)))).To(Succeed())
	})

	It("cannot be deleted until it is done, whatever rights in the namespace one has", func(ctx SpecContext) {
		made := ownRevocation("leak")
		Expect(as(eve).Create(ctx, made)).To(Succeed())
		Expect(as(eve).Delete(ctx, made.DeepCopy())).To(beForbiddenBy(revocations, "revocation leak "+notYet+", so that eve would bring tokens back by deleting it: wait until kubectl get shows READY True"))
		Expect(as(eve).DeleteAllOf(ctx, ownRevocation(""), client.InNamespace(namespace))).To(beForbiddenBy(revocations, notYet))
		Expect(as(eve).Status().Patch(ctx, made.DeepCopy(), merge(done))).To(beForbiddenBy("accesstoken-records",
			"write tokenrevocations/status, and eve does not: the operator does so by itself"))
		Expect(manager().Status().Patch(ctx, made.DeepCopy(), merge(underWay))).To(Succeed())
		Expect(as(eve).Delete(ctx, made.DeepCopy())).To(beForbiddenBy(revocations, notYet))
		Expect(manager().Status().Patch(ctx, made.DeepCopy(), merge(done))).To(Succeed())
		Expect(as(eve).Delete(ctx, made.DeepCopy())).To(Succeed())
	})

	It("is deleted with its namespace", func(ctx SpecContext) {
		made := ownRevocation("leak")
		Expect(as(eve).Create(ctx, made)).To(Succeed())
		Expect(admin().Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})).To(Succeed())
		Eventually(ctx, func() bool { return apierrors.IsNotFound(admin().Get(ctx, client.ObjectKeyFromObject(made), made)) }).Should(BeTrue())
	})

	It("of the cluster takes somebody who answers for the cluster", func(ctx SpecContext) {
		Expect(as(eve).Create(ctx, wideRevocation(nil))).To(MatchError(ContainSubstring("cannot create resource \"clustertokenrevocations\"")))
		answerForTokens(ctx)
		Expect(as(zoe).Create(ctx, wideRevocation(nil))).To(Succeed())
		Expect(as(zoe).Delete(ctx, wideRevocation(nil))).To(beForbiddenBy(revocations, notYet))
		Expect(as(zoe).Status().Patch(ctx, wideRevocation(nil), merge(done))).To(MatchError(ContainSubstring("cannot patch")))
		Expect(manager().Status().Patch(ctx, wideRevocation(nil), merge(done))).To(Succeed())
		Expect(as(zoe).Delete(ctx, wideRevocation(nil))).To(Succeed())
	})

	It("that is the operator's copy is the operator's", func(ctx SpecContext) {
		answerForTokens(ctx)
		copied := map[string]string{v1alpha1.AnnotationCopyOf: namespace + "/leak"}
		const theOperators = "is the operator's, and zoe may not write or delete it"
		Expect(as(zoe).Create(ctx, wideRevocation(copied))).To(beForbiddenBy(revocations, theOperators))
		Expect(manager().Create(ctx, wideRevocation(copied))).To(Succeed())
		Expect(manager().Status().Patch(ctx, wideRevocation(copied), merge(done))).To(Succeed())
		Expect(as(zoe).Patch(ctx, wideRevocation(nil), merge(object{"metadata": object{"annotations": nil}}))).To(beForbiddenBy(revocations, theOperators))
		Expect(as(zoe).Delete(ctx, wideRevocation(nil))).To(beForbiddenBy(revocations, theOperators))
		Expect(manager().Delete(ctx, wideRevocation(nil))).To(Succeed())

		By("making one that looks as if it were of a service account")
		Expect(as(zoe).Create(ctx, wideRevocation(map[string]string{v1alpha1.AnnotationServiceAccount: namespace + "/builder"}))).To(beForbiddenBy(revocations, theOperators))

		By("making one of a person's own look like a copy")
		Expect(as(zoe).Create(ctx, wideRevocation(nil))).To(Succeed())
		Expect(as(zoe).Patch(ctx, wideRevocation(nil), annotate(v1alpha1.AnnotationCopyOf, namespace+"/leak"))).To(beForbiddenBy(revocations, theOperators))
	})
})
