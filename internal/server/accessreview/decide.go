package accessreview

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/untrusted"
)

// everybodys are the requests that RBAC allows all who signed in: who am I, what
// may I do, and what does this API server offer. A token whose scopes cover
// something may make them, else kubectl could do nothing with it.
var everybodys = rules{
	{Verbs: []string{"create"}, APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"selfsubjectreviews"}},
	{Verbs: []string{"create"}, APIGroups: []string{"authorization.k8s.io"}, Resources: []string{"selfsubjectaccessreviews", "selfsubjectrulesreviews"}},
	{Verbs: []string{"get"}, NonResourceURLs: []string{"/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/version", "/version/"}},
}

// decider decides what scopes cover. It never changes.
type decider struct{ byScope map[string]rules }

func newDecider(mappings []config.ScopeMapping) decider { return decider{compile(mappings)} }

// deny returns why a request is denied, empty where there is no opinion.
func (d decider) deny(who bearer, r *request) string {
	if !who.ours {
		return ""
	}
	named := func(rs rules) bool { return rs.name(r) }
	if writesAccessTokens(r) && !d.any(who, named) {
		return nameOf(who) + ": a token cannot write AccessTokens, whatever is mapped: use another credential"
	}
	if escalation := escalationOf(r); escalation != "" && !d.any(who, named) {
		return fmt.Sprintf("%s, and %s takes one that is mapped to %s by name", describeScopes(who), escalation, describe(r))
	}
	if !who.limited || d.any(who, func(rs rules) bool { return rs.cover(r) }) {
		return ""
	}
	if everybodys.cover(r) && d.any(who, func(rs rules) bool { return len(rs) > 0 }) {
		return ""
	}
	return fmt.Sprintf("%s, and none of them is mapped to %s", describeScopes(who), describe(r))
}

// any says that something holds for what one of the scopes covers.
func (d decider) any(who bearer, holds func(rules) bool) bool {
	for _, scope := range who.scopes {
		if holds(d.byScope[scope]) {
			return true
		}
	}
	return false
}

// What is quoted in a reason is bounded: it goes into answers and logs.
const (
	mostQuoted  = 128 // bytes of a text
	mostScopes  = 8   // of a token
	namelessOne = "this access token"
)

func nameOf(who bearer) string {
	if who.name == "" {
		return namelessOne
	}
	return "access token " + quote(who.name)
}

func describeScopes(who bearer) string {
	name := nameOf(who)
	switch {
	case !who.limited:
		return name + " has no scopes"
	case len(who.scopes) == 0:
		return name + " has an empty list of scopes"
	}
	var text strings.Builder
	text.WriteString(name + " has the scopes ")
	for i, scope := range who.scopes[:min(len(who.scopes), mostScopes)] {
		if i > 0 {
			text.WriteString(", ")
		}
		text.WriteString(quote(scope))
	}
	if more := len(who.scopes) - mostScopes; more > 0 {
		fmt.Fprintf(&text, " and %d more", more)
	}
	return text.String()
}

func describe(r *request) string {
	if !r.resource {
		return fmt.Sprintf("%s of path %s", quote(r.verb), quote(r.path))
	}
	text := fmt.Sprintf("%s of %s in API group %s", quote(r.verb), quote(r.qualified), quote(r.group))
	if r.namespace != "" {
		text += " in namespace " + quote(r.namespace)
	}
	return text
}

// quote makes text of strangers fit to stand in an answer.
func quote(text string) string { return strconv.Quote(untrusted.Text(text, mostQuoted)) }
