package accessreview

import (
	"cmp"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// bearer is who makes a request.
type bearer struct {
	ours    bool     // the request carries an access token, or acts as one's user
	id      string   // of the token; may be empty
	name    string   // of the AccessToken, as namespace/name; may be empty
	limited bool     // by scope
	scopes  []string // none of a limited bearer: nothing is covered
}

// bearerOf reads what our TokenReview put into the user's extra. Who has only the
// group acts as the user of a token, by impersonation, without its scopes.
func bearerOf(spec *authorizationv1.SubjectAccessReviewSpec) bearer {
	scopes, limited := spec.Extra[v1alpha1.ExtraScopes]
	ids, identified := spec.Extra[v1alpha1.ExtraTokenID]
	b := bearer{ours: identified || limited || slices.Contains(spec.Groups, v1alpha1.GroupAccessTokens), limited: limited, scopes: scopes}
	if len(ids) == 1 {
		b.id = ids[0]
	}
	if names := spec.Extra[v1alpha1.ExtraName]; len(names) == 1 {
		b.name = names[0]
	}
	return b
}

// request is what somebody wants to do.
type request struct {
	verb string

	// Of a resource; a subresource stands after a slash.
	resource                          bool
	group, version, kind, subresource string
	namespace, name, qualified        string

	path string // of a request for no resource
}

// requestOf reports false for one that says nothing, or two things.
func requestOf(spec *authorizationv1.SubjectAccessReviewSpec) (*request, bool) {
	resource, path := spec.ResourceAttributes, spec.NonResourceAttributes
	switch {
	case (resource == nil) == (path == nil):
		return nil, false
	case path != nil:
		return &request{verb: path.Verb, path: path.Path}, path.Verb != ""
	}
	r := &request{
		verb: resource.Verb, resource: true, group: resource.Group, version: resource.Version, kind: resource.Resource, subresource: resource.Subresource,
		namespace: resource.Namespace, name: resource.Name, qualified: resource.Resource,
	}
	if r.subresource != "" {
		r.qualified += "/" + r.subresource
	}
	return r, r.verb != ""
}

// location is the path of the API that the request is for.
func (r *request) location() string {
	if !r.resource {
		return r.path
	}
	parts := []string{"", "apis", r.group, cmp.Or(r.version, wildcard)}
	if r.group == "" {
		parts = []string{"", "api", cmp.Or(r.version, wildcard)}
	}
	if r.namespace != "" && r.kind != "namespaces" {
		parts = append(parts, "namespaces", r.namespace)
	}
	parts = append(parts, r.kind)
	if r.name != "" {
		parts = append(parts, r.name)
	}
	if r.subresource != "" {
		parts = append(parts, r.subresource)
	}
	return strings.Join(parts, "/")
}

// wildcard stands for all in rules, and in questions whether all is allowed.
const wildcard = "*"

// covers says that a list holds a value, or stands for all.
func covers(list []string, value string) bool {
	return slices.Contains(list, value) || slices.Contains(list, wildcard)
}

// among says that a value is one of these, or stands for all of them too.
func among(value string, these ...string) bool {
	return value == wildcard || slices.Contains(these, value)
}
