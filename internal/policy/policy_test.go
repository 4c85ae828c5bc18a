package policy

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

func TestSelecting(t *testing.T) {
	type values = []v1alpha1.LabelValue
	expressions := func(key string, operator metav1.LabelSelectorOperator, values values) *v1alpha1.NamespaceSelector {
		return &v1alpha1.NamespaceSelector{MatchExpressions: []v1alpha1.NamespaceRequirement{{Key: key, Operator: operator, Values: values}}}
	}
	team := map[string]string{"team": "shop", "stage": "production"}
	for name, test := range map[string]struct {
		selector *v1alpha1.NamespaceSelector
		labels   map[string]string
		want     bool
	}{
		"no selector selects all":              {nil, nil, true},
		"an empty selector selects all":        {&v1alpha1.NamespaceSelector{}, nil, true},
		"every label fits":                     {&v1alpha1.NamespaceSelector{MatchLabels: map[string]v1alpha1.LabelValue{"team": "shop", "stage": "production"}}, team, true},
		"one label has another value":          {&v1alpha1.NamespaceSelector{MatchLabels: map[string]v1alpha1.LabelValue{"team": "shop", "stage": "test"}}, team, false},
		"a label is missing":                   {&v1alpha1.NamespaceSelector{MatchLabels: map[string]v1alpha1.LabelValue{"region": ""}}, team, false},
		"the value is among them":              {expressions("team", metav1.LabelSelectorOpIn, values{"bank", "shop"}), team, true},
		"the value is not among them":          {expressions("team", metav1.LabelSelectorOpIn, values{"bank"}), team, false},
		"no label to be among them":            {expressions("region", metav1.LabelSelectorOpIn, values{""}), team, false},
		"the value is to be another":           {expressions("team", metav1.LabelSelectorOpNotIn, values{"bank"}), team, true},
		"the value is to be another and isn't": {expressions("team", metav1.LabelSelectorOpNotIn, values{"shop"}), team, false},
		"no label is another value":            {expressions("region", metav1.LabelSelectorOpNotIn, values{"eu"}), team, true},
		"the label is there":                   {expressions("team", metav1.LabelSelectorOpExists, nil), team, true},
		"the label is not there":               {expressions("region", metav1.LabelSelectorOpExists, nil), team, false},
		"the label is to be away and is":       {expressions("region", metav1.LabelSelectorOpDoesNotExist, nil), team, true},
		"the label is to be away and isn't":    {expressions("team", metav1.LabelSelectorOpDoesNotExist, nil), team, false},
		"labels fit, an expression does not": {&v1alpha1.NamespaceSelector{
			MatchLabels:      map[string]v1alpha1.LabelValue{"team": "shop"},
			MatchExpressions: []v1alpha1.NamespaceRequirement{{Key: "stage", Operator: metav1.LabelSelectorOpDoesNotExist}},
		}, team, false},
		"an unknown operator limits": {expressions("team", "Like", values{"s*"}), team, true},
	} {
		t.Run(name, func(t *testing.T) {
			policies := []*v1alpha1.AccessTokenPolicy{{Spec: v1alpha1.AccessTokenPolicySpec{NamespaceSelector: test.selector}}}
			if got := len(Selecting(policies, test.labels)) == 1; got != test.want {
				t.Errorf("selected: %t; want %t", got, test.want)
			}
		})
	}
}

func TestSelectingKeepsTheOrder(t *testing.T) {
	policies := []*v1alpha1.AccessTokenPolicy{named("b"), named("a"), named("c")}
	policies[1].Spec.NamespaceSelector = &v1alpha1.NamespaceSelector{MatchLabels: map[string]v1alpha1.LabelValue{"team": "shop"}}
	var names []string
	for _, p := range Selecting(policies, nil) {
		names = append(names, p.Name)
	}
	if !slices.Equal(names, []string{"b", "c"}) {
		t.Errorf("selecting: %q; want b and c", names)
	}
}

func TestQuotaOf(t *testing.T) {
	type quotas = []*v1alpha1.PolicyQuota
	limits := func(tokens, perSubject *int32) *v1alpha1.PolicyQuota {
		return &v1alpha1.PolicyQuota{Tokens: tokens, TokensPerSubject: perSubject}
	}
	for name, test := range map[string]struct {
		quotas quotas
		want   Quota
	}{
		"no policy":                              {nil, Quota{100, 10}},
		"a policy about something else":          {quotas{nil}, Quota{100, 10}},
		"a policy lowers":                        {quotas{limits(ptr.To(int32(5)), ptr.To(int32(2)))}, Quota{5, 2}},
		"a policy raises":                        {quotas{limits(ptr.To(int32(500)), ptr.To(int32(50)))}, Quota{500, 50}},
		"a policy leaves the other default":      {quotas{limits(ptr.To(int32(500)), nil)}, Quota{500, 10}},
		"a policy leaves the first default":      {quotas{limits(nil, ptr.To(int32(20)))}, Quota{100, 20}},
		"none at all":                            {quotas{limits(ptr.To(int32(0)), nil)}, Quota{0, 10}},
		"the strictest of each, by two policies": {quotas{limits(ptr.To(int32(500)), ptr.To(int32(3))), limits(ptr.To(int32(200)), ptr.To(int32(50)))}, Quota{200, 3}},
		"the strictest, whatever comes first":    {quotas{limits(ptr.To(int32(200)), nil), limits(ptr.To(int32(500)), nil)}, Quota{200, 10}},
	} {
		t.Run(name, func(t *testing.T) {
			var policies []*v1alpha1.AccessTokenPolicy
			for _, quota := range test.quotas {
				p := named("p")
				p.Spec.Quota = quota
				policies = append(policies, p)
			}
			if got := QuotaOf(policies); got != test.want {
				t.Errorf("quota %+v; want %+v", got, test.want)
			}
		})
	}
}

func named(name string) *v1alpha1.AccessTokenPolicy {
	return &v1alpha1.AccessTokenPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
}
