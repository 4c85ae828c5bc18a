package policy

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

func policyOf(name string, spec v1alpha1.AccessTokenPolicySpec) *v1alpha1.AccessTokenPolicy {
	return &v1alpha1.AccessTokenPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
}

func tokenOf(spec v1alpha1.AccessTokenSpec) *v1alpha1.AccessToken {
	return &v1alpha1.AccessToken{ObjectMeta: metav1.ObjectMeta{Namespace: "ci", Name: "deploy"}, Spec: spec}
}

func TestOfSeveralViolationsOneThatEndsComesFirst(t *testing.T) {
	keep := policyOf("keep", v1alpha1.AccessTokenPolicySpec{RequireDescription: true})
	end := policyOf("end", v1alpha1.AccessTokenPolicySpec{MaxAge: &v1alpha1.PolicyMaxAge{Max: "24h"}, OnViolation: v1alpha1.OnViolationEnd})
	token := tokenOf(v1alpha1.AccessTokenSpec{MaxAge: "48h"})
	for _, policies := range [][]*v1alpha1.AccessTokenPolicy{{keep, end}, {end, keep}} {
		got := Check(policies, token)
		if got == nil || !got.End || got.Message != "spec.maxAge: 48h is longer than the 24h that is allowed, by AccessTokenPolicy end in namespace ci" {
			t.Errorf("violation = %+v", got)
		}
	}
	if got := Check([]*v1alpha1.AccessTokenPolicy{keep}, token); got == nil || got.End {
		t.Errorf("violation = %+v, want one that keeps the token", got)
	}
}

func TestAUserTakesAPolicyThatNamesThem(t *testing.T) {
	alice := tokenOf(v1alpha1.AccessTokenSpec{MaxAge: "24h", Subject: &v1alpha1.TokenSubject{Kind: v1alpha1.SubjectKindUser, Name: "alice"}})
	names := func(users ...string) *v1alpha1.AccessTokenPolicy {
		return policyOf("p", v1alpha1.AccessTokenPolicySpec{Subjects: &v1alpha1.PolicySubjects{Users: users}})
	}
	kinds := policyOf("kinds", v1alpha1.AccessTokenPolicySpec{Subjects: &v1alpha1.PolicySubjects{Kinds: []v1alpha1.SubjectKind{v1alpha1.SubjectKindUser}}})
	for name, c := range map[string]struct {
		policies []*v1alpha1.AccessTokenPolicy
		want     string // empty: allowed
	}{
		"no policy at all":                  {nil, "no AccessTokenPolicy allows user alice in namespace ci: have whoever may write AccessTokenPolicies add the user to spec.subjects.users of one that selects the namespace"},
		"a policy about something else":     {[]*v1alpha1.AccessTokenPolicy{policyOf("p", v1alpha1.AccessTokenPolicySpec{})}, "no AccessTokenPolicy allows user alice"},
		"a policy that allows users":        {[]*v1alpha1.AccessTokenPolicy{kinds}, "no AccessTokenPolicy allows user alice"},
		"a policy that names her":           {[]*v1alpha1.AccessTokenPolicy{names("bob", "alice")}, ""},
		"a policy that names another":       {[]*v1alpha1.AccessTokenPolicy{names("bob")}, "user alice is not among the allowed, by AccessTokenPolicy p"},
		"two policies, one names another":   {[]*v1alpha1.AccessTokenPolicy{names("alice"), names("bob")}, "user alice is not among the allowed"},
		"a policy that names her, of kinds": {[]*v1alpha1.AccessTokenPolicy{names("alice"), kinds}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := Check(c.policies, alice)
			if (got == nil) != (c.want == "") || got != nil && !strings.Contains(got.Message, c.want) {
				t.Errorf("violation = %+v, want %q", got, c.want)
			}
		})
	}
}

func TestWithDefaults(t *testing.T) {
	ages := func(byDefault, most v1alpha1.Duration) *v1alpha1.AccessTokenPolicy {
		return policyOf("p", v1alpha1.AccessTokenPolicySpec{MaxAge: &v1alpha1.PolicyMaxAge{Default: byDefault, Max: most}})
	}
	type policies = []*v1alpha1.AccessTokenPolicy
	for name, c := range map[string]struct {
		policies policies
		spec     v1alpha1.AccessTokenSpec
		age      v1alpha1.MaxAge
		lifetime v1alpha1.Duration
		source   v1alpha1.MaxAgeSource
	}{
		"no policy":                              {nil, v1alpha1.AccessTokenSpec{}, "", "", v1alpha1.MaxAgeSourceDefault},
		"a default":                              {policies{ages("24h", "")}, v1alpha1.AccessTokenSpec{}, "24h", "", v1alpha1.MaxAgeSourcePolicy},
		"a default that is longer than ours":     {policies{ages("8760h", "")}, v1alpha1.AccessTokenSpec{}, "8760h", "", v1alpha1.MaxAgeSourcePolicy},
		"the shorter of two defaults":            {policies{ages("48h", ""), ages("24h", "")}, v1alpha1.AccessTokenSpec{}, "24h", "", v1alpha1.MaxAgeSourcePolicy},
		"a limit that is shorter than ours":      {policies{ages("", "720h")}, v1alpha1.AccessTokenSpec{}, "720h", "", v1alpha1.MaxAgeSourcePolicy},
		"a limit that is longer than ours":       {policies{ages("", "8760h")}, v1alpha1.AccessTokenSpec{}, "", "", v1alpha1.MaxAgeSourceDefault},
		"a limit that is shorter than a default": {policies{ages("48h", ""), ages("", "24h")}, v1alpha1.AccessTokenSpec{}, "24h", "", v1alpha1.MaxAgeSourcePolicy},
		"what the spec says":                     {policies{ages("24h", "720h")}, v1alpha1.AccessTokenSpec{MaxAge: "48h"}, "48h", "", v1alpha1.MaxAgeSourceSpec},
		"a lifetime that would be too long":      {policies{ages("", "720h")}, v1alpha1.AccessTokenSpec{MaxAge: "240h", ExtendWhenUsed: true}, "240h", "720h", v1alpha1.MaxAgeSourceSpec},
		"a lifetime that is short enough":        {policies{ages("", "720h")}, v1alpha1.AccessTokenSpec{MaxAge: "24h", ExtendWhenUsed: true}, "24h", "", v1alpha1.MaxAgeSourceSpec},
		"a lifetime under a default and a limit": {policies{ages("240h", "720h")}, v1alpha1.AccessTokenSpec{ExtendWhenUsed: true}, "240h", "720h", v1alpha1.MaxAgeSourcePolicy},
		"a lifetime of an age that violates":     {policies{ages("", "24h")}, v1alpha1.AccessTokenSpec{MaxAge: "240h", ExtendWhenUsed: true}, "240h", "240h", v1alpha1.MaxAgeSourceSpec},
		"a lifetime that the spec names":         {policies{ages("", "720h")}, v1alpha1.AccessTokenSpec{MaxAge: "240h", ExtendWhenUsed: true, MaxLifetime: "960h"}, "240h", "960h", v1alpha1.MaxAgeSourceSpec},
	} {
		t.Run(name, func(t *testing.T) {
			token := tokenOf(c.spec)
			filled, source := WithDefaults(c.policies, token)
			if filled.Spec.MaxAge != c.age || filled.Spec.MaxLifetime != c.lifetime || source != c.source {
				t.Errorf("maxAge %q, maxLifetime %q from %s, want %q, %q from %s", filled.Spec.MaxAge, filled.Spec.MaxLifetime, source, c.age, c.lifetime, c.source)
			}
			if token.Spec.MaxAge != c.spec.MaxAge || token.Spec.MaxLifetime != c.spec.MaxLifetime {
				t.Error("the AccessToken itself was changed")
			}
		})
	}
}

func TestAScheduleComesAtLeastAsOftenAsAPolicySays(t *testing.T) {
	week := policyOf("week", v1alpha1.AccessTokenPolicySpec{Rotation: &v1alpha1.PolicyRotation{MaxInterval: "168h"}})
	for name, c := range map[string]struct {
		age      v1alpha1.MaxAge
		schedule v1alpha1.CronSchedule
		want     string // empty: allowed
	}{
		"each week":                            {"720h", "0 3 * * 1", ""},
		"each day":                             {v1alpha1.MaxAgeNever, "@daily", ""},
		"each year":                            {"720h", "0 0 1 1 *", "spec.rotation.schedule: 0 0 1 1 * has times that are 8784h apart, which is longer than the 168h that is allowed, by AccessTokenPolicy week in namespace ci"},
		"each year, without a maxAge":          {"", "@yearly", "spec.rotation.schedule: @yearly has times that are 8784h apart, which is longer than the 168h that is allowed, by AccessTokenPolicy week in namespace ci"},
		"each year, for ever":                  {v1alpha1.MaxAgeNever, "@yearly", "spec.rotation.schedule: @yearly has times that are 8784h apart, which is longer than the 168h that is allowed, by AccessTokenPolicy week in namespace ci"},
		"each month, but the token lives less": {"168h", "@monthly", ""},
		"never, which is told of elsewhere":    {"720h", "0 0 31 2 *", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := Check([]*v1alpha1.AccessTokenPolicy{week}, tokenOf(v1alpha1.AccessTokenSpec{MaxAge: c.age, Rotation: &v1alpha1.Rotation{Schedule: c.schedule}}))
			if (got == nil) != (c.want == "") || got != nil && got.Message != c.want {
				t.Errorf("violation = %+v, want %q", got, c.want)
			}
		})
	}
}
