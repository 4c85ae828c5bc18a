package policy

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// Selecting are the policies that select a namespace with these labels, in the
// order that they came in.
func Selecting(policies []*v1alpha1.AccessTokenPolicy, labels map[string]string) []*v1alpha1.AccessTokenPolicy {
	var selecting []*v1alpha1.AccessTokenPolicy
	for _, p := range policies {
		if selects(p.Spec.NamespaceSelector, labels) {
			selecting = append(selecting, p)
		}
	}
	return selecting
}

// selects says the same as the admission policies do. It fails for no selector,
// so that none can stop the others: one with an operator that the schema does not
// know selects every namespace, since a policy only limits.
func selects(selector *v1alpha1.NamespaceSelector, labels map[string]string) bool {
	if selector == nil {
		return true
	}
	for key, wanted := range selector.MatchLabels {
		if value, found := labels[key]; !found || value != string(wanted) {
			return false
		}
	}
	for _, requirement := range selector.MatchExpressions {
		if !satisfies(requirement, labels) {
			return false
		}
	}
	return true
}

func satisfies(requirement v1alpha1.NamespaceRequirement, labels map[string]string) bool {
	value, found := labels[requirement.Key]
	among := found && slices.Contains(requirement.Values, v1alpha1.LabelValue(value))
	switch requirement.Operator {
	case metav1.LabelSelectorOpIn:
		return among
	case metav1.LabelSelectorOpNotIn:
		return !among
	case metav1.LabelSelectorOpExists:
		return found
	case metav1.LabelSelectorOpDoesNotExist:
		return !found
	}
	return true
}
