package config_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
)

const head = "apiVersion: config.accesstoken.dev/v1alpha1\nkind: VerifierConfiguration\n"

const full = head + `
defaultAudience: example.com
kubernetes:
  audiences: [https://kubernetes.default.svc, https://api.example.com]
  scopes: Enforced
  scopeMappings:
  - scope: read:pods
    rules:
    - {verbs: [get, list], apiGroups: [""], resources: [pods, pods/log], namespaces: [shop], resourceNames: [web]}
    - {verbs: [get], nonResourceURLs: [/healthz, /metrics/*, "*"]}
policies:
- name: registry
  audience: registry.example.com
  scopes: [push, "accesstoken.dev:introspect"]
  schemes: [Basic, Bearer]
- name: plain
trustedProxies: [10.0.0.0/8, 192.0.2.1, "2001:db8::/32", "::ffff:198.51.100.7", "::ffff:203.0.113.0/120"]
securityEvents:
  issuers:
  - issuer: https://idp.example.com
    audience: https://tokens.example.com/events
    keys: {url: https://idp.example.com/jwks}
    users: {identifier: Email, prefix: "idp:"}
    maxAge: 1h
    reissue: true
  - issuer: https://other.example.com
    audience: https://tokens.example.com/events
    keys: {file: /etc/keys.json}
    users: {prefix: "other:"}
audit: {path: /var/log/audit.log, accepted: All}
`

func TestAMistakeInScopesIsToldOnce(t *testing.T) {
	_, err := config.Parse([]byte(head + "kubernetes: {scopes: enforced, scopeMappings: [{scope: a, rules: [{verbs: [get], nonResourceURLs: [/]}]}]}"))
	if err == nil || strings.Contains(err.Error(), "scopeMappings") {
		t.Errorf("%v, want nothing of the mappings, which are right", err)
	}
}

func TestAFullConfigurationIsReadAsItIsWritten(t *testing.T) {
	v, err := config.Parse([]byte(full))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"default audience", v.DefaultAudience, "example.com"},
		{"audiences", v.Kubernetes.Audiences, []string{"https://kubernetes.default.svc", "https://api.example.com"}},
		{"scopes", v.Kubernetes.Scopes, config.ScopesEnforced},
		{"mappings", v.Kubernetes.ScopeMappings, []config.ScopeMapping{{Scope: "read:pods", Rules: []config.Rule{
			{Verbs: []string{"get", "list"}, APIGroups: []string{""}, Resources: []string{"pods", "pods/log"}, Namespaces: []string{"shop"}, ResourceNames: []string{"web"}},
			{Verbs: []string{"get"}, NonResourceURLs: []string{"/healthz", "/metrics/*", "*"}},
		}}}},
		{"policies", v.Policies, []config.Policy{
			{Name: "registry", Audience: "registry.example.com", Scopes: []string{"push", "accesstoken.dev:introspect"}, Schemes: []config.Scheme{config.SchemeBasic, config.SchemeBearer}},
			{Name: "plain", Audience: "example.com", Schemes: []config.Scheme{config.SchemeBearer}},
		}},
		{"proxies", v.Networks(), []netip.Prefix{
			netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/32"),
			netip.MustParsePrefix("198.51.100.7/32"), netip.MustParsePrefix("203.0.113.0/24"),
		}},
		{"issuers of events", v.SecurityEvents.Issuers, []config.EventIssuer{
			{
				Issuer: "https://idp.example.com", Audience: "https://tokens.example.com/events", Keys: config.EventKeys{URL: "https://idp.example.com/jwks"},
				Users: config.EventUsers{Identifier: config.IdentifierEmail, Prefix: "idp:"}, MaxAge: "1h", Reissue: true,
			},
			{
				Issuer: "https://other.example.com", Audience: "https://tokens.example.com/events", Keys: config.EventKeys{File: "/etc/keys.json"},
				Users: config.EventUsers{Identifier: config.IdentifierSubject, Prefix: "other:"}, MaxAge: "24h",
			},
		}},
		{"audit", v.Audit, config.Audit{Path: "/var/log/audit.log", Accepted: config.AcceptedAll}},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
}

func TestWhatIsNotWrittenHasADefault(t *testing.T) {
	v, err := config.Parse([]byte(head))
	if err != nil {
		t.Fatal(err)
	}
	if want := config.Default(); !reflect.DeepEqual(v, want) {
		t.Errorf("%+v, want %+v", v, want)
	}
	if v.DefaultAudience != "accesstoken.dev" || !slices.Equal(v.Kubernetes.Audiences, []string{"https://kubernetes.default.svc"}) ||
		v.Kubernetes.Scopes != config.ScopesNotEnforced || v.Audit.Accepted != config.AcceptedSampled || v.Audit.Path != "-" || len(v.Networks()) != 0 {
		t.Errorf("%+v", v)
	}
}

func TestEachMistakeIsNamedWithItsPlaceAndAWayOut(t *testing.T) {
	rule := func(text string) string {
		return "kubernetes: {scopes: Enforced, scopeMappings: [{scope: a, rules: [" + text + "]}]}"
	}
	for name, c := range map[string]struct{ text, want string }{
		"nothing":                 {"", "it is empty: begin with apiVersion: config.accesstoken.dev/v1alpha1 and kind: VerifierConfiguration"},
		"nothing but comments":    {"# nothing\n---\n  # here\n", "it is empty: "},
		"two documents":           {head + "---\n" + head, "it holds 2 documents: one VerifierConfiguration to a file"},
		"no YAML":                 {"a: [", "yaml: "},
		"a list":                  {"- a", "cannot unmarshal array"},
		"another version":         {"apiVersion: config.accesstoken.dev/v2\nkind: VerifierConfiguration", `apiVersion, kind: "config.accesstoken.dev/v2", "VerifierConfiguration" are not known: use config.accesstoken.dev/v1alpha1 and VerifierConfiguration`},
		"another kind":            {"apiVersion: config.accesstoken.dev/v1alpha1\nkind: Verifier", `"Verifier" are not known`},
		"an unknown field":        {head + "defaultAudiance: a", `unknown field "defaultAudiance"`},
		"an unknown field within": {head + "kubernetes: {scopez: Enforced}", `unknown field "kubernetes.scopez"`},
		"a field in another case": {head + "DefaultAudience: a", `unknown field "DefaultAudience"`},
		"a field twice":           {head + "defaultAudience: a\ndefaultAudience: b", `key "defaultAudience" already set`},
		"a number for a name":     {head + "defaultAudience: 7", "cannot unmarshal number"},
		"the API server's audience as default": {
			head + "defaultAudience: kubernetes", "defaultAudience: kubernetes is the API server's: tokens that name no audience must not open the cluster, choose another",
		},
		"an audience of kube-apiserver as default": {
			head + "defaultAudience: a\nkubernetes: {audiences: [b, a]}", `kubernetes.audiences[1]: "a" is the default audience too: tokens that name no audience must not open the cluster, choose another default`,
		},
		"the default for kube-apiserver's audience as default": {
			head + "defaultAudience: https://kubernetes.default.svc", `"https://kubernetes.default.svc" is the default audience too`,
		},
		"the default audience as kube-apiserver's": {
			head + "kubernetes: {audiences: [accesstoken.dev]}", `kubernetes.audiences[0]: "accesstoken.dev" is the default audience too`,
		},
		"no audience in the list": {head + `kubernetes: {audiences: [""]}`, "kubernetes.audiences[0]: it is empty: name an audience of kube-apiserver, or remove it"},
		"unknown enforcement":     {head + "kubernetes: {scopes: enforced}", `kubernetes.scopes: "enforced" is not known: use Enforced or NotEnforced`},
		"mappings that do nothing": {
			head + "kubernetes: {scopeMappings: [{scope: a, rules: [{verbs: [get], nonResourceURLs: [/]}]}]}", "kubernetes.scopeMappings: they do nothing unless kubernetes.scopes is Enforced",
		},
		"no scope":                     {head + "kubernetes: {scopes: Enforced, scopeMappings: [{rules: [{verbs: [get], nonResourceURLs: [/]}]}]}", `kubernetes.scopeMappings[0].scope: "" is no scope`},
		"a reserved scope":             {head + "kubernetes: {scopes: Enforced, scopeMappings: [{scope: 'accesstoken.dev:introspect', rules: [{verbs: [get], nonResourceURLs: [/]}]}]}", `kubernetes.scopeMappings[0].scope: "accesstoken.dev:introspect" is reserved: map another scope`},
		"no rules":                     {head + rule(""), "kubernetes.scopeMappings[0].rules: there are none: name what the scope allows, or remove the mapping"},
		"no verbs":                     {head + rule("{nonResourceURLs: [/]}"), "kubernetes.scopeMappings[0].rules[0].verbs: there are none: name verbs such as get, or *"},
		"an empty verb":                {head + rule(`{verbs: [""], nonResourceURLs: [/]}`), "rules[0].verbs: one is empty: name it, or remove it"},
		"an empty resource":            {head + rule(`{verbs: [get], apiGroups: [""], resources: [""]}`), "rules[0].resources: one is empty"},
		"an empty name":                {head + rule(`{verbs: [get], apiGroups: [""], resources: [pods], resourceNames: [""]}`), "rules[0].resourceNames: one is empty"},
		"an empty namespace":           {head + rule(`{verbs: [get], apiGroups: [""], resources: [pods], namespaces: [""]}`), "rules[0].namespaces: one is empty"},
		"resources without groups":     {head + rule("{verbs: [get], resources: [pods]}"), `rules[0]: apiGroups and resources are both needed, or else nonResourceURLs; the core group is ""`},
		"groups without resources":     {head + rule(`{verbs: [get], apiGroups: [""]}`), "rules[0]: apiGroups and resources are both needed"},
		"paths and resources":          {head + rule(`{verbs: [get], apiGroups: [""], resources: [pods], nonResourceURLs: [/]}`), "rules[0]: nonResourceURLs stand alone"},
		"paths and namespaces":         {head + rule(`{verbs: [get], namespaces: [a], nonResourceURLs: [/]}`), "rules[0]: nonResourceURLs stand alone"},
		"a path without a slash":       {head + rule(`{verbs: [get], nonResourceURLs: [healthz]}`), `rules[0].nonResourceURLs: "healthz" is no path: begin with /, with a * at the end only`},
		"a star within a path":         {head + rule(`{verbs: [get], nonResourceURLs: ["/*/a"]}`), `"/*/a" is no path`},
		"a second star":                {head + rule(`{verbs: [get], nonResourceURLs: ["/a**"]}`), `"/a**" is no path`},
		"an empty path":                {head + rule(`{verbs: [get], nonResourceURLs: [""]}`), `"" is no path`},
		"a policy without a name":      {head + "policies: [{}]", `policies[0].name: "" is no name: use up to 63 lower-case letters, digits and hyphens`},
		"a name with a slash":          {head + "policies: [{name: a/b}]", `policies[0].name: "a/b" is no name`},
		"a name in upper case":         {head + "policies: [{name: A}]", `policies[0].name: "A" is no name`},
		"a name that is too long":      {head + "policies: [{name: " + strings.Repeat("a", 64) + "}]", "is no name"},
		"a name that ends in a hyphen": {head + "policies: [{name: a-}]", `"a-" is no name`},
		"two policies of one name":     {head + "policies: [{name: a}, {name: b}, {name: a}]", `policies[2].name: "a" is there already: give each policy a name of its own`},
		"a policy for the API server":  {head + "policies: [{name: a, audience: kubernetes}]", "policies[0].audience: kubernetes is the API server's: name that of the gateway or service"},
		"a policy for kube-apiserver's audience": {
			head + "policies: [{name: a, audience: https://kubernetes.default.svc}]", `policies[0].audience: "https://kubernetes.default.svc" is an audience of kube-apiserver: tokens for a gateway must not open the cluster`,
		},
		"a scope with a space":      {head + "policies: [{name: a, scopes: [ok, 'a b']}]", `policies[0].scopes[1]: "a b" is no scope: use printable ASCII characters without space, quote or backslash`},
		"a scope that is too long":  {head + "policies: [{name: a, scopes: [" + strings.Repeat("a", 129) + "]}]", "is no scope"},
		"an unknown scheme":         {head + "policies: [{name: a, schemes: [Bearer, basic]}]", `policies[0].schemes[1]: "basic" is not known: use Bearer or Basic`},
		"a proxy with host bits":    {head + "trustedProxies: [10.0.0.0/8, 10.0.0.1/8]", `trustedProxies[1]: "10.0.0.1/8" is neither an address nor a network in canonical form such as 10.0.0.0/8`},
		"a proxy by name":           {head + "trustedProxies: [proxy.example.com]", `trustedProxies[0]: "proxy.example.com" is neither`},
		"a proxy with a zone":       {head + "trustedProxies: ['fe80::1%eth0']", `trustedProxies[0]: "fe80::1%eth0" is neither`},
		"how much is written, else": {head + "audit: {accepted: Some}", `audit.accepted: "Some" is not known: use Sampled, All or None`},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := config.Parse([]byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v\nwant %s", err, c.want)
			}
			if !reflect.DeepEqual(v, config.Verifier{}) {
				t.Error("something is read all the same")
			}
		})
	}
}

func TestAllMistakesAreNamedAtOnce(t *testing.T) {
	_, err := config.Parse([]byte(head + "odd: 1\ndefaultAudience: kubernetes\naudit: {accepted: x}\npolicies: [{name: A}]\ntrustedProxies: [x]\n"))
	if err == nil {
		t.Fatal("no mistake")
	}
	for _, want := range []string{`"odd"`, "defaultAudience: ", "audit.accepted: ", "policies[0].name: ", "trustedProxies[0]: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named in %v", want, err)
		}
	}
}

func TestAFileIsReadAndNamedInItsMistakes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "verifier.yaml")
	if _, err := config.Load(path); err == nil || !strings.Contains(err.Error(), "read configuration: open "+path) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(path, []byte("---\n"+full), 0o600); err != nil {
		t.Fatal(err)
	}
	if v, err := config.Load(path); err != nil || v.DefaultAudience != "example.com" {
		t.Errorf("%+v, %v", v, err)
	}
	if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(path); err == nil || !strings.HasPrefix(err.Error(), "configuration "+path+": apiVersion, kind: ") {
		t.Errorf("a mistake: %v", err)
	}
}

func TestTheConfigurationsOfThisRepositoryAreGood(t *testing.T) {
	for _, path := range []string{"config/verifier/verifier.yaml", "config/gateways/verifier.yaml", "hack/dev/verifier.yaml"} {
		if _, err := config.Load(filepath.Join("..", "..", filepath.FromSlash(path))); err != nil {
			t.Error(err)
		}
	}
}

// FuzzParse: no text makes Parse panic, and what it accepts it accepts again as it
// would write it.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"", head, full, "a: [", head + "---\n" + head, `{"kind":"VerifierConfiguration"}`, head + "trustedProxies: ['::ffff:1.2.3.4/96', 1.2.3.4]"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := config.Parse(text)
		if err != nil {
			return
		}
		written, err := yaml.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		again, err := config.Parse(written)
		if err != nil || !reflect.DeepEqual(v.Networks(), again.Networks()) || len(v.Networks()) != len(v.TrustedProxies) {
			t.Fatalf("%s\nread again: %v", written, err)
		}
		if twice, _ := yaml.Marshal(again); string(twice) != string(written) {
			t.Fatalf("%s\nreads again as\n%s", written, twice)
		}
	})
}
