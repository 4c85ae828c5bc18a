package delegation

import (
	"context"
	"fmt"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/config/policies"
	"github.com/accesstoken-dev/accesstoken-operator/internal/untrusted"
)

// canaryName is that of an AccessToken that is never created.
const canaryName = "accesstoken-canary"

// mostQuoted bounds, in bytes, what is repeated of another policy's message.
const mostQuoted = 512

// Unstamped refuses an AccessToken that acts as somebody else and of which it is not
// known who created it.
func Unstamped() *Refusal {
	return unchecked("it is not known who created this AccessToken: install the component creator-stamp, " +
		"or write your own user name into the annotation " + v1alpha1.AnnotationCreatedBy + " when you create it; then delete and create it again")
}

// Admitted proves that admission policy asked whoever declared a power for the right
// to it: that the policies, which are in force since a moment, were so for long
// enough at another one, before, when the AccessToken did not ask for the power yet:
// when it was created, or when a token was issued without. A nil Refusal is the
// proof.
func (c *Checker) Admitted(power Power, since, before time.Time) *Refusal {
	settled := since.Add(c.settle())
	if !before.Before(settled) {
		return nil
	}
	inForce, again := fmt.Sprintf("are in force since %s", v1alpha1.NewTimestamp(since)), "delete and create it again"
	if c.Clock.Now().Before(settled) { // then not even what is created now counts
		inForce, again = fmt.Sprintf("count from %s on", v1alpha1.NewTimestamp(settled)), "delete it, and create it again after that"
	}
	if power == WithoutExpiry {
		again = "give spec.maxAge an age such as 8760h, or " + again
	}
	return unchecked(fmt.Sprintf("the admission policies that ask for the right to %s %s, too late for this AccessToken: %s", power, inForce, again))
}

// InForce proves that the policies which ask for the rights to powers are in force
// now in a namespace: that they are those of this release, and that policy refuses
// there what it has to. It says of each power since when they are.
func (c *Checker) InForce(ctx context.Context, namespace string, powers []Power) (refusal *Refusal, since map[Power]time.Time, err error) {
	found := map[string]metav1.Object{}
	creator, refusal, err := c.unchanged(ctx, policies.Creator, found)
	if refusal != nil || err != nil {
		return refusal, nil, err
	}
	asks := map[Power]string{}
	for _, power := range powers {
		if asks[power], refusal, err = c.unchanged(ctx, power.policy, found); refusal != nil || err != nil {
			return refusal, nil, err
		}
	}
	if refusal, err := c.tryCanary(ctx, namespace); refusal != nil || err != nil {
		return refusal, nil, err
	}
	seen, err := c.witness(ctx, found)
	if err != nil {
		return nil, nil, err
	}
	since = map[Power]time.Time{}
	for _, power := range powers {
		since[power] = latest(seen[policyKey(creator)], seen[bindingKey(creator)], seen[policyKey(asks[power])], seen[bindingKey(asks[power])])
	}
	return nil, since, nil
}

func latest(times ...time.Time) (last time.Time) {
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}

func (c *Checker) settle() time.Duration {
	if c.Settle == 0 {
		return DefaultSettle
	}
	return c.Settle
}

// unchanged compares a policy and its binding with those of this release, and puts
// them among the objects that were found in order. It returns their name.
func (c *Checker) unchanged(ctx context.Context, load func() (policies.Policy, error), found map[string]metav1.Object) (name string, refusal *Refusal, err error) {
	shipped, err := load()
	if err != nil {
		return "", nil, err
	}
	name = shipped.Policy.Name
	policy, binding := &admissionv1.ValidatingAdmissionPolicy{}, &admissionv1.ValidatingAdmissionPolicyBinding{}
	for _, object := range []client.Object{policy, binding} {
		err := c.Live.Get(ctx, client.ObjectKey{Name: name}, object)
		if apierrors.IsNotFound(err) {
			return name, unchecked(fmt.Sprintf("the ValidatingAdmissionPolicy %s or its binding is missing: apply the policies that this release ships", name)), nil
		}
		if err != nil {
			return name, nil, fmt.Errorf("read admission policy %s: %w", name, err)
		}
	}
	if !equality.Semantic.DeepEqual(policy.Spec, shipped.Policy.Spec) || !equality.Semantic.DeepEqual(binding.Spec, shipped.Binding.Spec) {
		return name, unchecked(fmt.Sprintf("the ValidatingAdmissionPolicy %s or its binding is not as this release ships it: apply the policies that it ships", name)), nil
	}
	found[policyKey(name)], found[bindingKey(name)] = policy, binding
	return name, nil, nil
}

// policyKey and bindingKey are those of a policy and its binding in the note.
func policyKey(name string) string { return "policy." + name }

func bindingKey(name string) string { return "binding." + name }

// tryCanary tries what policy has to refuse, as a dry run.
func (c *Checker) tryCanary(ctx context.Context, namespace string) (*Refusal, error) {
	shipped, err := policies.Subject()
	if err != nil {
		return nil, err
	}
	canary := &v1alpha1.AccessToken{
		ObjectMeta: metav1.ObjectMeta{Name: canaryName, Namespace: namespace, Annotations: map[string]string{v1alpha1.AnnotationCanary: "true"}},
		Spec:       v1alpha1.AccessTokenSpec{Subject: &v1alpha1.TokenSubject{Kind: v1alpha1.SubjectKindServiceAccount, Name: canaryName}},
	}
	err = c.Live.Create(ctx, canary, client.DryRunAll)
	switch {
	case err == nil:
		return unchecked(fmt.Sprintf("the ValidatingAdmissionPolicy %s does not bind in namespace %s: apply the policies that this release ships", shipped.Policy.Name, namespace)), nil
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), shipped.Policy.Name):
		return nil, nil
	case refusedByAnother(err):
		return unchecked(fmt.Sprintf("another policy refused the dry run that %s has to refuse, so that it is not known whether that one would: "+
			"let the other one pass AccessTokens of the operator's own account, which creates them as dry runs only (it said: %s)", shipped.Policy.Name, untrusted.Text(err.Error(), mostQuoted))), nil
	}
	return nil, fmt.Errorf("try the admission policy %s in namespace %s: %w", shipped.Policy.Name, namespace, err)
}

// refusedByAnother says that admission refused a request. Which policy or webhook did
// so, and that one did, the API server tells by the message alone; of several
// policies that refuse, it names any one.
func refusedByAnother(err error) bool {
	text := err.Error()
	return strings.Contains(text, "ValidatingAdmissionPolicy '") || strings.Contains(text, `admission webhook "`)
}
