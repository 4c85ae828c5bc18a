package v1alpha1_test

import (
	"crypto/rand"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

// revocation is one of either kind as a person writes it. The name of one of the
// cluster is that of the namespace of the test.
func revocation(kind, spec string) *unstructured.Unstructured {
	GinkgoHelper()
	var parsed object
	Expect(yaml.Unmarshal([]byte(spec), &parsed)).To(Succeed())
	made := &unstructured.Unstructured{Object: object{"spec": parsed}}
	made.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	made.SetName(namespace)
	if kind == "TokenRevocation" {
		made.SetNamespace(namespace)
	}
	return made
}

// someIDs are that many different IDs.
func someIDs(count int) []string {
	ids := make([]string, count)
	for i := range ids {
		ids[i] = token.DeclaredID("uid", int64(i))
	}
	return ids
}

const (
	own  = "TokenRevocation"
	wide = "ClusterTokenRevocation"
)

var _ = Describe("A revocation", func() {
	AfterEach(func(ctx SpecContext) {
		Expect(client.IgnoreNotFound(admin.Delete(ctx, revocation(wide, `{}`)))).To(Succeed())
	})

	DescribeTable("is taken when it says what is revoked", func(ctx SpecContext, kind, spec string) {
		made := revocation(kind, spec)
		Expect(admin.Create(ctx, made)).To(Succeed())
		By("applying it once more, which changes nothing")
		version := made.GetResourceVersion()
		Expect(admin.Update(ctx, made)).To(Succeed())
		Expect(made.GetResourceVersion()).To(Equal(version))
	},
		Entry(nil, own, `{all: true}`),
		Entry(nil, own, `{subject: {kind: AccessToken, name: deploy}, before: "2026-11-24T09:00:00Z", reason: leaked in a log, reissue: true}`),
		Entry(nil, own, `{subject: {kind: ServiceAccount, name: builder}, all: false}`),
		Entry(nil, own, `{subject: {kind: User, name: "maria@example.com"}}`),
		Entry(nil, own, `{tokenIDs: [abcdefgh234567ab, zzzzzzzz234567zz], before: "2999-01-01T00:00:00.5Z"}`),
		Entry(nil, own, `{tokenIDs: [`+strings.Join(someIDs(100), ", ")+`]}`),
		Entry(nil, wide, `{all: true}`),
		Entry(nil, wide, `{namespace: shop}`),
		Entry(nil, wide, `{namespace: shop, subject: {kind: ServiceAccount, name: builder}}`),
		Entry(nil, wide, `{subject: {kind: User, name: "https://issuer.example.com#42"}}`),
		Entry(nil, wide, `{namespace: shop, tokenIDs: [abcdefgh234567ab]}`),
	)

	const sayWhat = "say what is revoked by exactly one of subject, tokenIDs and all: true"

	const isTheID = "must be the ID of a token, which is the 16 characters between its first two underscores, and never the token itself"

	DescribeTable("is refused when it does not", func(ctx SpecContext, kind, spec, field, message string) {
		expectRefused(admin.Create(ctx, revocation(kind, spec)), field, message)
	},
		Entry("nothing", own, `{}`, "spec", sayWhat),
		Entry("nothing but a time", own, `{before: "2026-11-24T09:00:00Z"}`, "spec", sayWhat),
		Entry("all that is not", own, `{all: false}`, "spec", sayWhat),
		Entry("two things", own, `{all: true, tokenIDs: [abcdefgh234567ab]}`, "spec", sayWhat),
		Entry("two other things", own, `{subject: {kind: User, name: maria}, tokenIDs: [abcdefgh234567ab]}`, "spec", sayWhat),
		Entry("nothing in the cluster", wide, `{}`, "spec", sayWhat+", or by a namespace alone"),
		Entry("all of the cluster, in a namespace", wide, `{all: true, namespace: shop}`, "spec", sayWhat+", or by a namespace alone"),
		Entry("an account of no namespace", wide, `{subject: {kind: ServiceAccount, name: builder}}`, "spec.namespace", "name the namespace that it is in"),
		Entry("a user name as an account", own, `{subject: {kind: ServiceAccount, name: "system:serviceaccount:shop:builder"}}`, "spec.subject.name", "for a user name set kind to User"),
		Entry("a user name as an AccessToken", wide, `{namespace: shop, subject: {kind: AccessToken, name: "accesstoken:shop:deploy"}}`, "spec.subject.name", "the name of the AccessToken or service account alone"),
		Entry("a kind that is none", own, `{subject: {kind: Group, name: admins}}`, "spec.subject.kind", "Unsupported value"),
		Entry("more IDs than there may be", own, `{tokenIDs: [`+strings.Join(someIDs(101), ", ")+`]}`, "spec.tokenIDs", "must have at most 100 items"),
		Entry("what is no ID", own, `{tokenIDs: [abcdefgh234567a1]}`, "spec.tokenIDs[0]", isTheID),
		Entry("a part of an ID", own, `{tokenIDs: [abcdefgh]}`, "spec.tokenIDs[0]", isTheID),
		Entry("what goes on after an ID", wide, `{tokenIDs: ["abcdefgh234567ab\n"]}`, "spec.tokenIDs[0]", isTheID),
		Entry("a text", own, `{tokenIDs: [`+strings.Repeat("x", 257)+`]}`, "spec.tokenIDs[0]", "Too long"),
		Entry("a time that is none", own, `{all: true, before: yesterday}`, "spec.before", "must be an instant in UTC, for example 2026-11-24T09:00:00Z"),
		Entry("a time with an offset", own, `{all: true, before: "2026-11-24T09:00:00+01:00"}`, "spec.before", "must be an instant in UTC, for example 2026-11-24T09:00:00Z"),
	)

	It("says what an ID is to whoever gives a token, and does not repeat it", func(ctx SpecContext) {
		leaked, err := token.Generate("abcdefgh234567ab", rand.Reader)
		Expect(err).NotTo(HaveOccurred())
		err = admin.Create(ctx, revocation(own, `{tokenIDs: [`+leaked.Reveal()+`]}`))
		expectRefused(err, "spec.tokenIDs[0]", isTheID)
		Expect(err.Error()).NotTo(ContainSubstring("kat_"))
	})

	DescribeTable("cannot be changed", func(ctx SpecContext, kind string, change object) {
		made := revocation(kind, `{subject: {kind: User, name: maria}, before: "2026-11-24T09:00:00Z"}`)
		Expect(admin.Create(ctx, made)).To(Succeed())
		expectRefused(admin.Patch(ctx, made, merge(object{"spec": change})), "spec", "a revocation cannot be changed: create another one")
	},
		Entry("to revoke less", own, object{"before": "2026-11-23T09:00:00Z"}),
		Entry("to revoke more", own, object{"before": nil}),
		Entry("to revoke somebody else's", wide, object{"subject": object{"name": "otto"}}),
		Entry("to reach less far", wide, object{"namespace": "shop"}),
		Entry("in what it asks for", wide, object{"reissue": true}),
		Entry("in why", own, object{"reason": "a mistake"}),
	)

	It("shows what a person wants to know", func(ctx SpecContext) {
		made := revocation(own, `{subject: {kind: AccessToken, name: deploy}, reason: leaked in a log}`)
		Expect(admin.Create(ctx, made)).To(Succeed())
		Expect(admin.Status().Patch(ctx, made, merge(object{"status": object{
			"conditions":      []object{{"type": "Ready", "status": "True", "reason": "Revoked", "message": "", "lastTransitionTime": "2026-11-24T09:00:00Z"}},
			"effectiveBefore": "2026-11-24T09:00:00Z", "revoked": 2, "reissued": 1,
		}}))).To(Succeed())
		table, err := cp.Kubectl(ctx, "get", "trev", "-n", namespace, "-o", "wide")
		Expect(err).NotTo(HaveOccurred())
		Expect(table).To(MatchRegexp(`NAME +READY +REASON +KIND +SUBJECT +ALL +BEFORE +REVOKED +REISSUED +AGE +WHY\n\S+ +True +Revoked +AccessToken +deploy +2026-11-24T09:00:00Z +2 +1 +\d+s +leaked in a log\n`))

		Expect(admin.Create(ctx, revocation(wide, `{all: true}`))).To(Succeed())
		table, err = cp.Kubectl(ctx, "get", "ctrev", namespace)
		Expect(err).NotTo(HaveOccurred())
		Expect(table).To(MatchRegexp(`NAME +READY +REASON +NAMESPACE +KIND +SUBJECT +ALL +BEFORE +REVOKED +REISSUED +AGE\n\S+ +true +\d+s\n`))
	})
})
