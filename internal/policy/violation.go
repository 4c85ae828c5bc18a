package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/schedule"
)

// Violation is what a policy does not allow of an AccessToken.
type Violation struct {
	// Message says which fields, which limits and which policy.
	Message string

	// End says that the policy ends what it does not allow.
	End bool
}

// Check says what the policies that select a namespace do not allow of an
// AccessToken in it; nil for one that keeps them all. It says the same as
// admission policy does of one that is created, and more: that no policy allows a
// user, and that the times of a schedule are too far apart. Of several policies that
// are not kept it tells of the first, of one that ends the token before all others.
func Check(selecting []*v1alpha1.AccessTokenPolicy, token *v1alpha1.AccessToken) *Violation {
	var first *Violation
	for _, p := range selecting {
		found := problems(&p.Spec, &token.Spec)
		if len(found) == 0 {
			continue
		}
		violation := &Violation{
			Message: fmt.Sprintf("%s, by AccessTokenPolicy %s in namespace %s", strings.Join(found, "; "), p.Name, token.Namespace),
			End:     p.Spec.OnViolation == v1alpha1.OnViolationEnd,
		}
		if first == nil || violation.End && !first.End {
			first = violation
		}
	}
	if first == nil && isUser(&token.Spec) && !namesUser(selecting, token.Spec.Subject.Name) {
		return &Violation{Message: fmt.Sprintf("spec.subject.name: no AccessTokenPolicy allows user %s in namespace %s: have whoever may write AccessTokenPolicies add the user to spec.subjects.users of one that selects the namespace",
			token.Spec.Subject.Name, token.Namespace)}
	}
	return first
}

// problems are all that one policy does not allow, in the words of admission policy.
func problems(limits *v1alpha1.AccessTokenPolicySpec, spec *v1alpha1.AccessTokenSpec) (found []string) {
	for _, check := range []func(*v1alpha1.AccessTokenPolicySpec, *v1alpha1.AccessTokenSpec) string{
		checkDescription, checkMaxAge, checkMaxLifetime, checkRotation, checkScopes, checkAudiences, checkKind, checkUser,
	} {
		if problem := check(limits, spec); problem != "" {
			found = append(found, problem)
		}
	}
	return found
}

func checkDescription(limits *v1alpha1.AccessTokenPolicySpec, spec *v1alpha1.AccessTokenSpec) string {
	if limits.RequireDescription && strings.TrimSpace(spec.Description) == "" {
		return "spec.description: is required to say what the token is for"
	}
	return ""
}

func checkMaxAge(limits *v1alpha1.AccessTokenPolicySpec, spec *v1alpha1.AccessTokenSpec) string {
	most, limited := maxOf(limits)
	if age, expires, err := spec.MaxAge.Parse(); limited && err == nil && (!expires || age > most) {
		return fmt.Sprintf("spec.maxAge: %s is longer than the %s that is allowed", spec.MaxAge, limits.MaxAge.Max)
	}
	return ""
}

func checkMaxLifetime(limits *v1alpha1.AccessTokenPolicySpec, spec *v1alpha1.AccessTokenSpec) string {
	most, limited := maxOf(limits)
	if lifetime, err := spec.MaxLifetime.Parse(); limited && err == nil && lifetime > most {
		return fmt.Sprintf("spec.maxLifetime: %s is longer than the %s that is allowed", spec.MaxLifetime, limits.MaxAge.Max)
	}
	return ""
}

func checkRotation(limits *v1alpha1.AccessTokenPolicySpec, spec *v1alpha1.AccessTokenSpec) string {
	if limits.Rotation == nil {
		return ""
	}
	most, err := limits.Rotation.MaxInterval.Parse()
	if err != nil {
		return ""
	}
	rotation := v1alpha1.Rotation{}
	if spec.Rotation != nil {
		rotation = *spec.Rotation
	}
	if rotation.Schedule != "" {
		return checkSchedule(limits, spec, most)
	}
	if interval, err := v1alpha1.Duration(rotation.Interval).Parse(); err == nil {
		if interval > most {
			return fmt.Sprintf("spec.rotation.interval: %s is longer than the %s that is allowed", rotation.Interval, limits.Rotation.MaxInterval)
		}
		return ""
	}
	lives, known := livesFor(limits, spec)
	if rotation.Interval == v1alpha1.RotationIntervalAuto {
		lives = lives / 3 * 2
	}
	if !known || lives > most {
		return fmt.Sprintf("spec.rotation: has to replace the token every %s or sooner (set spec.rotation.interval, or a maxAge that is short enough)", limits.Rotation.MaxInterval)
	}
	return ""
}

// checkSchedule looks at what admission policy cannot: how far the times of a schedule
// are apart. They may be further apart than a token lives.
func checkSchedule(limits *v1alpha1.AccessTokenPolicySpec, spec *v1alpha1.AccessTokenSpec, most time.Duration) string {
	if lives, known := livesFor(limits, spec); known && lives <= most {
		return ""
	}
	gap, err := schedule.LongestGap(spec.Rotation.Schedule)
	if err != nil || gap <= most {
		return "" // one that cannot be read is told of as such
	}
	return fmt.Sprintf("spec.rotation.schedule: %s has times that are %s apart, which is longer than the %s that is allowed",
		spec.Rotation.Schedule, v1alpha1.NewDuration(gap), limits.Rotation.MaxInterval)
}

// livesFor is how long a token lives at most, as far as its spec and one policy
// say; known is false where that is without end.
func livesFor(limits *v1alpha1.AccessTokenPolicySpec, spec *v1alpha1.AccessTokenSpec) (lives time.Duration, known bool) {
	if spec.ExtendWhenUsed && spec.MaxLifetime == "" {
		return 0, false
	}
	for _, text := range []v1alpha1.Duration{spec.MaxLifetime, v1alpha1.Duration(spec.MaxAge)} {
		if text != "" {
			lives, err := text.Parse()
			return lives, err == nil
		}
	}
	if limits.MaxAge == nil {
		return 0, false
	}
	lives, err := limits.MaxAge.Default.Parse()
	return lives, err == nil
}

func checkScopes(limits *v1alpha1.AccessTokenPolicySpec, spec *v1alpha1.AccessTokenSpec) string {
	switch {
	case limits.Scopes == nil:
		return ""
	case len(spec.Scopes) == 0:
		return "spec.scopes: are required, from among the allowed " + some(limits.Scopes.Allowed)
	}
	return among("spec.scopes", spec.Scopes, limits.Scopes.Allowed)
}

func checkAudiences(limits *v1alpha1.AccessTokenPolicySpec, spec *v1alpha1.AccessTokenSpec) string {
	if limits.Audiences == nil {
		return ""
	}
	return among("spec.audiences", spec.Audiences, limits.Audiences.Allowed)
}

func among(field string, items, allowed []string) string {
	var wrong []string
	for _, item := range items {
		if !slices.ContainsFunc(allowed, func(a string) bool { return matches(a, item) }) {
			wrong = append(wrong, item)
		}
	}
	switch len(wrong) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("%s: %s is not among the allowed %s", field, wrong[0], some(allowed))
	}
	return fmt.Sprintf("%s: %s are not among the allowed %s", field, some(wrong), some(allowed))
}

// mostNamed is how many items of a list a message names.
const mostNamed = 8

func some(items []string) string {
	text := strings.Join(items[:min(len(items), mostNamed)], ", ")
	if more := len(items) - mostNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// matches says that an item is what is allowed, or begins so where that ends in *.
func matches(allowed, item string) bool {
	prefix, open := strings.CutSuffix(allowed, "*")
	return item == allowed || open && strings.HasPrefix(item, prefix)
}

func checkKind(limits *v1alpha1.AccessTokenPolicySpec, spec *v1alpha1.AccessTokenSpec) string {
	kind := v1alpha1.SubjectKindAccessToken
	if spec.Subject != nil {
		kind = spec.Subject.Kind
	}
	if limits.Subjects == nil || len(limits.Subjects.Kinds) == 0 || slices.Contains(limits.Subjects.Kinds, kind) {
		return ""
	}
	var allowed []string
	for _, each := range limits.Subjects.Kinds {
		allowed = append(allowed, string(each))
	}
	return fmt.Sprintf("spec.subject.kind: %s is not among the allowed %s", kind, strings.Join(allowed, ", "))
}

func checkUser(limits *v1alpha1.AccessTokenPolicySpec, spec *v1alpha1.AccessTokenSpec) string {
	if limits.Subjects == nil || len(limits.Subjects.Users) == 0 || !isUser(spec) || slices.Contains(limits.Subjects.Users, spec.Subject.Name) {
		return ""
	}
	return fmt.Sprintf("spec.subject.name: user %s is not among the allowed", spec.Subject.Name)
}

func isUser(spec *v1alpha1.AccessTokenSpec) bool {
	return spec.Subject != nil && spec.Subject.Kind == v1alpha1.SubjectKindUser
}

// namesUser says that a policy names a user.
func namesUser(selecting []*v1alpha1.AccessTokenPolicy, user string) bool {
	return slices.ContainsFunc(selecting, func(p *v1alpha1.AccessTokenPolicy) bool {
		return p.Spec.Subjects != nil && slices.Contains(p.Spec.Subjects.Users, user)
	})
}

// maxOf is the longest age of a policy.
func maxOf(limits *v1alpha1.AccessTokenPolicySpec) (most time.Duration, ok bool) {
	if limits.MaxAge == nil {
		return 0, false
	}
	most, err := limits.MaxAge.Max.Parse()
	return most, err == nil
}
