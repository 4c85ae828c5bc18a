package accessreview

import (
	"slices"
	"strings"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

const (
	groupCertificates = "certificates.k8s.io"
	signingRequests   = "certificatesigningrequests"
)

// readingVerbs change nothing.
var readingVerbs = []string{"get", "list", "watch"}

// writingVerbs are those that admission asks about.
var writingVerbs = []string{"create", "update", "patch", "delete", "deletecollection"}

// writesAccessTokens says that admission policy refuses the request of any token.
func writesAccessTokens(r *request) bool {
	return r.resource && r.group == v1alpha1.Group && r.qualified == "accesstokens" && slices.Contains(writingVerbs, r.verb)
}

// escalation is a way to more power than a token was given, for which RBAC alone
// is not enough.
type escalation struct {
	what string // completes "it takes a scope that is mapped to ..."
	is   func(r *request) bool
}

// escalations are all of them. A question about everything (verb, group or
// resource *) is one too. Some are verbs on whatever resource.
var escalations = [...]escalation{
	{"everything at once", func(r *request) bool { return r.verb == wildcard }},
	// Constrained impersonation (KEP-5284) has impersonate:MODE, on the user, and
	// impersonate-on:MODE:VERB, on what is done as that user.
	{"impersonation", func(r *request) bool { return strings.HasPrefix(r.verb, "impersonate") }},
	{"binding roles", func(r *request) bool { return r.verb == "bind" }},
	{"escalating roles", func(r *request) bool { return r.verb == "escalate" }},
	{"approving and signing certificates", signsCertificates},
	{"a token of a service account", issuesTokens},
	{"the content of Secrets", readsSecrets},
	{"writing objects of " + v1alpha1.Group, func(r *request) bool {
		return r.resource && among(r.group, v1alpha1.Group) && !slices.Contains(readingVerbs, r.verb)
	}},
}

// escalationOf names the way to more power that a request is; empty for none.
func escalationOf(r *request) string {
	for i := range escalations {
		if escalations[i].is(r) {
			return escalations[i].what
		}
	}
	return ""
}

// signsCertificates holds for the verbs on signers, and for writing the
// subresources of a request: approval and status decide it, and nodeclient and
// selfnodeclient have kube-controller-manager approve by itself.
func signsCertificates(r *request) bool {
	if !among(r.group, groupCertificates) {
		return false
	}
	return among(r.verb, "approve", "sign", "attest") ||
		r.resource && among(r.kind, signingRequests) && r.subresource != "" && !slices.Contains(readingVerbs, r.verb)
}

func issuesTokens(r *request) bool {
	return r.resource && r.verb == "create" && among(r.group, "") &&
		(r.kind == "serviceaccounts" && among(r.subresource, "token") || r.kind == wildcard && among(r.subresource, "", "token"))
}

// readsSecrets holds for all verbs but those whose answer is no more than what
// was sent: patch, delete and deletecollection are answered with the content.
func readsSecrets(r *request) bool {
	return r.resource && among(r.group, "") && among(r.kind, "secrets") && r.verb != "create" && r.verb != "update"
}
