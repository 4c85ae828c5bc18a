package admission_test

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

// declared makes an AccessToken and returns its UID.
func declared(ctx context.Context, name string) types.UID {
	GinkgoHelper()
	declared := accessToken(name, "")
	Expect(as(bob).Create(ctx, declared)).To(Succeed())
	return declared.GetUID()
}

// tokenRecord is a record as the manager writes it, in all but its seal.
func tokenRecord(name string) *v1alpha1.TokenRecord {
	record := &v1alpha1.TokenRecord{Spec: v1alpha1.TokenRecordSpec{
		Origin:        v1alpha1.OriginDeclared,
		Subject:       v1alpha1.Subject{Kind: v1alpha1.SubjectKindAccessToken, Name: "accesstoken:ns:ci"},
		Scopes:        []string{"deploy:shop"},
		IssuedAt:      "2026-11-24T09:00:00Z",
		MaxAgeSeconds: ptr.To(int64(3600)),
		NotAfter:      "2026-11-24T10:00:00Z",
		KeyID:         "k1",
		Hash:          strings.Repeat("0f", 32),
		Seal:          strings.Repeat("0f", 32),
	}}
	record.Namespace, record.Name = namespace, name
	return record
}

var _ = Describe("A record", func() {
	const name = "abcdefgh234567ab"
	const onlyOperator = "only accounts that hold the verb issue on tokenrecords in the whole cluster write "
	revoked := object{"status": object{"revokedAt": "2026-11-24T09:30:00Z", "reason": "Revoked"}}
	taken := object{"status": object{"expiresAt": "2026-11-24T09:40:00Z", "maxAgeSeconds": 1800, "reason": "Superseded"}}

	status := func(ctx SpecContext, user client.Client, patch object) error {
		return user.Status().Patch(ctx, tokenRecord(name), merge(patch))
	}

	BeforeEach(func(ctx SpecContext) {
		Expect(manager().Create(ctx, tokenRecord(name))).To(Succeed())
	})

	It("is written by the manager's account, which takes power away", func(ctx SpecContext) {
		Expect(status(ctx, manager(), taken)).To(Succeed())
		Expect(status(ctx, manager(), revoked)).To(Succeed())
	})

	DescribeTable("gives nothing to a namespace's administrator, nor to the manager's account",
		func(ctx SpecContext, before, attack object, rule string) {
			Expect(status(ctx, manager(), before)).To(Succeed())
			// The schema answers before the policy does.
			Expect(status(ctx, as(eve), attack)).To(MatchError(ContainSubstring(rule)))
			Expect(status(ctx, manager(), attack)).To(MatchError(ContainSubstring(rule)))
		},
		Entry("who un-revokes it", revoked, object{"status": object{"revokedAt": nil}}, "status.revokedAt cannot be unset or moved"),
		Entry("who moves its revocation", revoked, object{"status": object{"revokedAt": "2999-01-01T00:00:00Z"}}, "status.revokedAt cannot be unset or moved"),
		Entry("who takes its status away", revoked, object{"status": nil}, "status.revokedAt cannot be unset or moved"),
		Entry("who moves its end", taken, object{"status": object{"expiresAt": "2999-01-01T00:00:00Z"}}, "status.expiresAt can only move earlier"),
		Entry("who takes its end away", taken, object{"status": object{"expiresAt": nil}}, "status.expiresAt can only move earlier"),
		Entry("who makes it older", taken, object{"status": object{"maxAgeSeconds": 3600}}, "status.maxAgeSeconds can only shrink"),
	)

	DescribeTable("takes nothing from a namespace's administrator that the schema would take",
		func(ctx SpecContext, attack object) {
			Expect(status(ctx, as(eve), attack)).To(beForbiddenBy("accesstoken-records",
				onlyOperator+"tokenrecords/status, and eve does not: declare an AccessToken and let the operator issue it"))
			Expect(status(ctx, manager(), attack)).To(Succeed())
		},
		Entry("a revocation", revoked),
		Entry("an end that is as late as can be", object{"status": object{"expiresAt": "2999-01-01T00:00:00Z"}}),
		Entry("an age that is as great as can be", object{"status": object{"maxAgeSeconds": 1 << 52}}),
	)

	DescribeTable("cannot be edited by a namespace's administrator, nor by the manager's account",
		func(ctx SpecContext, spec object) {
			patch := merge(object{"spec": spec})
			// The schema answers before the policy does.
			Expect(as(eve).Patch(ctx, tokenRecord(name), patch)).To(MatchError(Or(
				ContainSubstring("a record cannot be changed"), ContainSubstring(onlyOperator))))
			Expect(manager().Patch(ctx, tokenRecord(name), patch)).NotTo(Succeed())
			Expect(admin().Patch(ctx, tokenRecord(name), patch)).To(MatchError(ContainSubstring("a record cannot be changed")))
		},
		Entry("more scopes", object{"scopes": []string{"deploy:shop", "admin"}}),
		Entry("a later end", object{"notAfter": "2999-01-01T00:00:00Z"}),
		Entry("another subject", object{"subject": object{"name": "system:admin"}}),
		Entry("a hash of their own", object{"hash": strings.Repeat("1e", 32)}),
	)

	It("cannot be made again, copied or squatted by a namespace's administrator", func(ctx SpecContext) {
		By("ending it by deleting it, which RBAC alone governs")
		Expect(status(ctx, manager(), revoked)).To(Succeed())
		live := tokenRecord(name)
		Expect(as(eve).Get(ctx, client.ObjectKeyFromObject(live), live)).To(Succeed())
		Expect(as(eve).Delete(ctx, tokenRecord(name))).To(Succeed())

		By("making it again as it was")
		again := tokenRecord(name)
		again.Spec, again.Labels = live.Spec, live.Labels
		refusal := beForbiddenBy("accesstoken-records", onlyOperator+"tokenrecords, and eve does not")
		Expect(as(eve).Create(ctx, again)).To(refusal)
		Expect(as(eve).Patch(ctx, tokenRecord(name), client.RawPatch(types.ApplyPatchType,
			[]byte(`{"apiVersion":"accesstoken.dev/v1alpha1","kind":"TokenRecord","metadata":{"name":"`+name+`"},"spec":{"origin":"Declared","subject":{"kind":"AccessToken","name":"x"},"issuedAt":"2026-11-24T09:00:00Z","keyID":"k1","hash":"`+again.Spec.Hash+`","seal":"`+again.Spec.Seal+`"}}`)),
			client.FieldOwner("eve"))).To(refusal)

		By("taking the name of the next one")
		uid := declared(ctx, "ci")
		Expect(as(eve).Create(ctx, tokenRecord(token.DeclaredID(string(uid), 2)))).To(refusal)
		Expect(manager().Create(ctx, tokenRecord(token.DeclaredID(string(uid), 2)))).To(Succeed())
	})

	It("leaves its metadata to the garbage collector", func(ctx SpecContext) {
		collector := asUser(rest.ImpersonationConfig{
			UserName: "system:serviceaccount:kube-system:generic-garbage-collector",
			Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"},
		})
		owned := tokenRecord("owned23456owned2")
		owned.OwnerReferences = []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "AccessToken", Name: "ci", UID: declared(ctx, "ci")}}
		Expect(manager().Create(ctx, owned)).To(Succeed())
		Expect(collector.Patch(ctx, owned, merge(object{"metadata": object{"ownerReferences": nil}}))).To(Succeed())
		Expect(owned.OwnerReferences).To(BeEmpty())

		By("foreground deletion, whose finalizer the collector takes off")
		Expect(as(eve).Delete(ctx, owned, client.PropagationPolicy(metav1.DeletePropagationForeground))).To(Succeed())
		Eventually(ctx, func() error { return client.IgnoreNotFound(admin().Get(ctx, client.ObjectKeyFromObject(owned), owned)) }).Should(Succeed())
		Eventually(ctx, func() error { return admin().Get(ctx, client.ObjectKeyFromObject(owned), owned) }).Should(MatchError(ContainSubstring("not found")))
	})

	It("that is a canary is refused to the manager, which so sees that the policy is in force", func(ctx SpecContext) {
		canary := tokenRecord("canary23canary23")
		canary.Namespace = metav1.NamespaceDefault
		canary.Annotations = map[string]string{v1alpha1.AnnotationCanary: "true"}
		Expect(manager().Create(ctx, canary, client.DryRunAll)).To(beForbiddenBy("accesstoken-records", "a canary is never created"))
		Expect(admin().Create(ctx, canary, client.DryRunAll)).To(beForbiddenBy("accesstoken-records", "canary"))
	})
})

var _ = Describe("The status of an AccessToken", func() {
	It("is written by the manager's account only", func(ctx SpecContext) {
		declared(ctx, "ci")
		issued := merge(object{"status": object{"tokenID": "abcdefgh234567ab", "revision": 7}})
		Expect(as(eve).Status().Patch(ctx, accessToken("ci", ""), issued)).To(beForbiddenBy("accesstoken-records",
			"only accounts that hold the verb issue on tokenrecords in the whole cluster write accesstokens/status, and eve does not"))
		Expect(manager().Status().Patch(ctx, accessToken("ci", ""), issued)).To(Succeed())
		Expect(as(eve).Status().Patch(ctx, accessToken("ci", ""), merge(object{"status": nil}))).To(beForbiddenBy("accesstoken-records"))

		By("what a person writes together with a status is taken, and the status is not")
		live := accessToken("ci", "")
		Expect(as(eve).Get(ctx, client.ObjectKeyFromObject(live), live)).To(Succeed())
		live.Object["spec"], live.Object["status"] = object{"description": "edited"}, object{"revision": int64(99)}
		Expect(as(eve).Update(ctx, live)).To(Succeed())
		Expect(live.Object["status"]).To(HaveKeyWithValue("revision", int64(7)))
	})
})

var _ = Describe("The ledger of places", func() {
	It("is written by the manager's account only", func(ctx SpecContext) {
		ledger := func() *v1alpha1.AccessTokenQuota {
			return &v1alpha1.AccessTokenQuota{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1alpha1.AccessTokenQuotaName}}
		}
		refusal := func(resource string) OmegaMatcher {
			return beForbiddenBy("accesstoken-records", "only accounts that hold the verb issue on tokenrecords in the whole cluster write "+resource+", and eve does not")
		}
		Expect(as(eve).Create(ctx, ledger())).To(refusal("accesstokenquotas"))
		Expect(manager().Create(ctx, ledger())).To(Succeed())

		forged := ledger()
		Expect(as(eve).Get(ctx, client.ObjectKeyFromObject(forged), forged)).To(Succeed())
		forged.Status = v1alpha1.AccessTokenQuotaStatus{Hard: 10000, Holders: []v1alpha1.PlaceHolder{{UID: "mine", Name: "mine", GrantedAt: "2026-11-24T09:00:00Z"}}}
		Expect(as(eve).Status().Update(ctx, forged.DeepCopy())).To(refusal("accesstokenquotas/status"))
		Expect(as(eve).Status().Patch(ctx, ledger(), merge(object{"status": object{"hard": 10000}}))).To(refusal("accesstokenquotas/status"))
		Expect(manager().Status().Update(ctx, forged)).To(Succeed())
		Expect(as(eve).Status().Patch(ctx, ledger(), merge(object{"status": nil}))).To(refusal("accesstokenquotas/status"))
	})

	It("has limits that no administrator of a namespace sets", func(ctx SpecContext) {
		raise := &v1alpha1.AccessTokenPolicy{ObjectMeta: metav1.ObjectMeta{Name: "raise"}, Spec: v1alpha1.AccessTokenPolicySpec{Quota: &v1alpha1.PolicyQuota{Tokens: ptr.To[int32](10000)}}}
		Expect(as(eve).Create(ctx, raise)).To(MatchError(ContainSubstring(`User "eve" cannot create resource "accesstokenpolicies"`)))
	})
})
