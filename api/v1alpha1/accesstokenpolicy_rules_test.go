package v1alpha1_test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// accessTokenPolicy is an AccessTokenPolicy as a person writes it. spec is YAML.
func accessTokenPolicy(spec string) *unstructured.Unstructured {
	GinkgoHelper()
	var parsed map[string]any
	Expect(yaml.Unmarshal([]byte(spec), &parsed)).To(Succeed())
	object := &unstructured.Unstructured{Object: map[string]any{"spec": parsed}}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("AccessTokenPolicy"))
	object.SetName("limits")
	return object
}

var _ = Describe("AccessTokenPolicy", func() {
	selector := func(text string) string { return `{namespaceSelector: ` + text + `}` }
	expression := func(text string) string { return selector(`{matchExpressions: [` + text + `]}`) }
	longKey := strings.Repeat("a", 253)[:249] + ".dev/" + strings.Repeat("k", 63) // as long as the key of a label may be

	DescribeTable("takes a spec", func(ctx SpecContext, spec string) {
		Expect(admin.Create(ctx, accessTokenPolicy(spec), client.DryRunAll)).To(Succeed())
	},
		Entry("that says nothing", `{}`),
		Entry("for every namespace", `{namespaceSelector: {}, quota: {tokens: 5}}`),
		Entry("with no place at all", `{quota: {tokens: 0, tokensPerSubject: 0}}`),
		Entry("with as many places as there may be", `{quota: {tokens: 10000, tokensPerSubject: 10000}}`),
		Entry("for namespaces with labels", selector(`{matchLabels: {team: shop, example.com/stage: "", `+longKey+`: a.b_c-d}}`)),
		Entry("for namespaces by every operator", expression(`{key: team, operator: In, values: [shop, ""]}, {key: example.com/stage, operator: NotIn, values: [test]}, {key: a, operator: Exists}, {key: b, operator: DoesNotExist}`)),
		Entry("with scopes, whole and by how they begin", `{scopes: {allowed: [read, "deploy:*", "*", "a!b*"]}}`),
		Entry("with audiences, whole and by how they begin", `{audiences: {allowed: [kubernetes, "https://*", "*", "a b"]}}`),
		Entry("with users", `{subjects: {users: ["alice@example.com", "https://issuer.example.com#42", "the system: of it"]}}`),
		Entry("with users, and User among the kinds", `{subjects: {kinds: [AccessToken, User], users: [alice]}}`),
		Entry("with kinds alone", `{subjects: {kinds: [AccessToken]}}`),
		Entry("with as many scopes, audiences and users as there may be", `{scopes: {allowed: `+many(64, "s", strings.Repeat("x", 125))+`}, audiences: {allowed: `+many(64, "a", strings.Repeat("x", 250))+`}, subjects: {users: `+many(64, "u", strings.Repeat("x", 250))+`}}`),
		Entry("with as many values as there may be", expression(`{key: team, operator: In, values: `+many(32, "v", strings.Repeat("x", 60))+`}`)),
	)

	DescribeTable("refuses a spec and says what to do", func(ctx SpecContext, spec, field, message string) {
		err := admin.Create(ctx, accessTokenPolicy(spec), client.DryRunAll)
		expectRefused(err, field, message)
	},
		Entry("with a quota that says nothing", `{quota: {}}`, "spec.quota", "should have at least 1 properties"),
		Entry("with less than no places", `{quota: {tokens: -1}}`, "spec.quota.tokens", "should be greater than or equal to 0"),
		Entry("with more places than there may be", `{quota: {tokens: 10001}}`, "spec.quota.tokens", "should be less than or equal to 10000"),
		Entry("with less than no places for a subject", `{quota: {tokensPerSubject: -1}}`, "spec.quota.tokensPerSubject", "should be greater than or equal to 0"),
		Entry("with more places for a subject than there may be", `{quota: {tokensPerSubject: 10001}}`, "spec.quota.tokensPerSubject", "should be less than or equal to 10000"),
		Entry("with a number as text", `{quota: {tokens: "5"}}`, "spec.quota.tokens", "must be of type integer"),
		Entry("with a label that cannot be", selector(`{matchLabels: {"a b": c}}`), "spec.namespaceSelector.matchLabels", "each key must be the key of a label, for example team or example.com/team"),
		Entry("with a key that is too long for a label", selector(`{matchLabels: {`+longKey+`k: c}}`), "spec.namespaceSelector.matchLabels", "each key must be the key of a label"),
		Entry("with a value that no label has", selector(`{matchLabels: {team: "-"}}`), "spec.namespaceSelector.matchLabels[team]", "must be the value of a label: at most 63 letters, digits, -, _ and ., with a letter or digit at both ends"),
		Entry("with too many labels", selector(`{matchLabels: `+strings.NewReplacer("[", "{", "]", "}", `",`, `": x,`, `"]`, `": x}`).Replace(many(17, "l", ""))+`}`), "spec.namespaceSelector.matchLabels", "must have at most 16 items"),
		Entry("with a requirement on no label", expression(`{key: "", operator: Exists}`), "spec.namespaceSelector.matchExpressions[0].key", "must be the key of a label"),
		Entry("with a requirement on a label that cannot be", expression(`{key: "a b", operator: Exists}`), "spec.namespaceSelector.matchExpressions[0].key", "must be the key of a label, for example team or example.com/team"),
		Entry("with an unknown operator", expression(`{key: a, operator: Gt, values: ["1"]}`), "spec.namespaceSelector.matchExpressions[0].operator", `supported values: "In", "NotIn", "Exists", "DoesNotExist"`),
		Entry("with nothing to be among", expression(`{key: a, operator: In}`), "spec.namespaceSelector.matchExpressions[0].values", "belongs to the operators In and NotIn: required with these, and with these only"),
		Entry("with an empty list to be among", expression(`{key: a, operator: NotIn, values: []}`), "spec.namespaceSelector.matchExpressions[0].values", "should have at least 1 items"),
		Entry("with values that have no meaning", expression(`{key: a, operator: Exists, values: [b]}`), "spec.namespaceSelector.matchExpressions[0].values", "belongs to the operators In and NotIn"),
		Entry("with too many values", expression(`{key: a, operator: In, values: `+many(33, "v", "")+`}`), "spec.namespaceSelector.matchExpressions[0].values", "must have at most 32 items"),
		Entry("with a scope that begins with *", `{scopes: {allowed: [read, "*x"]}}`, "spec.scopes.allowed[1]", "give a scope, or how scopes begin and one * at the end, for example deploy:shop or deploy:*"),
		Entry("with a scope with two *", `{scopes: {allowed: ["a*b*"]}}`, "spec.scopes.allowed[0]", "one * at the end"),
		Entry("with a scope with ** at its end", `{scopes: {allowed: ["deploy:**"]}}`, "spec.scopes.allowed[0]", "one * at the end"),
		Entry("with a scope that cannot be", `{scopes: {allowed: ["deploy shop"]}}`, "spec.scopes.allowed[0]", "matches no scope"),
		Entry("with an audience with * within", `{audiences: {allowed: ["https://*.example.com"]}}`, "spec.audiences.allowed[0]", "give an audience, or how audiences begin and one * at the end, for example kubernetes or https://*"),
		Entry("with everybody for a user", `{subjects: {users: ["*"]}}`, "spec.subjects.users[0]", "give the whole name of a user, without *"),
		Entry("with how users begin", `{subjects: {users: [alice, "oidc:*"]}}`, "spec.subjects.users[1]", "give the whole name of a user, without *"),
		Entry("with a user of the system", `{subjects: {users: ["system:admin"]}}`, "spec.subjects.users[0]", "names that begin with system: or accesstoken: are not people"),
		Entry("with a user that is a token", `{subjects: {users: ["accesstoken:ci:deploy"]}}`, "spec.subjects.users[0]", "names that begin with system: or accesstoken: are not people"),
		Entry("with users, and no User among the kinds", `{subjects: {kinds: [AccessToken], users: [alice]}}`, "spec.subjects.users", "can match nobody, since kinds lacks User: add User to kinds, or remove users"),
		Entry("with a value in the list that no label has", expression(`{key: a, operator: In, values: ["a b"]}`), "spec.namespaceSelector.matchExpressions[0].values[0]", "must be the value of a label"),
	)
})
