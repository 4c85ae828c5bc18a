package accessreview

import (
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
)

// mappings are what the scopes of these tests cover.
var mappings = []config.ScopeMapping{
	{Scope: "read:pods", Rules: []config.Rule{
		{Verbs: []string{"get", "list"}, APIGroups: []string{""}, Resources: []string{"pods", "pods/log"}},
	}},
	{Scope: "scale:shop", Rules: []config.Rule{
		{Verbs: []string{"patch"}, APIGroups: []string{"apps"}, Resources: []string{"*/scale"}, Namespaces: []string{"shop"}, ResourceNames: []string{"web"}},
	}},
	{Scope: "health", Rules: []config.Rule{{Verbs: []string{"get"}, NonResourceURLs: []string{"/livez", "/metrics/*"}}}},
	{Scope: "everything", Rules: []config.Rule{
		{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}},
		{Verbs: []string{"*"}, NonResourceURLs: []string{"*"}},
	}},
	{Scope: "any-verb", Rules: []config.Rule{{Verbs: []string{"*"}, APIGroups: []string{""}, Resources: []string{"secrets"}}}},
	{Scope: "any-resource", Rules: []config.Rule{{Verbs: []string{"get", "impersonate"}, APIGroups: []string{""}, Resources: []string{"*"}}}},
	{Scope: "named", Rules: []config.Rule{
		{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"secrets"}, Namespaces: []string{"shop"}},
		{Verbs: []string{"impersonate"}, APIGroups: []string{""}, Resources: []string{"users"}},
		{Verbs: []string{"create"}, APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}},
		{Verbs: []string{"update"}, APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"certificatesigningrequests/approval"}},
		{Verbs: []string{"create"}, APIGroups: []string{"accesstoken.dev"}, Resources: []string{"accesstokens"}},
	}},
}

// on is a request for a resource: verb, group/version-less resource with its
// subresource, and namespace.
func on(verb, group, resource, namespace string, name ...string) *authorizationv1.SubjectAccessReviewSpec {
	kind, subresource, _ := strings.Cut(resource, "/")
	return &authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
		Verb: verb, Group: group, Resource: kind, Subresource: subresource, Namespace: namespace, Name: strings.Join(name, ""),
	}}
}

func path(verb, of string) *authorizationv1.SubjectAccessReviewSpec {
	return &authorizationv1.SubjectAccessReviewSpec{NonResourceAttributes: &authorizationv1.NonResourceAttributes{Verb: verb, Path: of}}
}

// by makes the request one of a token; nil scopes are of a token without.
func by(spec *authorizationv1.SubjectAccessReviewSpec, scopes ...string) *authorizationv1.SubjectAccessReviewSpec {
	spec.User = "accesstoken:ci:deploy"
	spec.Groups = []string{"accesstokens", "accesstokens:ci", "system:authenticated"}
	spec.Extra = map[string]authorizationv1.ExtraValue{"accesstoken.dev/token-id": {"aaaaaaaaaaaaaaaa"}, "accesstoken.dev/name": {"ci/deploy"}}
	if scopes != nil {
		spec.Extra["accesstoken.dev/scopes"] = scopes
	}
	return spec
}

func deny(t *testing.T, spec *authorizationv1.SubjectAccessReviewSpec) string {
	t.Helper()
	r, ok := requestOf(spec)
	if !ok {
		t.Fatalf("%+v is no request", spec)
	}
	return newDecider(mappings).deny(bearerOf(spec), r)
}

func TestAScopeCoversWhatItIsMappedTo(t *testing.T) {
	for name, c := range map[string]struct {
		spec   *authorizationv1.SubjectAccessReviewSpec
		denied bool
	}{
		"a verb and resource of a rule":                {spec: by(on("get", "", "pods", "shop"), "read:pods")},
		"a subresource of a rule":                      {spec: by(on("get", "", "pods/log", "shop"), "read:pods")},
		"another subresource":                          {spec: by(on("get", "", "pods/exec", "shop"), "read:pods"), denied: true},
		"another verb":                                 {spec: by(on("delete", "", "pods", "shop"), "read:pods"), denied: true},
		"another resource":                             {spec: by(on("get", "", "configmaps", "shop"), "read:pods"), denied: true},
		"another group":                                {spec: by(on("get", "metrics.k8s.io", "pods", "shop"), "read:pods"), denied: true},
		"one of several scopes":                        {spec: by(on("get", "", "pods", "shop"), "other", "read:pods")},
		"the subresource of all resources":             {spec: by(on("patch", "apps", "deployments/scale", "shop", "web"), "scale:shop")},
		"but not the resource itself":                  {spec: by(on("patch", "apps", "deployments", "shop", "web"), "scale:shop"), denied: true},
		"another namespace":                            {spec: by(on("patch", "apps", "deployments/scale", "ci", "web"), "scale:shop"), denied: true},
		"no namespace":                                 {spec: by(on("patch", "apps", "deployments/scale", "", "web"), "scale:shop"), denied: true},
		"another name":                                 {spec: by(on("patch", "apps", "deployments/scale", "shop", "db"), "scale:shop"), denied: true},
		"no name, as in a list":                        {spec: by(on("patch", "apps", "deployments/scale", "shop"), "scale:shop"), denied: true},
		"a path":                                       {spec: by(path("get", "/livez"), "health")},
		"a path below one with a star":                 {spec: by(path("get", "/metrics/slis"), "health")},
		"a path that only begins like one":             {spec: by(path("get", "/livez/etcd"), "health"), denied: true},
		"another verb on a path":                       {spec: by(path("post", "/livez"), "health"), denied: true},
		"a path is covered by no rule about resources": {spec: by(path("get", "/logs"), "read:pods"), denied: true},
		"a star for everything":                        {spec: by(on("delete", "apps", "deployments", "shop"), "everything")},
		"a star for every path":                        {spec: by(path("get", "/logs"), "everything")},
		"a scope that nothing maps":                    {spec: by(on("get", "", "pods", "shop"), "unmapped"), denied: true},
		"a scope of another spelling":                  {spec: by(on("get", "", "pods", "shop"), "Read:Pods"), denied: true},
		"who am I, with a scope that covers something": {spec: by(on("create", "authentication.k8s.io", "selfsubjectreviews", ""), "read:pods")},
		"what does the API offer, likewise":            {spec: by(path("get", "/apis/apps/v1"), "read:pods")},
		"who am I, with a scope that covers nothing":   {spec: by(on("create", "authentication.k8s.io", "selfsubjectreviews", ""), "unmapped"), denied: true},
		"what does the API offer, likewise not":        {spec: by(path("get", "/api"), "unmapped"), denied: true},
		"without scopes RBAC alone decides":            {spec: by(on("delete", "apps", "deployments", "shop"))},
		"and about paths":                              {spec: by(path("get", "/logs"))},
	} {
		t.Run(name, func(t *testing.T) {
			if reason := deny(t, c.spec); (reason != "") != c.denied {
				t.Errorf("reason %q, want denied %v", reason, c.denied)
			}
		})
	}
}

func TestScopesThatAreThereButEmptyCoverNothing(t *testing.T) {
	spec := by(on("get", "", "pods", "shop"))
	spec.Extra["accesstoken.dev/scopes"] = nil
	if deny(t, spec) == "" {
		t.Error("an empty list of scopes is taken for none")
	}
}

func TestRequestsOfOthersAreNoBusinessOfOurs(t *testing.T) {
	for _, spec := range []*authorizationv1.SubjectAccessReviewSpec{
		on("get", "", "secrets", "shop"), on("impersonate", "", "users", ""), on("create", "accesstoken.dev", "accesstokens", "shop"), path("get", "/metrics"),
	} {
		spec.User, spec.Groups = "jane", []string{"system:masters", "accesstokens:ci"}
		spec.Extra = map[string]authorizationv1.ExtraValue{"example.com/scopes": {"none"}}
		if reason := deny(t, spec); reason != "" {
			t.Errorf("%+v: %s", spec, reason)
		}
	}
}

func TestATokenGetsNoMorePowerThanItWasGiven(t *testing.T) {
	for name, spec := range map[string]func() *authorizationv1.SubjectAccessReviewSpec{
		"impersonate a user":  func() *authorizationv1.SubjectAccessReviewSpec { return on("impersonate", "", "users", "", "admin") },
		"impersonate a group": func() *authorizationv1.SubjectAccessReviewSpec { return on("impersonate", "", "groups", "") },
		"impersonate an extra": func() *authorizationv1.SubjectAccessReviewSpec {
			return on("impersonate", "authentication.k8s.io", "userextras/x", "")
		},
		"constrained impersonation": func() *authorizationv1.SubjectAccessReviewSpec {
			return on("impersonate:user-info", "authentication.k8s.io", "users", "")
		},
		"what is done by it": func() *authorizationv1.SubjectAccessReviewSpec {
			return on("impersonate-on:user-info:list", "", "pods", "shop")
		},
		"impersonation of a node": func() *authorizationv1.SubjectAccessReviewSpec {
			return on("impersonate:arbitrary-node", "authentication.k8s.io", "nodes", "")
		},
		"bind": func() *authorizationv1.SubjectAccessReviewSpec {
			return on("bind", "rbac.authorization.k8s.io", "clusterroles", "", "admin")
		},
		"escalate": func() *authorizationv1.SubjectAccessReviewSpec {
			return on("escalate", "rbac.authorization.k8s.io", "roles", "shop")
		},
		"approve for a signer": func() *authorizationv1.SubjectAccessReviewSpec {
			return on("approve", "certificates.k8s.io", "signers", "", "a/*")
		},
		"sign": func() *authorizationv1.SubjectAccessReviewSpec {
			return on("sign", "certificates.k8s.io", "signers", "")
		},
		"attest": func() *authorizationv1.SubjectAccessReviewSpec {
			return on("attest", "certificates.k8s.io", "signers", "")
		},
		"approve a request": func() *authorizationv1.SubjectAccessReviewSpec {
			return on("update", "certificates.k8s.io", "certificatesigningrequests/approval", "")
		},
		"write its certificate": func() *authorizationv1.SubjectAccessReviewSpec {
			return on("patch", "certificates.k8s.io", "certificatesigningrequests/status", "")
		},
		"have it approved": func() *authorizationv1.SubjectAccessReviewSpec {
			return on("create", "certificates.k8s.io", "certificatesigningrequests/nodeclient", "")
		},
		"issue a service account's token": func() *authorizationv1.SubjectAccessReviewSpec {
			return on("create", "", "serviceaccounts/token", "shop", "default")
		},
		"get a Secret":                     func() *authorizationv1.SubjectAccessReviewSpec { return on("get", "", "secrets", "ci", "key") },
		"list Secrets":                     func() *authorizationv1.SubjectAccessReviewSpec { return on("list", "", "secrets", "") },
		"watch Secrets":                    func() *authorizationv1.SubjectAccessReviewSpec { return on("watch", "", "secrets", "ci") },
		"patch a Secret, which returns it": func() *authorizationv1.SubjectAccessReviewSpec { return on("patch", "", "secrets", "ci", "key") },
		"delete Secrets, which does too":   func() *authorizationv1.SubjectAccessReviewSpec { return on("deletecollection", "", "secrets", "ci") },
		"make an AccessToken": func() *authorizationv1.SubjectAccessReviewSpec {
			return on("create", "accesstoken.dev", "accesstokens", "ci")
		},
		"write a record's status": func() *authorizationv1.SubjectAccessReviewSpec {
			return on("patch", "accesstoken.dev", "tokenrecords/status", "ci")
		},
		"use a verb of ours": func() *authorizationv1.SubjectAccessReviewSpec {
			return on("issue-without-expiry", "accesstoken.dev", "accesstokens", "ci")
		},
		"may I do everything":      func() *authorizationv1.SubjectAccessReviewSpec { return on("*", "*", "*", "") },
		"may I read everything":    func() *authorizationv1.SubjectAccessReviewSpec { return on("get", "*", "*", "") },
		"may I do everything here": func() *authorizationv1.SubjectAccessReviewSpec { return on("*", "", "pods", "ci") },
		"may I create everything":  func() *authorizationv1.SubjectAccessReviewSpec { return on("create", "", "*/token", "ci") },
	} {
		t.Run(name, func(t *testing.T) {
			for _, scopes := range [][]string{nil, {"read:pods"}, {"everything", "any-verb", "any-resource"}} {
				if deny(t, by(spec(), scopes...)) == "" {
					t.Errorf("no opinion on a token with scopes %v", scopes)
				}
			}
			impersonated := spec()
			impersonated.Groups = []string{"accesstokens"}
			if deny(t, impersonated) == "" {
				t.Error("no opinion on one who acts as a token's user")
			}
		})
	}
}

func TestAMappingCanNameWhatGivesMorePower(t *testing.T) {
	for name, spec := range map[string]*authorizationv1.SubjectAccessReviewSpec{
		"a Secret":         by(on("get", "", "secrets", "shop", "key"), "named"),
		"impersonation":    by(on("impersonate", "", "users", "", "jane"), "named"),
		"a token":          by(on("create", "", "serviceaccounts/token", "shop"), "named"),
		"an approval":      by(on("update", "certificates.k8s.io", "certificatesigningrequests/approval", ""), "named"),
		"an AccessToken":   by(on("create", "accesstoken.dev", "accesstokens", "shop"), "named"),
		"one of several":   by(on("get", "", "secrets", "shop", "key"), "read:pods", "named"),
		"reads of our own": by(on("list", "accesstoken.dev", "accesstokens", "shop")),
		"new Secrets":      by(on("create", "", "secrets", "shop")),
		"a CSR":            by(on("create", "certificates.k8s.io", "certificatesigningrequests", "")),
	} {
		if reason := deny(t, spec); reason != "" {
			t.Errorf("%s: %s", name, reason)
		}
	}
	for name, spec := range map[string]*authorizationv1.SubjectAccessReviewSpec{
		"in another namespace":   by(on("get", "", "secrets", "ci", "key"), "named"),
		"another verb":           by(on("list", "", "secrets", "shop"), "named"),
		"another of our objects": by(on("create", "accesstoken.dev", "accesstokens/status", "shop"), "named"),
	} {
		if deny(t, spec) == "" {
			t.Errorf("%s: no opinion", name)
		}
	}
}

func TestTheReasonNamesTheScopesAndWhatIsMissing(t *testing.T) {
	for want, spec := range map[string]*authorizationv1.SubjectAccessReviewSpec{
		`access token "ci/deploy" has the scopes "read:pods", "other", and none of them is mapped to "delete" of "pods" in API group "" in namespace "shop"`:                           by(on("delete", "", "pods", "shop"), "read:pods", "other"),
		`access token "ci/deploy" has the scopes "read:pods", and none of them is mapped to "get" of path "/logs"`:                                                                     by(path("get", "/logs"), "read:pods"),
		`access token "ci/deploy" has no scopes, and the content of Secrets takes one that is mapped to "get" of "secrets" in API group "" by name`:                                    by(on("get", "", "secrets", "")),
		`access token "ci/deploy": a token cannot write AccessTokens, whatever is mapped: use another credential`:                                                                      by(on("create", "accesstoken.dev", "accesstokens", "ci"), "everything"),
		`access token "ci/deploy" has no scopes, and writing objects of accesstoken.dev takes one that is mapped to "delete" of "tokenrecords" in API group "accesstoken.dev" by name`: by(on("delete", "accesstoken.dev", "tokenrecords", "")),
	} {
		if got := deny(t, spec); got != want {
			t.Errorf("reason\n%s\nwant\n%s", got, want)
		}
	}
	many := by(on("get", "", "pods", ""), strings.Split(strings.Repeat("a ", 20), " ")...)
	many.Extra["accesstoken.dev/name"] = []string{strings.Repeat("n", 500) + "\n"}
	many.ResourceAttributes.Resource = "kat_aaaaaaaaaaaaaaaa_secretsecret"
	got := deny(t, many)
	if len(got) > 2000 || !strings.Contains(got, "and 13 more") || strings.ContainsAny(got, "\n") || strings.Contains(got, "secretsecret") {
		t.Errorf("reason = %s", got)
	}
}
