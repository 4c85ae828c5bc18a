package delegation

import (
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/config/policies"
)

// Power is what a token can get that takes a right of whoever declares it.
type Power int

const (
	// ActingAs: the token acts as a service account or a user.
	ActingAs Power = iota
	// ReservedScopes: it has scopes that begin with accesstoken.dev:.
	ReservedScopes
	// WithoutExpiry: it does not expire by age.
	WithoutExpiry
)

// PowersOf are those that an AccessToken asks for; none for most.
func PowersOf(token *v1alpha1.AccessToken) []Power {
	var powers []Power
	if token.Spec.Subject != nil {
		powers = append(powers, ActingAs)
	}
	if slices.ContainsFunc(token.Spec.Scopes, reserved) {
		powers = append(powers, ReservedScopes)
	}
	if token.Spec.MaxAge == v1alpha1.MaxAgeNever {
		powers = append(powers, WithoutExpiry)
	}
	return powers
}

func reserved(scope string) bool { return strings.HasPrefix(scope, v1alpha1.ReservedScopePrefix) }

// String is what the power lets one do, for messages.
func (p Power) String() string {
	switch p {
	case ActingAs:
		return "act as its subject"
	case ReservedScopes:
		return "give it scopes that begin with " + v1alpha1.ReservedScopePrefix
	case WithoutExpiry:
		return "have a token without expiry"
	}
	return "do that"
}

// policy is the one that asks for the right.
func (p Power) policy() (policies.Policy, error) {
	switch p {
	case ReservedScopes:
		return policies.ReservedScopes()
	case WithoutExpiry:
		return policies.WithoutExpiry()
	case ActingAs:
	}
	return policies.Subject()
}

// rights are those that the power takes, as admission policy asks for them.
func (p Power) rights(token *v1alpha1.AccessToken) []*authorizationv1.ResourceAttributes {
	switch p {
	case ReservedScopes:
		var asked []*authorizationv1.ResourceAttributes
		for _, scope := range token.Spec.Scopes {
			if reserved(scope) {
				asked = append(asked, &authorizationv1.ResourceAttributes{
					Namespace: token.Namespace, Verb: v1alpha1.VerbUse, Group: v1alpha1.Group, Version: "*", Resource: "scopes", Name: scope,
				})
			}
		}
		return asked
	case WithoutExpiry:
		return []*authorizationv1.ResourceAttributes{{
			Namespace: token.Namespace, Verb: v1alpha1.VerbIssueWithoutExpiry, Group: v1alpha1.Group, Version: "*", Resource: "accesstokens",
		}}
	case ActingAs:
	}
	return rightsTo(token.Namespace, token.Spec.Subject)
}

// rightsTo are those that acting as a subject takes.
func rightsTo(namespace string, subject *v1alpha1.TokenSubject) []*authorizationv1.ResourceAttributes {
	if subject.Kind == v1alpha1.SubjectKindServiceAccount {
		return []*authorizationv1.ResourceAttributes{{
			Namespace: namespace, Verb: "create", Version: "v1", Resource: "serviceaccounts", Subresource: "token", Name: subject.Name,
		}}
	}
	asked := []*authorizationv1.ResourceAttributes{{Verb: "impersonate", Version: "v1", Resource: "users", Name: subject.Name}}
	for _, group := range subject.Groups {
		asked = append(asked, &authorizationv1.ResourceAttributes{Verb: "impersonate", Version: "v1", Resource: "groups", Name: group})
	}
	return asked
}
