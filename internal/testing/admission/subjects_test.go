package admission_test

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// allow gives bob a right in the namespace.
func allow(ctx context.Context, name string, rule rbacv1.PolicyRule) {
	GinkgoHelper()
	meta := metav1.ObjectMeta{Namespace: namespace, Name: bob + "-" + name}
	Expect(admin().Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{rule}})).To(Succeed())
	Expect(admin().Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: bob}},
	})).To(Succeed())
}

// allowEverywhere gives a user a right in the whole cluster, until the test ends.
func allowEverywhere(ctx context.Context, user string, rules ...rbacv1.PolicyRule) {
	GinkgoHelper()
	meta := metav1.ObjectMeta{Name: namespace + "-" + user}
	role := &rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: meta.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: user}},
	}
	for _, object := range []client.Object{role, binding} {
		Expect(admin().Create(ctx, object)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(admin().Delete(ctx, object)).To(Succeed()) })
	}
}

var _ = Describe("A token that acts as a service account", func() {
	const policy = "accesstoken-subject"
	deployer := `{subject: {kind: ServiceAccount, name: deployer}}`

	It("takes the right to make tokens of that account, by name and namespace", func(ctx SpecContext) {
		create := func(name string) error {
			return as(bob).Create(ctx, accessToken(name, deployer))
		}
		Expect(create("ci")).To(beForbiddenBy(policy, "spec.subject: bob may not create tokens for service account deployer in namespace "+namespace, "create on serviceaccounts/token"))
		allow(ctx, "builder", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: []string{"builder"}, Verbs: []string{"create"}})
		Eventually(ctx, func() error {
			return as(bob).Create(ctx, accessToken("builder", strings.Replace(deployer, "deployer", "builder", 1)))
		}).Should(Succeed())
		Expect(create("ci")).To(beForbiddenBy(policy))
		allow(ctx, "deployer", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: []string{"deployer"}, Verbs: []string{"create"}})
		Eventually(ctx, func() error { return create("ci") }).Should(Succeed())
	})

	It("takes it of whoever sends the token elsewhere, and not for another edit", func(ctx SpecContext) {
		Expect(admin().Create(ctx, accessToken("ci", deployer))).To(Succeed())
		for _, edit := range []object{
			{"secret": object{"name": "bobs"}},
			{"secret": object{"format": "BasicAuth", "name": "bobs"}},
			{"subject": object{"onRecreate": "Reissue"}},
		} {
			Expect(as(bob).Patch(ctx, accessToken("ci", ""), merge(object{"spec": edit}))).To(beForbiddenBy(policy))
		}
		for _, edit := range []object{{"description": "edited"}, {"maxAge": "24h"}, {"state": "Suspended"}, {"state": "Active"}} {
			Expect(as(bob).Patch(ctx, accessToken("ci", ""), merge(object{"spec": edit}))).To(Succeed())
		}
		for _, edit := range []object{{"subject": nil}, {"subject": object{"name": "other"}}} {
			Expect(admin().Patch(ctx, accessToken("ci", ""), merge(object{"spec": edit}))).
				To(MatchError(ContainSubstring("cannot be changed, added or removed after creation")))
		}
		Expect(as(bob).Create(ctx, accessToken("own", ""))).To(Succeed())
		Expect(as(bob).Patch(ctx, accessToken("own", ""), merge(object{"spec": object{"subject": object{"kind": "ServiceAccount", "name": "deployer"}}}))).NotTo(Succeed())
	})

	It("is never created as a canary, whoever asks", func(ctx SpecContext) {
		canary := accessToken("ci", deployer)
		canary.SetAnnotations(map[string]string{v1alpha1.AnnotationCanary: "true"})
		Expect(admin().Create(ctx, canary)).To(beForbiddenBy(policy, "a canary is never created"))
	})
})

var _ = Describe("A token that acts as a user", func() {
	const policy = "accesstoken-subject"
	alice := `{maxAge: 24h, subject: {kind: User, name: alice, groups: [devs, ops]}}`
	impersonate := func(resource string, names ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{resource}, ResourceNames: names, Verbs: []string{"impersonate"}}
	}

	It("takes the right to impersonate that user and each group", func(ctx SpecContext) {
		create := func() error { return as(bob).Create(ctx, accessToken("ci", alice)) }
		Expect(create()).To(beForbiddenBy(policy, "spec.subject: bob may not act as user alice, which takes the verb impersonate on users"))
		allowEverywhere(ctx, bob, impersonate("users", "alice"), impersonate("groups", "devs"))
		Eventually(ctx, create).Should(beForbiddenBy(policy, "spec.subject.groups: bob may not act as a member of both devs and ops, which takes the verb impersonate on groups"))
	})

	It("says which group it is of one", func(ctx SpecContext) {
		allowEverywhere(ctx, eve, impersonate("users", "alice"))
		Eventually(ctx, func() error { return as(eve).Create(ctx, accessToken("ci", strings.Replace(alice, ", ops", "", 1))) }).
			Should(beForbiddenBy(policy, "spec.subject.groups: eve may not act as a member of group devs, which takes the verb impersonate on groups"))
	})

	It("is taken from whoever may impersonate all of them, however many there may be", func(ctx SpecContext) {
		all := []string{"g0", "g1", "g2", "g3", "g4", "g5", "g6", "g7"}
		many := `{maxAge: 24h, subject: {kind: User, name: alice, groups: [` + strings.Join(all, ", ") + `]}}`
		allowEverywhere(ctx, bob, impersonate("users", "alice"), impersonate("groups", all[:7]...))
		Eventually(ctx, func() error { return as(bob).Create(ctx, accessToken("ci", many)) }).
			Should(beForbiddenBy(policy, "spec.subject.groups: bob may not act as a member of both g6 and g7, which takes the verb impersonate on groups"))
		Expect(as(bob).Create(ctx, accessToken("ci", strings.Replace(many, ", g7", "", 1)))).To(Succeed())
		Expect(admin().Create(ctx, accessToken("admins", many))).To(Succeed())
	})

	It("is not taken for a narrower right to impersonate", func(ctx SpecContext) {
		rule := impersonate("users", "alice")
		rule.Verbs = []string{"impersonate:user-info", "impersonate-on:user-info:list", "impersonate:associated-node"}
		allowEverywhere(ctx, bob, rule, rbacv1.PolicyRule{APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"users"}, Verbs: rule.Verbs})
		Eventually(ctx, func() bool { return mayNamed(ctx, bob, "impersonate:user-info", "users", "", "alice", "") }).Should(BeTrue())
		Expect(as(bob).Create(ctx, accessToken("ci", alice))).To(beForbiddenBy(policy))
	})

	It("is not made by a token, whatever that may", func(ctx SpecContext) {
		token := rest.ImpersonationConfig{UserName: "accesstoken:" + namespace + ":x", Groups: []string{"system:masters", v1alpha1.GroupAccessTokens}}
		Expect(asUser(token).Create(ctx, accessToken("ci", alice))).To(beForbiddenBy("accesstoken-made-by-token"))
	})
})
