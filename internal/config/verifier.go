package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// APIVersion and Kind are what a configuration file begins with.
const (
	APIVersion = "config.accesstoken.dev/v1alpha1"
	Kind       = "VerifierConfiguration"
)

// Verifier is the configuration of the verifier.
type Verifier struct {
	metav1.TypeMeta `json:",inline"`

	// DefaultAudience is that of tokens which were declared without one. Absent
	// means accesstoken.dev.
	DefaultAudience string `json:"defaultAudience,omitempty"`

	// Kubernetes is how kube-apiserver is answered.
	Kubernetes Kubernetes `json:"kubernetes,omitzero"`

	// Policies are what gateways ask by name, over forward auth and ext_authz.
	Policies []Policy `json:"policies,omitempty"`

	// TrustedProxies are the networks of the gateways and proxies whose word on the
	// client's address is taken. Absent means that no address is known over forward
	// auth, so that tokens which are limited to networks are refused there.
	TrustedProxies []string `json:"trustedProxies,omitempty"`

	// SecurityEvents are what identity providers tell of their users.
	SecurityEvents SecurityEvents `json:"securityEvents,omitzero"`

	// Audit is what is written of each answer, and where.
	Audit Audit `json:"audit,omitzero"`
}

// Kubernetes is how kube-apiserver is answered.
type Kubernetes struct {
	// Audiences are the names by which kube-apiserver goes itself: those of its
	// --api-audiences, or its --service-account-issuer where that is not set. A
	// token for the audience kubernetes is good there. Absent means
	// https://kubernetes.default.svc.
	Audiences []string `json:"audiences,omitempty"`

	// Scopes says whether kube-apiserver asks the verifier about each request of a
	// token (SubjectAccessReview). Enforced: it does, so tokens with scopes are let
	// in, and ScopeMappings say what a scope allows. NotEnforced, the default: it
	// does not, so tokens with scopes are refused.
	Scopes ScopeEnforcement `json:"scopes,omitempty"`

	// ScopeMappings say which requests a scope allows at kube-apiserver. A scope
	// that none names allows nothing there.
	ScopeMappings []ScopeMapping `json:"scopeMappings,omitempty"`
}

// ScopeEnforcement is whether scopes hold inside kube-apiserver.
type ScopeEnforcement string

// Whether scopes hold inside kube-apiserver.
const (
	ScopesEnforced    ScopeEnforcement = "Enforced"
	ScopesNotEnforced ScopeEnforcement = "NotEnforced"
)

// ScopeMapping says which requests a scope allows. RBAC has to allow them too.
type ScopeMapping struct {
	// Scope is the scope, as tokens have it.
	Scope string `json:"scope"`

	// Rules are what it allows: a request that one of them matches.
	Rules []Rule `json:"rules"`
}

// Rule matches requests as an RBAC rule does: * stands for all.
type Rule struct {
	// Verbs are those of the requests, such as get. Required.
	Verbs []string `json:"verbs"`

	// APIGroups are those of the resources; "" is the core group.
	APIGroups []string `json:"apiGroups,omitempty"`

	// Resources are the plural names, a subresource after a slash: pods/log.
	Resources []string `json:"resources,omitempty"`

	// ResourceNames are the names of objects. Absent means all.
	ResourceNames []string `json:"resourceNames,omitempty"`

	// Namespaces are those that the rule is good in. Absent means all, and what is
	// in none.
	Namespaces []string `json:"namespaces,omitempty"`

	// NonResourceURLs are paths, a * at the end for all that begin so. They exclude
	// APIGroups and Resources.
	NonResourceURLs []string `json:"nonResourceURLs,omitempty"`
}

// Scheme is how a token is presented to a gateway in the Authorization header.
type Scheme string

// The schemes. With Basic the token is the password, and the user name is not
// looked at.
const (
	SchemeBearer Scheme = "Bearer"
	SchemeBasic  Scheme = "Basic"
)

// Policy is what a gateway requires of a token.
type Policy struct {
	// Name is what the gateway asks for it by: the last part of the path
	// /auth/nginx/NAME, or the context extension policy. Lower-case letters, digits
	// and hyphens. Required.
	Name string `json:"name"`

	// Audience is what the tokens have to be meant for. Absent means the default
	// audience.
	Audience string `json:"audience,omitempty"`

	// Scopes are what the tokens have to have, all of them. Absent means none.
	Scopes []string `json:"scopes,omitempty"`

	// Schemes are how tokens may be presented. Absent means Bearer only.
	Schemes []Scheme `json:"schemes,omitempty"`
}

// Accepted says how many accepted requests are written to the audit log.
type Accepted string

// How many accepted requests are written.
const (
	// AcceptedSampled: one a minute for each token and protocol.
	AcceptedSampled Accepted = "Sampled"
	// AcceptedAll: all.
	AcceptedAll Accepted = "All"
	// AcceptedNone: none.
	AcceptedNone Accepted = "None"
)

// Audit is what is written of each answer, and where.
type Audit struct {
	// Path is the file that lines are appended to. Absent or - means standard
	// output. Rotation is left to the platform: a file that was moved away is
	// opened anew on SIGHUP.
	Path string `json:"path,omitempty"`

	// Accepted is how many accepted requests are written. Absent means Sampled.
	// What is refused is written up to a rate, and what is over it counted.
	Accepted Accepted `json:"accepted,omitempty"`
}

// Default is the configuration of a verifier without a file.
func Default() Verifier {
	v := Verifier{TypeMeta: metav1.TypeMeta{APIVersion: APIVersion, Kind: Kind}}
	v.applyDefaults()
	return v
}

// Load reads a configuration file, fills in the defaults and checks it. The
// error names every mistake.
func Load(path string) (Verifier, error) {
	content, err := os.ReadFile(path) //nolint:gosec // the file that a flag names
	if err != nil {
		return Verifier{}, fmt.Errorf("read configuration: %w", err)
	}
	v, err := Parse(content)
	if err != nil {
		return Verifier{}, fmt.Errorf("configuration %s: %w", path, err)
	}
	return v, nil
}

// Parse reads a configuration from YAML or JSON. Unknown and repeated fields are
// mistakes.
func Parse(content []byte) (Verifier, error) {
	var v Verifier
	switch documents := documentsIn(string(content)); {
	case documents == 0:
		return Verifier{}, fmt.Errorf("it is empty: begin with apiVersion: %s and kind: %s", APIVersion, Kind)
	case documents > 1:
		return Verifier{}, fmt.Errorf("it holds %d documents: one %s to a file", documents, Kind)
	}
	text, err := yaml.YAMLToJSONStrict(content)
	if err != nil {
		return Verifier{}, err
	}
	unknown, err := json.UnmarshalStrict(text, &v)
	if err != nil {
		return Verifier{}, err
	}
	v.applyDefaults()
	if err := errors.Join(append(unknown, v.validate())...); err != nil {
		return Verifier{}, err
	}
	return v, nil
}

var (
	separator = regexp.MustCompile(`(?m)^---(\s|$)`)
	something = regexp.MustCompile(`(?m)^\s*[^#\s]`)
)

// documentsIn counts those in which there is more than comments. A decoder would
// read the first and pass over the others.
func documentsIn(content string) (count int) {
	for _, document := range separator.Split(content, -1) {
		if something.MatchString(document) {
			count++
		}
	}
	return count
}

func (v *Verifier) applyDefaults() {
	if v.DefaultAudience == "" {
		v.DefaultAudience = "accesstoken.dev"
	}
	if len(v.Kubernetes.Audiences) == 0 {
		v.Kubernetes.Audiences = []string{"https://kubernetes.default.svc"}
	}
	if v.Kubernetes.Scopes == "" {
		v.Kubernetes.Scopes = ScopesNotEnforced
	}
	for i := range v.Policies {
		policy := &v.Policies[i]
		if policy.Audience == "" {
			policy.Audience = v.DefaultAudience
		}
		if len(policy.Schemes) == 0 {
			policy.Schemes = []Scheme{SchemeBearer}
		}
	}
	v.SecurityEvents.applyDefaults()
	if v.Audit.Path == "" {
		v.Audit.Path = "-"
	}
	if v.Audit.Accepted == "" {
		v.Audit.Accepted = AcceptedSampled
	}
}

// Networks are the trusted proxies.
func (v *Verifier) Networks() []netip.Prefix {
	networks := make([]netip.Prefix, 0, len(v.TrustedProxies))
	for _, text := range v.TrustedProxies {
		if network, err := parseNetwork(text); err == nil {
			networks = append(networks, network)
		}
	}
	return networks
}
