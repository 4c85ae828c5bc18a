package v1alpha1_test

import (
	"maps"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// walk calls visit with every field of ours in a schema.
func walk(path string, schema apiextensionsv1.JSONSchemaProps, visit func(path string, field apiextensionsv1.JSONSchemaProps)) {
	visit(path, schema)
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		if path == "" && (name == "apiVersion" || name == "kind" || name == "metadata") {
			continue
		}
		walk(path+"."+name, schema.Properties[name], visit)
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		walk(path+"[]", *schema.Items.Schema, visit)
	}
}

func definition(ctx SpecContext, name string) *apiextensionsv1.CustomResourceDefinition {
	GinkgoHelper()
	crd := &apiextensionsv1.CustomResourceDefinition{}
	Expect(admin.Get(ctx, client.ObjectKey{Name: name}, crd)).To(Succeed())
	return crd
}

const (
	accessTokens        = "accesstokens.accesstoken.dev"
	accessTokenPolicies = "accesstokenpolicies.accesstoken.dev"
	accessTokenQuotas   = "accesstokenquotas.accesstoken.dev"
	tokenRecords        = "tokenrecords.accesstoken.dev"
	tokenRevocations    = "tokenrevocations.accesstoken.dev"
	clusterRevocations  = "clustertokenrevocations.accesstoken.dev"
)

var _ = Describe("Definition", func() {
	DescribeTable("describes every field", func(ctx SpecContext, name string) {
		schema := definition(ctx, name).Spec.Versions[0].Schema.OpenAPIV3Schema
		walk("", *schema, func(path string, field apiextensionsv1.JSONSchemaProps) {
			if strings.HasSuffix(path, "[]") && field.Type != "object" {
				return // a list says what its items are
			}
			Expect(field.Description).NotTo(BeEmpty(), "field %s has no description", path)
			Expect(field.Description).NotTo(ContainSubstring("+kubebuilder"), "field %s", path)
		})
	}, Entry(nil, accessTokens), Entry(nil, accessTokenPolicies), Entry(nil, accessTokenQuotas), Entry(nil, tokenRecords), Entry(nil, tokenRevocations), Entry(nil, clusterRevocations))

	DescribeTable("bounds every text and every list", func(ctx SpecContext, name string) {
		schema := definition(ctx, name).Spec.Versions[0].Schema.OpenAPIV3Schema
		walk("", *schema, func(path string, field apiextensionsv1.JSONSchemaProps) {
			switch {
			case field.Type == "string" && len(field.Enum) == 0 && field.Format != "date-time":
				Expect(field.MaxLength).NotTo(BeNil(), "text %s has no bound", path)
			case field.Type == "array":
				Expect(field.MaxItems).NotTo(BeNil(), "list %s has no bound", path)
				Expect(field.XListType).NotTo(BeNil(), "list %s does not say how it is merged", path)
			}
		})
	}, Entry(nil, accessTokens), Entry(nil, accessTokenPolicies), Entry(nil, accessTokenQuotas), Entry(nil, tokenRecords), Entry(nil, tokenRevocations), Entry(nil, clusterRevocations))

	It("reads as documentation", func(ctx SpecContext) {
		text, err := cp.Kubectl(ctx, "explain", "at.spec.rotation.overlap")
		Expect(err).NotTo(HaveOccurred())
		Expect(text).To(ContainSubstring("overlap is how long the replaced token stays good beside the new one"))
		text, err = cp.Kubectl(ctx, "explain", "tokenrecords.status.revokedAt")
		Expect(err).NotTo(HaveOccurred())
		Expect(text).To(ContainSubstring("Once set it stays as it is"))
	})
})

var _ = Describe("kubectl get", func() {
	// rows splits a table by its header, since a cell may hold a space.
	rows := func(table string) []map[string]string {
		lines := strings.Split(strings.TrimRight(table, "\n"), "\n")
		var names []string
		var starts []int
		from := 0 // AGE is in MAX AGE
		for _, field := range strings.Split(lines[0], "  ") {
			if name := strings.TrimSpace(field); name != "" {
				names = append(names, name)
				starts = append(starts, from+strings.Index(lines[0][from:], name))
				from = starts[len(starts)-1] + len(name)
			}
		}
		var parsed []map[string]string
		for _, line := range lines[1:] {
			row := map[string]string{}
			for i, name := range names {
				end := len(line)
				if i+1 < len(starts) {
					end = starts[i+1]
				}
				row[name] = strings.TrimSpace(line[starts[i]:end])
			}
			parsed = append(parsed, row)
		}
		return parsed
	}

	It("shows what a person wants to know of AccessTokens", func(ctx SpecContext) {
		Expect(admin.Create(ctx, accessToken("ci", `{description: Deploys the shop}`))).To(Succeed())
		Expect(admin.Create(ctx, accessToken("new", `{}`))).To(Succeed())
		Expect(admin.Status().Patch(ctx, accessToken("ci", `{}`), merge(object{"status": object{
			"conditions": []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: "True", Reason: "Issued", LastTransitionTime: metav1.Unix(0, 0)}},
			"expiresAt":  "2999-12-22T09:00:00Z", "nextRotationAt": "2999-11-29T09:00:00Z",
			"lastUsedAt": "2020-01-01T00:00:00Z", "tokenID": recordID, "secretName": "ci-secret",
		}}))).To(Succeed())

		table, err := cp.Kubectl(ctx, "get", "at", "-n", namespace)
		Expect(err).NotTo(HaveOccurred())
		Expect(strings.Fields(strings.SplitN(table, "\n", 2)[0])).To(Equal(strings.Fields("NAME READY REASON EXPIRES ROTATES LAST USED AGE")))
		parsed := rows(table)
		Expect(parsed).To(HaveLen(2))
		Expect(parsed[0]).To(And(
			HaveKeyWithValue("NAME", "ci"), HaveKeyWithValue("READY", "True"), HaveKeyWithValue("REASON", "Issued"),
			HaveKeyWithValue("EXPIRES", "2999-12-22T09:00:00Z"), HaveKeyWithValue("ROTATES", "2999-11-29T09:00:00Z"),
			HaveKeyWithValue("LAST USED", MatchRegexp(`^\d+y`)), HaveKeyWithValue("AGE", MatchRegexp(`^\d+s$`)),
		))
		Expect(parsed[1]).To(And(HaveKeyWithValue("NAME", "new"), HaveKeyWithValue("READY", ""), HaveKeyWithValue("EXPIRES", "")))

		table, err = cp.Kubectl(ctx, "get", "at", "-n", namespace, "-o", "wide")
		Expect(err).NotTo(HaveOccurred())
		Expect(rows(table)[0]).To(And(
			HaveKeyWithValue("TOKEN-ID", recordID), HaveKeyWithValue("SECRET", "ci-secret"), HaveKeyWithValue("DESCRIPTION", "Deploys the shop"),
		))
	})

	It("shows what a person wants to know of TokenRecords", func(ctx SpecContext) {
		Expect(admin.Create(ctx, tokenRecord())).To(Succeed())
		Expect(admin.Status().Patch(ctx, tokenRecord(), merge(revoked))).To(Succeed())
		table, err := cp.Kubectl(ctx, "get", "tokenrecords", "-n", namespace, "-o", "wide")
		Expect(err).NotTo(HaveOccurred())
		Expect(rows(table)).To(HaveExactElements(And(
			HaveKeyWithValue("NAME", recordID), HaveKeyWithValue("ACCESSTOKEN", "ci"), HaveKeyWithValue("REVISION", "1"),
			HaveKeyWithValue("ISSUED", "2026-11-24T09:00:00Z"), HaveKeyWithValue("NOT AFTER", "2026-12-24T09:00:00Z"),
			HaveKeyWithValue("ENDS EARLIER", ""), HaveKeyWithValue("REVOKED", "2026-11-24T09:30:00Z"), HaveKeyWithValue("REASON", "Revoked"),
			HaveKeyWithValue("SUBJECT", "accesstoken:ns:ci"), HaveKeyWithValue("KEY", "k1"),
		)))
	})

	It("shows how many places are taken, as kubectl get resourcequota does", func(ctx SpecContext) {
		quota := accessTokenQuota(v1alpha1.AccessTokenQuotaName)
		Expect(admin.Create(ctx, quota)).To(Succeed())
		quota.Status = v1alpha1.AccessTokenQuotaStatus{Used: 0, Hard: 100, HardPerSubject: 10}
		Expect(admin.Status().Update(ctx, quota)).To(Succeed())
		table, err := cp.Kubectl(ctx, "get", "atq", "-n", namespace, "-o", "wide")
		Expect(err).NotTo(HaveOccurred())
		Expect(rows(table)).To(HaveExactElements(And(
			HaveKeyWithValue("NAME", "tokens"), HaveKeyWithValue("USED", "0"), HaveKeyWithValue("HARD", "100"), HaveKeyWithValue("HARD PER SUBJECT", "10"),
		)))
	})

	It("shows the limits of AccessTokenPolicies", func(ctx SpecContext) {
		Expect(admin.Create(ctx, accessTokenPolicy(`{maxAge: {default: 168h, max: 720h}, rotation: {maxInterval: 100h}, scopes: {allowed: ["deploy:*", read]},
			audiences: {allowed: [kubernetes]}, subjects: {kinds: [AccessToken, User], users: [alice]}, retirement: {unusedFor: 2160h}, quota: {tokens: 500}, requireDescription: true, onViolation: End}`))).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(admin.Delete(ctx, accessTokenPolicy(`{}`))).To(Succeed()) })
		table, err := cp.Kubectl(ctx, "get", "atp")
		Expect(err).NotTo(HaveOccurred())
		limits := And(HaveKeyWithValue("NAME", "limits"), HaveKeyWithValue("MAX AGE", "720h"), HaveKeyWithValue("SCOPES", `["deploy:*","read"]`),
			HaveKeyWithValue("SUBJECTS", `["AccessToken","User"]`), HaveKeyWithValue("TOKENS", "500"), HaveKeyWithValue("ON VIOLATION", "End"))
		Expect(rows(table)).To(ContainElement(limits))
		table, err = cp.Kubectl(ctx, "get", "atp", "-o", "wide")
		Expect(err).NotTo(HaveOccurred())
		Expect(rows(table)).To(ContainElement(And(limits, HaveKeyWithValue("DEFAULT AGE", "168h"), HaveKeyWithValue("MAX INTERVAL", "100h"), HaveKeyWithValue("UNUSED FOR", "2160h"),
			HaveKeyWithValue("AUDIENCES", `["kubernetes"]`), HaveKeyWithValue("USERS", `["alice"]`), HaveKeyWithValue("PER SUBJECT", ""), HaveKeyWithValue("DESCRIPTION", "true"))))
	})

	It("lists no token when everything is deleted by the short name", func(ctx SpecContext) {
		Expect(admin.Create(ctx, accessToken("ci", `{}`))).To(Succeed())
		Expect(admin.Create(ctx, tokenRecord())).To(Succeed())
		_, err := cp.Kubectl(ctx, "delete", "at", "--all", "-n", namespace)
		Expect(err).NotTo(HaveOccurred())
		var records v1alpha1.TokenRecordList
		Expect(admin.List(ctx, &records, client.InNamespace(namespace))).To(Succeed())
		Expect(records.Items).To(HaveLen(1), "records that belong to no deleted AccessToken stay")
	})
})
