package v1alpha1_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// unreadable is a spec in which nothing that people write as text can be read.
const unreadable = `{maxAge: a month, ttlAfterFinished: soon, allowedCIDRs: [home],
  rotation: {interval: weekly, overlap: some, schedule: sometimes, timeZone: "Middle Earth", notIssuedBefore: tomorrow}}`

// withoutRules takes everything from a schema that a later version could have
// added: what was stored then is there now.
func withoutRules(schema *apiextensionsv1.JSONSchemaProps) {
	schema.XValidations, schema.Pattern, schema.Format = nil, "", ""
	for name, property := range schema.Properties {
		withoutRules(&property)
		schema.Properties[name] = property
	}
	if schema.Items != nil {
		withoutRules(schema.Items.Schema)
	}
}

// replaceSchema writes a schema and waits until it is in force, which is when an
// unreadable object is taken, or not.
func replaceSchema(ctx SpecContext, schema *apiextensionsv1.JSONSchemaProps, taken bool) {
	GinkgoHelper()
	crd := definition(ctx, accessTokens)
	crd.Spec.Versions[0].Schema.OpenAPIV3Schema = schema
	Expect(admin.Update(ctx, crd)).To(Succeed())
	Eventually(func() bool {
		return admin.Create(ctx, accessToken("probe", unreadable), client.DryRunAll) == nil
	}).Should(Equal(taken))
}

var _ = Describe("An object that is older than a rule", Serial, func() {
	It("is listed beside the others, and can be edited and mended", func(ctx SpecContext) {
		schema := definition(ctx, accessTokens).Spec.Versions[0].Schema.OpenAPIV3Schema
		older := schema.DeepCopy()
		withoutRules(older)
		replaceSchema(ctx, older, true)
		Expect(admin.Create(ctx, accessToken("older", unreadable))).To(Succeed())
		replaceSchema(ctx, schema, false)
		Expect(admin.Create(ctx, accessToken("newer", `{maxAge: 720h}`))).To(Succeed())

		var list v1alpha1.AccessTokenList
		Expect(admin.List(ctx, &list, client.InNamespace(namespace))).To(Succeed())
		Expect(list.Items).To(HaveLen(2))
		byName := map[string]v1alpha1.AccessTokenSpec{}
		for _, item := range list.Items {
			byName[item.Name] = item.Spec
		}
		_, _, err := byName["older"].MaxAge.Parse()
		Expect(err).To(MatchError(ContainSubstring(`"a month" is neither a duration such as 720h nor Never`)))
		_, _, err = byName["newer"].MaxAge.Parse()
		Expect(err).NotTo(HaveOccurred())

		By("an edit of something else")
		key := accessToken("older", `{}`)
		Expect(admin.Patch(ctx, key, merge(object{"metadata": object{"labels": object{"edited": "yes"}}}))).To(Succeed())
		Expect(admin.Status().Patch(ctx, key, merge(object{"status": object{"observedGeneration": 1}}))).To(Succeed())

		By("mending it")
		Expect(admin.Patch(ctx, key, merge(object{"spec": object{
			"maxAge": "720h", "ttlAfterFinished": nil, "rotation": object{"interval": "24h", "overlap": nil, "schedule": nil, "timeZone": nil, "notIssuedBefore": nil},
		}}))).To(Succeed())
	})
})
