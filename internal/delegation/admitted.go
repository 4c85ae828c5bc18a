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
)

// canaryName is that of an AccessToken that is never created.
const canaryName = "accesstoken-canary"

// Admitted proves that admission policy asked whoever created this AccessToken
// for the right to its subject: that the policies are those of this release, that
// they refuse in this namespace what they have to, and that they did so for long
// enough before the AccessToken was created. A nil Refusal is the proof; a non-nil
// error means that it could not be found out.
func (c *Checker) Admitted(ctx context.Context, token *v1alpha1.AccessToken) (*Refusal, error) {
	refusal, since, err := c.InForce(ctx, token.Namespace)
	if refusal != nil || err != nil {
		return refusal, err
	}
	if _, stamped := CreatorOf(token); !stamped {
		return unchecked("it is not known who created this AccessToken: install the component creator-stamp, " +
			"or write your own user name into the annotation " + v1alpha1.AnnotationCreatedBy + " when you create it; then delete and create it again"), nil
	}
	if settled := since.Add(c.settle()); token.CreationTimestamp.Time.Before(settled) {
		return unchecked(fmt.Sprintf("the admission policies that ask for the creator's right are in force since %s, too late for this AccessToken: delete and create it again",
			v1alpha1.NewTimestamp(since))), nil
	}
	return nil, nil
}

// InForce proves that the policies are in force now in a namespace, and says since
// when they are.
func (c *Checker) InForce(ctx context.Context, namespace string) (refusal *Refusal, since time.Time, err error) {
	objects := map[string]metav1.Object{}
	for _, load := range []func() (policies.Policy, error){policies.Subject, policies.Creator} {
		shipped, err := load()
		if err != nil {
			return nil, since, err
		}
		if refusal, err := c.unchanged(ctx, &shipped, objects); refusal != nil || err != nil {
			return refusal, since, err
		}
	}
	if refusal, err := c.tryCanary(ctx, namespace); refusal != nil || err != nil {
		return refusal, since, err
	}
	since, err = c.witness(ctx, objects)
	return nil, since, err
}

func (c *Checker) settle() time.Duration {
	if c.Settle == 0 {
		return DefaultSettle
	}
	return c.Settle
}

// unchanged compares a policy and its binding with those of this release, and puts
// them among the objects that were found in order.
func (c *Checker) unchanged(ctx context.Context, shipped *policies.Policy, found map[string]metav1.Object) (*Refusal, error) {
	name := shipped.Policy.Name
	policy, binding := &admissionv1.ValidatingAdmissionPolicy{}, &admissionv1.ValidatingAdmissionPolicyBinding{}
	for _, object := range []client.Object{policy, binding} {
		err := c.Live.Get(ctx, client.ObjectKey{Name: name}, object)
		if apierrors.IsNotFound(err) {
			return unchecked(fmt.Sprintf("the ValidatingAdmissionPolicy %s or its binding is missing: apply the policies that this release ships", name)), nil
		}
		if err != nil {
			return nil, fmt.Errorf("read admission policy %s: %w", name, err)
		}
	}
	if !equality.Semantic.DeepEqual(policy.Spec, shipped.Policy.Spec) || !equality.Semantic.DeepEqual(binding.Spec, shipped.Binding.Spec) {
		return unchecked(fmt.Sprintf("the ValidatingAdmissionPolicy %s or its binding is not as this release ships it: apply the policies that it ships", name)), nil
	}
	found["policy."+name], found["binding."+name] = policy, binding
	return nil, nil
}

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
	}
	return nil, fmt.Errorf("try the admission policy %s in namespace %s: %w", shipped.Policy.Name, namespace, err)
}
