package config

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// AudienceKubernetes is the audience by which tokens are declared for the API
// server of their cluster.
const AudienceKubernetes = "kubernetes"

var (
	policyName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	// scopeToken is RFC 6749 section 3.3.
	scopeToken = regexp.MustCompile(`^[\x21\x23-\x5B\x5D-\x7E]{1,128}$`)
)

// problems are all mistakes of a configuration.
type problems []error

func (p *problems) add(field, format string, arguments ...any) {
	*p = append(*p, fmt.Errorf("%s: "+format, append([]any{field}, arguments...)...))
}

// validate checks what was written, with the defaults filled in: they can be in
// the way of what was written.
func (v *Verifier) validate() error {
	var p problems
	if v.APIVersion != APIVersion || v.Kind != Kind {
		p.add("apiVersion, kind", "%q, %q are not known: use %s and %s", v.APIVersion, v.Kind, APIVersion, Kind)
	}
	if v.DefaultAudience == AudienceKubernetes {
		p.add("defaultAudience", "%s is the API server's: tokens that name no audience must not open the cluster, choose another", AudienceKubernetes)
	}
	v.Kubernetes.validate(&p, v.DefaultAudience)
	names := map[string]bool{}
	for i, policy := range v.Policies {
		field := fmt.Sprintf("policies[%d]", i)
		policy.validate(&p, field)
		if slices.Contains(v.Kubernetes.Audiences, policy.Audience) {
			p.add(field+".audience", "%q is an audience of kube-apiserver: tokens for a gateway must not open the cluster, name that of the gateway or service", policy.Audience)
		}
		if names[policy.Name] {
			p.add(field+".name", "%q is there already: give each policy a name of its own", policy.Name)
		}
		names[policy.Name] = true
	}
	for i, text := range v.TrustedProxies {
		if _, err := parseNetwork(text); err != nil {
			p.add(fmt.Sprintf("trustedProxies[%d]", i), "%v", err)
		}
	}
	v.SecurityEvents.validate(&p)
	if !slices.Contains([]Accepted{"", AcceptedSampled, AcceptedAll, AcceptedNone}, v.Audit.Accepted) {
		p.add("audit.accepted", "%q is not known: use Sampled, All or None", v.Audit.Accepted)
	}
	return errors.Join(p...)
}

func (k *Kubernetes) validate(p *problems, defaultAudience string) {
	for i, audience := range k.Audiences {
		field := fmt.Sprintf("kubernetes.audiences[%d]", i)
		switch audience {
		case "":
			p.add(field, "it is empty: name an audience of kube-apiserver, or remove it")
		case defaultAudience:
			p.add(field, "%q is the default audience too: tokens that name no audience must not open the cluster, choose another default", audience)
		}
	}
	if !slices.Contains([]ScopeEnforcement{"", ScopesEnforced, ScopesNotEnforced}, k.Scopes) {
		p.add("kubernetes.scopes", "%q is not known: use Enforced or NotEnforced", k.Scopes)
	}
	if len(k.ScopeMappings) > 0 && k.Scopes == ScopesNotEnforced {
		p.add("kubernetes.scopeMappings", "they do nothing unless kubernetes.scopes is Enforced: set it once kube-apiserver asks the verifier, or remove them")
	}
	for i, mapping := range k.ScopeMappings {
		field := fmt.Sprintf("kubernetes.scopeMappings[%d]", i)
		if !scopeToken.MatchString(mapping.Scope) {
			p.add(field+".scope", "%q is no scope: use printable ASCII characters without space, quote or backslash", mapping.Scope)
		}
		if strings.HasPrefix(mapping.Scope, v1alpha1.ReservedScopePrefix) {
			p.add(field+".scope", "%q is reserved: map another scope", mapping.Scope)
		}
		if len(mapping.Rules) == 0 {
			p.add(field+".rules", "there are none: name what the scope allows, or remove the mapping")
		}
		for j := range mapping.Rules {
			mapping.Rules[j].validate(p, fmt.Sprintf("%s.rules[%d]", field, j))
		}
	}
}

func (r *Rule) validate(p *problems, field string) {
	if len(r.Verbs) == 0 {
		p.add(field+".verbs", "there are none: name verbs such as get, or *")
	}
	for _, list := range []struct {
		name  string
		items []string
	}{{"verbs", r.Verbs}, {"resources", r.Resources}, {"resourceNames", r.ResourceNames}, {"namespaces", r.Namespaces}} {
		if slices.Contains(list.items, "") {
			p.add(field+"."+list.name, "one is empty: name it, or remove it")
		}
	}
	resources := len(r.APIGroups) > 0 || len(r.Resources) > 0 || len(r.ResourceNames) > 0 || len(r.Namespaces) > 0
	switch {
	case len(r.NonResourceURLs) > 0 && resources:
		p.add(field, "nonResourceURLs stand alone: move apiGroups, resources, resourceNames and namespaces to a rule of their own")
	case len(r.NonResourceURLs) == 0 && (len(r.APIGroups) == 0 || len(r.Resources) == 0):
		p.add(field, "apiGroups and resources are both needed, or else nonResourceURLs; the core group is \"\"")
	}
	for _, url := range r.NonResourceURLs {
		if star := strings.Index(url, "*"); !strings.HasPrefix(url, "/") && url != "*" || star >= 0 && star != len(url)-1 {
			p.add(field+".nonResourceURLs", "%q is no path: begin with /, with a * at the end only", url)
		}
	}
}

func (policy *Policy) validate(p *problems, field string) {
	if !policyName.MatchString(policy.Name) {
		p.add(field+".name", "%q is no name: use up to 63 lower-case letters, digits and hyphens", policy.Name)
	}
	if policy.Audience == AudienceKubernetes {
		p.add(field+".audience", "%s is the API server's: name that of the gateway or service", AudienceKubernetes)
	}
	for i, scope := range policy.Scopes {
		if !scopeToken.MatchString(scope) {
			p.add(fmt.Sprintf("%s.scopes[%d]", field, i), "%q is no scope: use printable ASCII characters without space, quote or backslash", scope)
		}
	}
	for i, scheme := range policy.Schemes {
		if scheme != SchemeBearer && scheme != SchemeBasic {
			p.add(fmt.Sprintf("%s.schemes[%d]", field, i), "%q is not known: use Bearer or Basic", scheme)
		}
	}
}

// parseNetwork reads a network, or an address as the network of itself.
func parseNetwork(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil && address.Zone() == "" {
		address = address.Unmap()
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err != nil || network.Masked() != network {
		return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a network in canonical form such as 10.0.0.0/8", text)
	}
	if network.Addr().Is4In6() && network.Bits() >= 96 { // or else no IPv4 address would be in it
		network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
	}
	return network, nil
}
