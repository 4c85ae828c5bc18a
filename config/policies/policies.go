package policies

import (
	_ "embed"
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/yaml"
)

//go:embed subject.yaml
var subject string

//go:embed creator.yaml
var creator string

//go:embed reserved-scopes.yaml
var reservedScopes string

//go:embed without-expiry.yaml
var withoutExpiry string

// Policy is an admission policy and what puts it in force.
type Policy struct {
	Policy  admissionv1.ValidatingAdmissionPolicy
	Binding admissionv1.ValidatingAdmissionPolicyBinding
}

// Subject asks whoever declares a token that acts as somebody else for the right
// to. It fails only for a release whose files were broken.
func Subject() (Policy, error) { return parse("subject.yaml", subject) }

// Creator keeps who created an AccessToken from being written by anybody else. It
// fails as Subject does.
func Creator() (Policy, error) { return parse("creator.yaml", creator) }

// ReservedScopes asks whoever declares scopes that begin with accesstoken.dev: for
// the right to. It fails as Subject does.
func ReservedScopes() (Policy, error) { return parse("reserved-scopes.yaml", reservedScopes) }

// WithoutExpiry asks whoever declares a token that does not expire for the right to.
// It fails as Subject does.
func WithoutExpiry() (Policy, error) { return parse("without-expiry.yaml", withoutExpiry) }

func parse(file, content string) (Policy, error) {
	var p Policy
	policy, binding, two := strings.Cut(content, "\n---\n")
	if !two {
		return p, fmt.Errorf("%s: holds no two objects", file)
	}
	if err := yaml.UnmarshalStrict([]byte(policy), &p.Policy); err != nil {
		return p, fmt.Errorf("%s: %w", file, err)
	}
	if err := yaml.UnmarshalStrict([]byte(binding), &p.Binding); err != nil {
		return p, fmt.Errorf("%s: %w", file, err)
	}
	return p, nil
}
