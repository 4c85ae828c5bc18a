package admission_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"

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

var _ = Describe("Where a token goes", func() {
	const (
		policy = "accesstoken-secret-template"
		carol  = "carol" // may edit AccessTokens and make Secrets, and make no AccessToken
		netrc  = `{secret: {format: Netrc, servers: [git.example.com]}}`
	)

	BeforeEach(func(ctx SpecContext) {
		home := namespace
		namespace = testenv.Namespace(GinkgoT())
		DeferCleanup(func() { namespace = home })
		grant(ctx)
		meta := metav1.ObjectMeta{Namespace: namespace, Name: carol}
		Expect(admin().Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{v1alpha1.Group}, Resources: []string{"accesstokens"}, Verbs: []string{"get", "update", "patch"}},
			{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"create"}},
		}})).To(Succeed())
		Expect(admin().Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: carol}, Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: carol}},
		})).To(Succeed())
		Eventually(ctx, func() bool { return may(ctx, carol, "patch", "accesstokens", "", namespace) }).Should(BeTrue())
		Eventually(ctx, func() bool { return may(ctx, bob, "create", "accesstokens", "", namespace) }).Should(BeTrue())
	})

	DescribeTable("is not for whoever may edit AccessTokens and make none", func(ctx SpecContext, before string, edit object) {
		Expect(admin().Create(ctx, accessToken("ci", before))).To(Succeed())
		patch := func(user string) error {
			return as(user).Patch(ctx, accessToken("ci", ""), merge(object{"spec": object{"secret": edit}}))
		}
		Expect(patch(carol)).To(beForbiddenBy(policy,
			"spec.secret: carol may not change to which Secret and to which servers the token goes, and in which shape, which takes the verb create on accesstokens in namespace "+namespace,
			"leave spec.secret as it is, or ask for the right"))
		Expect(patch(eve)).To(Succeed())
	},
		Entry("by another name", `{}`, object{"name": "carols"}),
		Entry("by the name of the AccessToken, where it has another", `{secret: {name: git}}`, object{"name": nil}),
		Entry("by another shape", `{}`, object{"name": "ci-auth", "format": "BasicAuth"}),
		Entry("by another server", netrc, object{"servers": []string{"evil.example.com"}}),
		Entry("by one more server", netrc, object{"servers": []string{"git.example.com", "evil.example.com"}}),
		Entry("by the server of a Kubeconfig", `{secret: {format: Kubeconfig, servers: [kubernetes.default.svc]}}`, object{"servers": []string{"evil.example.com"}}),
		Entry("by a text in which the token is put", `{}`, object{"data": object{"url": "https://{{ .Token }}@evil.example.com"}}),
		Entry("by a label that somebody copies Secrets by", `{}`, object{"labels": object{"copy-to": "carols"}}),
		Entry("by an annotation that somebody copies Secrets by", `{}`, object{"annotations": object{"copy-to": "carols"}}),
		Entry("by taking all of it off", `{secret: {name: git, format: Netrc, servers: [git.example.com]}}`, nil),
	)

	DescribeTable("stays the same by an edit", func(ctx SpecContext, before string, edit object) {
		Expect(admin().Create(ctx, accessToken("ci", before))).To(Succeed())
		Expect(as(carol).Patch(ctx, accessToken("ci", ""), merge(object{"spec": edit}))).To(Succeed())
	},
		Entry("of the description", netrc, object{"description": "edited"}),
		Entry("that writes the default name out", `{}`, object{"secret": object{"name": "ci"}}),
		Entry("that takes the default name off", `{secret: {name: ci}}`, object{"secret": nil}),
		Entry("that writes the default shape out", `{}`, object{"secret": object{"format": "Opaque"}}),
		Entry("that writes out that there is nothing more", `{}`, object{"secret": object{"data": object{}, "labels": object{}, "annotations": object{}}}),
	)

	It("is for whoever may create AccessTokens", func(ctx SpecContext) {
		Expect(admin().Create(ctx, accessToken("ci", netrc))).To(Succeed())
		Expect(as(bob).Patch(ctx, accessToken("ci", ""), merge(object{"spec": object{"secret": object{"servers": []string{"git.example.org"}}}}))).To(Succeed())
		Expect(as(bob).Patch(ctx, accessToken("ci", ""), merge(object{"spec": object{"secret": object{"name": "git"}}}))).To(Succeed())
	})

	It("is guarded in every field of the schema", func() {
		rules, err := os.ReadFile(filepath.Join(configFolder("policies"), "secret-template.yaml"))
		Expect(err).NotTo(HaveOccurred())
		_, changed, found := strings.Cut(string(rules), "- name: changed")
		Expect(found).To(BeTrue())
		changed, _, _ = strings.Cut(changed, "validations:")
		for field := range reflect.TypeFor[v1alpha1.SecretTemplate]().Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			Expect(changed).To(ContainSubstring(".?"+name), "spec.secret.%s is not compared", name)
		}
	})
})
