package admission_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

var _ = Describe("A choice of what is in a Secret", func() {
	const policy = "accesstoken-secret-template"
	chosen := `{secret: {data: {url: "https://example.com"}}}`

	It("takes the right to create Secrets in the namespace", func(ctx SpecContext) {
		create := func() error { return as(bob).Create(ctx, accessToken("ci", chosen)) }
		Expect(create()).To(beForbiddenBy(policy,
			"spec.secret: bob may not choose what is in a Secret, which takes the verb create on secrets in namespace "+namespace,
			"leave spec.secret as it is and without data, labels and annotations, or ask for the right"))
		allow(ctx, "reader", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get", "update", "patch"}})
		Eventually(ctx, func() bool { return may(ctx, bob, "patch", "secrets", "", namespace) }).Should(BeTrue())
		Expect(create()).To(beForbiddenBy(policy), "other rights to Secrets are not enough")
		allow(ctx, "maker", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"create"}})
		Eventually(ctx, create).Should(Succeed())
		Expect(as(eve).Create(ctx, accessToken("eves", chosen))).To(Succeed())
	})

	It("is not taken for a right in another namespace", func(ctx SpecContext) {
		home := namespace
		namespace = testenv.Namespace(GinkgoT())
		allow(ctx, "maker", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"create"}})
		Eventually(ctx, func() bool { return may(ctx, bob, "create", "secrets", "", namespace) }).Should(BeTrue())
		namespace = home
		Expect(as(bob).Create(ctx, accessToken("ci", chosen))).To(beForbiddenBy(policy))
	})

	DescribeTable("takes it of whoever changes spec.secret", func(ctx SpecContext, before string, edit object) {
		Expect(admin().Create(ctx, accessToken("ci", before))).To(Succeed())
		patch := func(user string) error {
			return as(user).Patch(ctx, accessToken("ci", ""), merge(object{"spec": edit}))
		}
		Expect(patch(bob)).To(beForbiddenBy(policy))
		Expect(patch(eve)).To(Succeed())
	},
		Entry("so that there is one", `{}`, object{"secret": object{"data": object{"url": "x"}}}),
		Entry("so that there is a label", `{}`, object{"secret": object{"labels": object{"team": "shop"}}}),
		Entry("so that there is an annotation", `{}`, object{"secret": object{"annotations": object{"note": "x"}}}),
		Entry("in the value of a label", `{secret: {labels: {team: shop}}}`, object{"secret": object{"labels": object{"team": "other"}}}),
		Entry("in the value of an annotation", `{secret: {annotations: {note: x}}}`, object{"secret": object{"annotations": object{"note": "y"}}}),
		Entry("in the name where there is a label", `{secret: {labels: {team: shop}}}`, object{"secret": object{"name": "database"}}),
		Entry("in a text", chosen, object{"secret": object{"data": object{"url": "x"}}}),
		Entry("by another key", chosen, object{"secret": object{"data": object{"other": "x"}}}),
		Entry("by one key less", chosen, object{"secret": object{"data": object{"url": nil}}}),
		Entry("so that there is none", chosen, object{"secret": nil}),
		Entry("in its name, which makes another Secret of that content", chosen, object{"secret": object{"name": "database"}}),
		Entry("in its format", chosen, object{"secret": object{"name": "database", "format": "BasicAuth"}}),
	)

	It("is also which Secret it is: sending a token elsewhere takes the right to make one", func(ctx SpecContext) {
		const carol = "carol" // may edit AccessTokens, and make none
		meta := metav1.ObjectMeta{Namespace: namespace, Name: carol}
		Expect(admin().Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{v1alpha1.Group}, Resources: []string{"accesstokens"}, Verbs: []string{"get", "update", "patch"},
		}}})).To(Succeed())
		Expect(admin().Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: carol}, Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: carol}},
		})).To(Succeed())
		Eventually(ctx, func() bool { return may(ctx, carol, "patch", "accesstokens", "", namespace) }).Should(BeTrue())
		Expect(admin().Create(ctx, accessToken("ci", `{}`))).To(Succeed())
		rename := merge(object{"spec": object{"secret": object{"name": "carols"}}})
		Expect(as(carol).Patch(ctx, accessToken("ci", ""), rename)).To(beForbiddenBy(policy, "carol may not send the token to another Secret"))
		Expect(as(carol).Patch(ctx, accessToken("ci", ""), merge(object{"spec": object{"description": "edited"}}))).To(Succeed())
		Expect(as(bob).Patch(ctx, accessToken("ci", ""), rename)).To(Succeed())
	})

	It("is of no matter to other edits, and to a Secret without", func(ctx SpecContext) {
		Expect(admin().Create(ctx, accessToken("ci", chosen))).To(Succeed())
		for _, edit := range []object{{"description": "edited"}, {"maxAge": "24h"}, {"state": "Suspended"}, {"state": "Active"}} {
			Expect(as(bob).Patch(ctx, accessToken("ci", ""), merge(object{"spec": edit}))).To(Succeed())
		}
		Expect(as(bob).Create(ctx, accessToken("own", `{secret: {data: {}, labels: {}, annotations: {}}}`))).To(Succeed())
		for _, edit := range []object{{"secret": object{"name": "other"}}, {"secret": nil}, {"secret": object{"name": "git", "format": "Netrc", "servers": []string{"git.example.com"}}}} {
			Expect(as(bob).Patch(ctx, accessToken("own", ""), merge(object{"spec": edit}))).To(Succeed())
		}
	})
})
