package admission_test

import (
	"context"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
)

// may asks the API server whether somebody may do something; a namespace of ""
// means in the whole cluster.
func may(ctx context.Context, user, verb, resource, subresource, inNamespace string) bool {
	GinkgoHelper()
	return mayNamed(ctx, user, verb, resource, subresource, "", inNamespace)
}

// mayNamed says it of one object.
func mayNamed(ctx context.Context, user, verb, resource, subresource, name, inNamespace string) bool {
	GinkgoHelper()
	group := v1alpha1.Group
	switch resource {
	case "secrets", "users":
		group = ""
	case "leases":
		group = "coordination.k8s.io"
	case "clusterroles":
		group = rbacv1.GroupName
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user, Groups: []string{"system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Group: group, Resource: resource, Subresource: subresource, Name: name, Verb: verb, Namespace: inNamespace,
		},
	}}
	Expect(admin().Create(ctx, review)).To(Succeed())
	return review.Status.Allowed
}

var _ = Describe("Roles", func() {
	It("have no wildcard, and no way to more rights", func(ctx SpecContext) {
		seen := 0
		for _, o := range render(ctx, configFolder("default")) {
			if o.GetKind() != "ClusterRole" && o.GetKind() != "Role" {
				continue
			}
			seen++
			var role rbacv1.Role // of both kinds, rules look the same
			Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role)).To(Succeed())
			Expect(role.Rules).NotTo(BeEmpty(), o.GetName())
			for _, rule := range role.Rules {
				all := slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs, rule.NonResourceURLs)
				Expect(all).NotTo(ContainElement(ContainSubstring("*")), o.GetName())
				Expect(rule.Verbs).NotTo(ContainElement(BeElementOf("bind", "escalate", "impersonate")), o.GetName())
			}
		}
		Expect(seen).To(Equal(11))
	})

	DescribeTable("give people what they need in their namespace", func(ctx SpecContext, role string, yes, no [][2]string) {
		Expect(admin().Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "people"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: "person"}},
		})).To(Succeed())
		// The controller that aggregates roles takes a moment.
		for _, right := range yes {
			Eventually(ctx, func() bool { return may(ctx, "person", right[0], right[1], "", namespace) }).Should(BeTrue(), "%v", right)
		}
		for _, right := range no {
			Expect(may(ctx, "person", right[0], right[1], "", namespace)).To(BeFalse(), "%v", right)
		}
		Expect(may(ctx, "person", "patch", "accesstokens", "status", namespace)).To(BeFalse())
		Expect(may(ctx, "person", "issue", "tokenrecords", "", "")).To(BeFalse())
	},
		Entry("to view", "view",
			[][2]string{{"list", "accesstokens"}, {"watch", "tokenrecords"}, {"get", "tokenrevocations"}, {"list", "accesstokenquotas"}},
			[][2]string{{"create", "accesstokens"}, {"delete", "accesstokens"}, {"delete", "tokenrecords"}, {"create", "tokenrevocations"}}),
		Entry("to edit", "edit",
			[][2]string{{"create", "accesstokens"}, {"update", "accesstokens"}, {"delete", "accesstokens"}, {"list", "tokenrecords"}, {"delete", "tokenrecords"}, {"create", "tokenrevocations"}, {"get", "accesstokenquotas"}},
			[][2]string{{"delete", "accesstokenquotas"}, {"issue-without-expiry", "accesstokens"}, {"create", "tokenrecords"}, {"update", "tokenrecords"}, {"issue", "tokenrecords"}, {"create", "clustertokenrevocations"}}),
		Entry("to administer", "admin",
			[][2]string{{"create", "accesstokens"}, {"delete", "tokenrecords"}},
			[][2]string{{"issue-without-expiry", "accesstokens"}, {"create", "tokenrecords"}, {"issue", "tokenrecords"}, {"create", "clustertokenrevocations"}}),
	)

	It("give the manager what it needs and no more", func(ctx SpecContext) {
		const account = "system:serviceaccount:" + operator.Namespace + ":" + operator.Account
		Expect(may(ctx, account, v1alpha1.VerbIssue, "tokenrecords", "", "")).To(BeTrue())
		Expect(may(ctx, account, "patch", "accesstokens", "status", namespace)).To(BeTrue())
		Expect(may(ctx, account, "create", "leases", "", operator.Namespace)).To(BeTrue())
		for _, right := range [][2]string{
			// It may create AccessTokens, for dry runs that policy refuses.
			{"update", "accesstokens"}, {"patch", "accesstokens"}, {v1alpha1.VerbIssueWithoutExpiry, "accesstokens"},
			{"update", "tokenrecords"}, {"patch", "tokenrecords"}, {"create", "tokenrevocations"}, {"update", "accesstokenquotas"}, {"delete", "accesstokenquotas"}, {"create", "accesstokenpolicies"}, {"update", "secrets"}, {"create", "leases"}, {"get", "clusterroles"},
		} {
			Expect(may(ctx, account, right[0], right[1], "", namespace)).To(BeFalse(), "%v", right)
		}
	})
})
