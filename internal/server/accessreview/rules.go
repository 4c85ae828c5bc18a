package accessreview

import (
	"slices"
	"strings"

	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
)

// rules match requests, each as an RBAC rule does.
type rules []config.Rule

// compile puts together what each scope covers.
func compile(mappings []config.ScopeMapping) map[string]rules {
	byScope := make(map[string]rules, len(mappings))
	for _, mapping := range mappings {
		byScope[mapping.Scope] = append(byScope[mapping.Scope], mapping.Rules...)
	}
	return byScope
}

// cover says that a rule covers the request.
func (rs rules) cover(r *request) bool {
	return slices.ContainsFunc(rs, func(rule config.Rule) bool { return covered(&rule, r) })
}

// name says that a rule names verb, group and resource of the request, each
// without a wildcard.
func (rs rules) name(r *request) bool {
	return slices.ContainsFunc(rs, func(rule config.Rule) bool { return named(&rule, r) })
}

func covered(rule *config.Rule, r *request) bool {
	if !covers(rule.Verbs, r.verb) {
		return false
	}
	if !r.resource {
		return coversPath(rule.NonResourceURLs, r.path)
	}
	return covers(rule.APIGroups, r.group) && coversResource(rule.Resources, r) && inPlace(rule, r)
}

func named(rule *config.Rule, r *request) bool {
	return r.resource && r.verb != wildcard && r.group != wildcard && r.kind != wildcard &&
		slices.Contains(rule.Verbs, r.verb) && slices.Contains(rule.APIGroups, r.group) &&
		slices.Contains(rule.Resources, r.qualified) && inPlace(rule, r)
}

// coversResource holds for */status, too: the subresource of all resources.
func coversResource(resources []string, r *request) bool {
	return covers(resources, r.qualified) || r.subresource != "" && slices.Contains(resources, wildcard+"/"+r.subresource)
}

// inPlace says that the rule is good in the namespace and for the object.
func inPlace(rule *config.Rule, r *request) bool {
	return (len(rule.Namespaces) == 0 || covers(rule.Namespaces, r.namespace)) &&
		(len(rule.ResourceNames) == 0 || slices.Contains(rule.ResourceNames, r.name))
}

func coversPath(paths []string, path string) bool {
	return slices.ContainsFunc(paths, func(allowed string) bool {
		prefix, open := strings.CutSuffix(allowed, wildcard)
		return allowed == path || open && strings.HasPrefix(path, prefix)
	})
}
