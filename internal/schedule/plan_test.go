package schedule_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/schedule"
)

const (
	day = 24 * time.Hour
	uid = "6c1f2a3e-5a0b-4a53-9d3e-2f1c7f0d9b11"
)

type spec = v1alpha1.AccessTokenSpec

// asked is an AccessToken with the annotation that asks for a rotation.
func asked(s spec, annotation string) *v1alpha1.AccessToken {
	at := &v1alpha1.AccessToken{ObjectMeta: metav1.ObjectMeta{Name: "deploy", Namespace: "ci", UID: uid}, Spec: s}
	if annotation != "" {
		at.Annotations = map[string]string{v1alpha1.AnnotationRotateRequestedAt: annotation}
	}
	return at
}

func plan(t *testing.T, s spec) schedule.Plan {
	t.Helper()
	p, err := schedule.NewPlan(asked(s, ""))
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	return p
}

func keys(n int) map[string]v1alpha1.DataText {
	data := map[string]v1alpha1.DataText{}
	for i := range n {
		data[fmt.Sprintf("key%d", i)] = "text"
	}
	return data
}

func secret(s v1alpha1.SecretTemplate) spec { return spec{Secret: &s} }

func rotation(r v1alpha1.Rotation) *v1alpha1.Rotation { return &r }

func TestEffectiveMaxAge(t *testing.T) {
	for _, c := range []struct {
		name  string
		spec  v1alpha1.MaxAge
		used  bool
		age   schedule.Age
		shown v1alpha1.EffectiveMaxAge
	}{
		{"an absent age is 90 days by default", "", false, schedule.Age{Duration: 90 * day}, v1alpha1.EffectiveMaxAge{Value: "2160h", Source: "Default"}},
		{"an absent age is 30 days by default when use extends it", "", true, schedule.Age{Duration: 30 * day}, v1alpha1.EffectiveMaxAge{Value: "720h", Source: "Default"}},
		{"an age that use extends is as it is written", "2160h", true, schedule.Age{Duration: 90 * day}, v1alpha1.EffectiveMaxAge{Value: "2160h", Source: "Spec"}},
		{"a duration is shown as it is written", "720h0m", false, schedule.Age{Duration: 30 * day}, v1alpha1.EffectiveMaxAge{Value: "720h0m", Source: "Spec"}},
		{"Never has no duration", "Never", false, schedule.Age{Never: true}, v1alpha1.EffectiveMaxAge{Value: "Never", Source: "Spec"}},
		{"the shortest age is that of a cluster for development", "2s", false, schedule.Age{Duration: 2 * time.Second}, v1alpha1.EffectiveMaxAge{Value: "2s", Source: "Spec"}},
		{"the longest age is ten years", "87600h", false, schedule.Age{Duration: 87600 * time.Hour}, v1alpha1.EffectiveMaxAge{Value: "87600h", Source: "Spec"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			age, shown, err := schedule.EffectiveMaxAge(c.spec, c.used)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.age, age); diff != "" {
				t.Errorf("age (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.shown, shown); diff != "" {
				t.Errorf("shown (-want +got):\n%s", diff)
			}
		})
	}
	for _, bad := range []v1alpha1.MaxAge{"1s", "0s", "87600h1s", "99999h", "30d", "never", " ", "-1h", "1e3h", "99999999999h"} {
		age, shown, err := schedule.EffectiveMaxAge(bad, false)
		if _, ok := errors.AsType[*schedule.InvalidError](err); !ok || age != (schedule.Age{}) || shown != (v1alpha1.EffectiveMaxAge{}) {
			t.Errorf("EffectiveMaxAge(%q) is %v, %v, %v", bad, age, shown, err)
		}
	}
}

func TestMaxLifetime(t *testing.T) {
	for _, c := range []struct {
		name string
		spec spec
		want time.Duration
	}{
		{"without use it is the age", spec{MaxAge: "100h"}, 100 * time.Hour},
		{"without an end there is none", spec{MaxAge: "Never"}, 0},
		{"by default it is four times the default age", spec{ExtendWhenUsed: true}, 120 * day},
		{"by default it is four times the age", spec{MaxAge: "10m", ExtendWhenUsed: true}, 40 * time.Minute},
		{"by default it is a year at most", spec{MaxAge: "2190h1s", ExtendWhenUsed: true}, 365 * day},
		{"by default it is not shorter than the age", spec{MaxAge: "8761h", ExtendWhenUsed: true}, 8761 * time.Hour},
		{"it is what is given, though longer than the default", spec{MaxAge: "1h", ExtendWhenUsed: true, MaxLifetime: "8760h"}, 365 * day},
		{"it can be as short as the age", spec{ExtendWhenUsed: true, MaxLifetime: "720h"}, 30 * day},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := plan(t, c.spec)
			if p.MaxLifetime != c.want || p.ExtendWhenUsed != c.spec.ExtendWhenUsed {
				t.Errorf("the longest life is %v (%v), want %v", p.MaxLifetime, p.ExtendWhenUsed, c.want)
			}
		})
	}
}

func TestWhatIsInvalidNamesItsFieldAndWhatToDo(t *testing.T) {
	for _, c := range []struct {
		name       string
		spec       spec
		annotation string
		want       schedule.InvalidError
	}{
		{
			"a maximum age that is no duration", spec{MaxAge: "30d"}, "",
			schedule.InvalidError{Field: "spec.maxAge", Reason: "SpecInvalid", Message: `"30d" is neither a duration such as 720h nor Never`},
		},
		{
			"a maximum age that is out of bounds", spec{MaxAge: "0s"}, "",
			schedule.InvalidError{Field: "spec.maxAge", Reason: "SpecInvalid", Message: `0s is out of bounds: use a duration up to 87600h, such as 720h for 30 days, or Never`},
		},
		{
			"an age of Never that use is to extend", spec{MaxAge: "Never", ExtendWhenUsed: true}, "",
			schedule.InvalidError{Field: "spec.extendWhenUsed", Reason: "SpecInvalid", Message: `use extends maxAge, which is Never: give a maxAge such as 720h, or remove extendWhenUsed`},
		},
		{
			"a lifetime that use does not reach", spec{MaxLifetime: "2160h"}, "",
			schedule.InvalidError{Field: "spec.maxLifetime", Reason: "SpecInvalid", Message: `belongs to extendWhenUsed: set extendWhenUsed to true, or remove maxLifetime`},
		},
		{
			"a lifetime that is shorter than the default age", spec{ExtendWhenUsed: true, MaxLifetime: "719h"}, "",
			schedule.InvalidError{Field: "spec.maxLifetime", Reason: "SpecInvalid", Message: `719h is shorter than maxAge, which is 720h: lengthen maxLifetime or shorten maxAge`},
		},
		{
			"a lifetime that is out of bounds", spec{ExtendWhenUsed: true, MaxLifetime: "87600h1s"}, "",
			schedule.InvalidError{Field: "spec.maxLifetime", Reason: "SpecInvalid", Message: `87600h1s is out of bounds: use a duration from 2s to 87600h`},
		},
		{
			"a lifetime that is no duration", spec{ExtendWhenUsed: true, MaxLifetime: "90d"}, "",
			schedule.InvalidError{Field: "spec.maxLifetime", Reason: "SpecInvalid", Message: `"90d" is not a duration such as 720h, 1h30m or 45s`},
		},
		{
			"an interval that is as long as the default lifetime", spec{MaxAge: "24h", ExtendWhenUsed: true, Rotation: rotation(v1alpha1.Rotation{Interval: "96h"})}, "",
			schedule.InvalidError{Field: "spec.rotation.interval", Reason: "RotationInvalid", Message: `96h is not shorter than maxLifetime, which is 96h, so the token would expire before it is rotated: shorten interval or lengthen maxLifetime`},
		},
		{
			"a ttl that is no duration", spec{TTLAfterFinished: "soon"}, "",
			schedule.InvalidError{Field: "spec.ttlAfterFinished", Reason: "SpecInvalid", Message: `"soon" is not a duration such as 720h, 1h30m or 45s`},
		},
		{
			"a network with host bits", spec{AllowedCIDRs: []v1alpha1.CIDR{"10.0.0.0/8", "10.0.0.1/8"}}, "",
			schedule.InvalidError{Field: "spec.allowedCIDRs[1]", Reason: "SpecInvalid", Message: `"10.0.0.1/8" is not a network in canonical form such as 10.0.0.0/8 or fd00::/8: without host bits, IPv6 in lower case and shortest form; it cannot be changed: create a new AccessToken instead`},
		},
		{
			"a scope with a space", spec{Scopes: []string{"deploy", "read all"}}, "",
			schedule.InvalidError{Field: "spec.scopes[1]", Reason: "SpecInvalid", Message: `"read all" is not a scope of up to 128 printable ASCII characters without space, quote or backslash such as deploy:shop; it cannot be changed: create a new AccessToken instead`},
		},
		{
			"too many scopes", spec{Scopes: make([]string, 65)}, "",
			schedule.InvalidError{Field: "spec.scopes", Reason: "SpecInvalid", Message: `it has 65 members and can have 64; it cannot be changed: create a new AccessToken instead`},
		},
		{
			"an audience of nothing", spec{Audiences: []string{""}}, "",
			schedule.InvalidError{Field: "spec.audiences[0]", Reason: "SpecInvalid", Message: `"" is not an audience of 1 to 256 characters such as https://billing.example.com; it cannot be changed: create a new AccessToken instead`},
		},
		{
			"an audience twice", spec{Audiences: []string{"billing", "billing"}}, "",
			schedule.InvalidError{Field: "spec.audiences[1]", Reason: "SpecInvalid", Message: `"billing" is there twice; it cannot be changed: create a new AccessToken instead`},
		},
		{
			"a state that does not exist", spec{State: "Paused"}, "",
			schedule.InvalidError{Field: "spec.state", Reason: "SpecInvalid", Message: `"Paused" is unknown: use Active, Suspended or Revoked`},
		},
		{
			"a Secret name with capitals", secret(v1alpha1.SecretTemplate{Name: "My_Secret"}), "",
			schedule.InvalidError{Field: "spec.secret.name", Reason: "SpecInvalid", Message: `"My_Secret" is not a name for a Secret: use up to 253 lower-case letters, digits, - and ., such as ci-token`},
		},
		{
			"a format that does not exist", secret(v1alpha1.SecretTemplate{Format: "Envelope"}), "",
			schedule.InvalidError{Field: "spec.secret.format", Reason: "SpecInvalid", Message: `"Envelope" is unknown: use Opaque, BasicAuth, DockerConfigJson, Netrc or Kubeconfig, and another secret.name`},
		},
		{
			"a Netrc for no host", secret(v1alpha1.SecretTemplate{Format: "Netrc"}), "",
			schedule.InvalidError{Field: "spec.secret.servers", Reason: "SpecInvalid", Message: `it names the hosts that a Netrc is for, and is missing: give at least one, such as git.example.com`},
		},
		{
			"hosts for a format without", secret(v1alpha1.SecretTemplate{Servers: []string{"git.example.com"}}), "",
			schedule.InvalidError{Field: "spec.secret.servers", Reason: "SpecInvalid", Message: `it names the hosts that a Netrc, DockerConfigJson or Kubeconfig is for: remove it, or choose one of these formats`},
		},
		{
			"a host with a line of its own", secret(v1alpha1.SecretTemplate{Format: "Netrc", Servers: []string{"git.example.com\nmachine evil.example.com"}}), "",
			schedule.InvalidError{Field: "spec.secret.servers[0]", Reason: "SpecInvalid", Message: `"git.example.com\nmachine evil.example.com" is not a host name, with a port where one is needed, such as git.example.com`},
		},
		{
			"a Kubeconfig for two servers", secret(v1alpha1.SecretTemplate{Format: "Kubeconfig", Servers: []string{"a.example.com", "b.example.com"}}), "",
			schedule.InvalidError{Field: "spec.secret.servers", Reason: "SpecInvalid", Message: `it has 2 members, and a Kubeconfig is for one: give one`},
		},
		{
			"a label of the operator's", secret(v1alpha1.SecretTemplate{Labels: map[string]v1alpha1.LabelValue{"accesstoken.dev/access-token": "x"}}), "",
			schedule.InvalidError{Field: "spec.secret.labels", Reason: "SpecInvalid", Message: `"accesstoken.dev/access-token" is under accesstoken.dev, which means something to others: choose another key, such as example.com/team`},
		},
		{
			"an annotation of a part of Kubernetes", secret(v1alpha1.SecretTemplate{Annotations: map[string]v1alpha1.AnnotationValue{"kubectl.kubernetes.io/x": "x"}}), "",
			schedule.InvalidError{Field: "spec.secret.annotations", Reason: "SpecInvalid", Message: `"kubectl.kubernetes.io/x" is under kubernetes.io, which means something to others: choose another key, such as example.com/team`},
		},
		{
			"a label with a space in its key", secret(v1alpha1.SecretTemplate{Labels: map[string]v1alpha1.LabelValue{"a b": "x"}}), "",
			schedule.InvalidError{Field: "spec.secret.labels", Reason: "SpecInvalid", Message: `"a b" is not a key such as team or example.com/team`},
		},
		{
			"a label with a space in its value", secret(v1alpha1.SecretTemplate{Labels: map[string]v1alpha1.LabelValue{"team": "a b"}}), "",
			schedule.InvalidError{Field: "spec.secret.labels", Reason: "SpecInvalid", Message: `"a b" of team is not the value of a label: use at most 63 letters, digits, -, _ and .`},
		},
		{
			"too much in annotations", secret(v1alpha1.SecretTemplate{Annotations: map[string]v1alpha1.AnnotationValue{"a": v1alpha1.AnnotationValue(strings.Repeat("é", 32769))}}), "",
			schedule.InvalidError{Field: "spec.secret.annotations", Reason: "SpecInvalid", Message: `its values have 32769 characters together and can have 32768`},
		},
		{
			"a key that is a path", secret(v1alpha1.SecretTemplate{Data: map[string]v1alpha1.DataText{"../a": "text"}}), "",
			schedule.InvalidError{Field: "spec.secret.data", Reason: "SpecInvalid", Message: `"../a" is not a key for a Secret of up to 253 letters, digits, - _ and . such as config.json`},
		},
		{
			"a key that a format has", secret(v1alpha1.SecretTemplate{Data: map[string]v1alpha1.DataText{"password": "text"}}), "",
			schedule.InvalidError{Field: "spec.secret.data", Reason: "SpecInvalid", Message: `"password" is the key of a format: choose another key, or secret.format`},
		},
		{
			"too many keys", secret(v1alpha1.SecretTemplate{Data: keys(33)}), "",
			schedule.InvalidError{Field: "spec.secret.data", Reason: "SpecInvalid", Message: `it has 33 keys and can have 32`},
		},
		{
			"too much text", secret(v1alpha1.SecretTemplate{Data: map[string]v1alpha1.DataText{"a": "é", "b": v1alpha1.DataText(strings.Repeat("x", 32768))}}), "",
			schedule.InvalidError{Field: "spec.secret.data", Reason: "SpecInvalid", Message: `its texts have 32769 characters together and can have 32768`},
		},
		{
			"an interval that is as long as the age", spec{MaxAge: "168h", Rotation: rotation(v1alpha1.Rotation{Interval: "168h"})}, "",
			schedule.InvalidError{Field: "spec.rotation.interval", Reason: "RotationInvalid", Message: `168h is not shorter than maxAge, which is 168h, so the token would expire before it is rotated: shorten interval or lengthen maxAge`},
		},
		{
			"an interval that is longer than the default age", spec{Rotation: rotation(v1alpha1.Rotation{Interval: "2160h1s"})}, "",
			schedule.InvalidError{Field: "spec.rotation.interval", Reason: "RotationInvalid", Message: `2160h1s is not shorter than maxAge, which is 2160h, so the token would expire before it is rotated: shorten interval or lengthen maxAge`},
		},
		{
			"an interval of nothing", spec{Rotation: rotation(v1alpha1.Rotation{Interval: "0s"})}, "",
			schedule.InvalidError{Field: "spec.rotation.interval", Reason: "SpecInvalid", Message: `0s is out of bounds: use a duration from 1s to 87600h`},
		},
		{
			"two thirds of Never", spec{MaxAge: "Never", Rotation: rotation(v1alpha1.Rotation{Interval: "Auto"})}, "",
			schedule.InvalidError{Field: "spec.rotation.interval", Reason: "RotationInvalid", Message: `Auto is two thirds of maxAge, which is Never: give an interval such as 720h, or a maxAge`},
		},
		{
			"an overlap that is as long as the interval", spec{Rotation: rotation(v1alpha1.Rotation{Interval: "24h", Overlap: "24h"})}, "",
			schedule.InvalidError{Field: "spec.rotation.overlap", Reason: "RotationInvalid", Message: `24h is not shorter than the interval, which can be as short as 24h, so more than two tokens would be good at once: shorten overlap or lengthen interval`},
		},
		{
			"an overlap that some UIDs would find too long", spec{MaxAge: "15h", Rotation: rotation(v1alpha1.Rotation{Interval: "Auto", Overlap: "9h30m"})}, "",
			schedule.InvalidError{Field: "spec.rotation.overlap", Reason: "RotationInvalid", Message: `9h30m is not shorter than the interval, which can be as short as 9h, so more than two tokens would be good at once: shorten overlap or lengthen interval`},
		},
		{
			"an overlap that is out of bounds", spec{Rotation: rotation(v1alpha1.Rotation{Overlap: "8760h1s"})}, "",
			schedule.InvalidError{Field: "spec.rotation.overlap", Reason: "SpecInvalid", Message: `8760h1s is out of bounds: use a duration from 0s to 8760h`},
		},
		{
			"both interval and schedule", spec{Rotation: rotation(v1alpha1.Rotation{Interval: "24h", Schedule: "@daily"})}, "",
			schedule.InvalidError{Field: "spec.rotation.schedule", Reason: "RotationInvalid", Message: `interval and schedule exclude each other: remove one of them`},
		},
		{
			"a schedule with a time zone in it", spec{Rotation: rotation(v1alpha1.Rotation{Schedule: "TZ=Europe/Helsinki 0 3 * * *"})}, "",
			schedule.InvalidError{Field: "spec.rotation.schedule", Reason: "ScheduleInvalid", Message: `"TZ=Europe/Helsinki 0 3 * * *" is neither a cron expression of five fields such as 0 3 * * 1 nor @daily or the like`},
		},
		{
			"a schedule with a minute too high", spec{Rotation: rotation(v1alpha1.Rotation{Schedule: "60 3 * * *"})}, "",
			schedule.InvalidError{Field: "spec.rotation.schedule", Reason: "ScheduleInvalid", Message: `"60 3 * * *" is not a cron expression: 60 is above 59; use five fields such as 0 3 * * 1`},
		},
		{
			"a schedule of a date that never comes", spec{Rotation: rotation(v1alpha1.Rotation{Schedule: "0 0 30 2 *"})}, "",
			schedule.InvalidError{Field: "spec.rotation.schedule", Reason: "ScheduleInvalid", Message: `"0 0 30 2 *" names a date that never comes: use one that the calendar has`},
		},
		{
			"an unknown time zone", spec{Rotation: rotation(v1alpha1.Rotation{Schedule: "@daily", TimeZone: "Europe/Atlantis"})}, "",
			schedule.InvalidError{Field: "spec.rotation.timeZone", Reason: "ScheduleInvalid", Message: `"Europe/Atlantis" is not a time zone: use an IANA name such as Europe/Helsinki, or remove it for UTC`},
		},
		{
			"a request that is no instant", spec{Rotation: rotation(v1alpha1.Rotation{NotIssuedBefore: "now"})}, "",
			schedule.InvalidError{Field: "spec.rotation.notIssuedBefore", Reason: "SpecInvalid", Message: `"now" is not an instant in UTC: write it like 2026-11-24T09:00:00Z`},
		},
		{
			"an annotation with a local time", spec{}, "2026-11-24T11:00:00+02:00",
			schedule.InvalidError{Field: "metadata.annotations[accesstoken.dev/rotate-requested-at]", Reason: "SpecInvalid", Message: `"2026-11-24T11:00:00+02:00" is not an instant in UTC: write it like 2026-11-24T09:00:00Z`},
		},
		{
			"an annotation with a day that no month has", spec{}, "2026-11-31T09:00:00Z",
			schedule.InvalidError{Field: "metadata.annotations[accesstoken.dev/rotate-requested-at]", Reason: "SpecInvalid", Message: `"2026-11-31T09:00:00Z" is not an instant in UTC: write it like 2026-11-24T09:00:00Z`},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := schedule.NewPlan(asked(c.spec, c.annotation))
			invalid, ok := errors.AsType[*schedule.InvalidError](err)
			if !ok {
				t.Fatalf("the error is %v, want an InvalidError", err)
			}
			if diff := cmp.Diff(c.want, *invalid); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if want := c.want.Field + ": " + c.want.Message; err.Error() != want {
				t.Errorf("the error reads %q, want %q", err, want)
			}
		})
	}
}

func TestAPlanWithAnErrorKeepsTheRest(t *testing.T) {
	s := spec{
		MaxAge: "48h", TTLAfterFinished: "1h", AllowedCIDRs: []v1alpha1.CIDR{"nowhere"},
		Rotation: rotation(v1alpha1.Rotation{Interval: "72h", Overlap: "1h", NotIssuedBefore: "2026-11-24T09:00:00Z"}),
	}
	p, err := schedule.NewPlan(asked(s, "garbage"))
	if err == nil || err.Error()[:21] != "spec.allowedCIDRs[0]:" {
		t.Errorf("the error is %v, want that of the first field", err)
	}
	if p.MaxAge.Duration != 48*time.Hour || p.Overlap != time.Hour || p.TTLAfterFinished == nil || *p.TTLAfterFinished != time.Hour {
		t.Errorf("the plan is %+v, without what could be read", p)
	}
	if due, cause, ok := p.Rotation(time.Time{}, uid); !ok || cause != schedule.Requested || !due.Equal(instant("2026-11-24T09:00:00Z")) {
		t.Errorf("a rotation is due at %v by %s (%t), want the request only", due, cause, ok)
	}

	s.Rotation, s.ExtendWhenUsed, s.MaxLifetime = nil, true, "24h"
	short, err := schedule.NewPlan(asked(s, ""))
	if err == nil || short.MaxAge.Duration != 48*time.Hour || short.MaxLifetime != 0 {
		t.Errorf("beside a lifetime that cannot be used (%v) the age is %v and the lifetime %v, want 48h and none", err, short.MaxAge, short.MaxLifetime)
	}

	unread, err := schedule.NewPlan(asked(spec{MaxAge: "30d", Rotation: rotation(v1alpha1.Rotation{Interval: "Auto"})}, ""))
	if err == nil || unread.MaxAge != (schedule.Age{}) {
		t.Errorf("an age that cannot be read is %v (%v), want the zero Age", unread.MaxAge, err)
	}
	if due, _, ok := unread.Rotation(instant("2026-11-24T09:00:00Z"), uid); ok {
		t.Errorf("two thirds of an age that cannot be read are due at %v", due)
	}
}

func TestNothingToPlanIsNoError(t *testing.T) {
	p, err := schedule.NewPlan(&v1alpha1.AccessToken{})
	if err != nil {
		t.Fatal(err)
	}
	if p.MaxAge != (schedule.Age{Duration: 90 * day}) || p.TTLAfterFinished != nil {
		t.Errorf("the plan of an empty spec is %+v", p)
	}
	if due, _, ok := p.Rotation(instant("2026-11-24T09:00:00Z"), uid); ok {
		t.Errorf("an empty spec rotates at %v", due)
	}
}

func TestOverlap(t *testing.T) {
	for _, c := range []struct {
		name   string
		maxAge v1alpha1.MaxAge
		r      v1alpha1.Rotation
		want   time.Duration
	}{
		{"a tenth of the age", "100h", v1alpha1.Rotation{}, 10 * time.Hour},
		{"at most a day", "720h", v1alpha1.Rotation{Interval: "168h"}, day},
		{"at least ten minutes", "1h", v1alpha1.Rotation{}, 10 * time.Minute},
		{"a day when the token never expires", "Never", v1alpha1.Rotation{Interval: "168h"}, day},
		{"half of an interval that is as long", "720h", v1alpha1.Rotation{Interval: "24h"}, 12 * time.Hour},
		{"a day beside an interval that is a second longer", "720h", v1alpha1.Rotation{Interval: "24h1s"}, day},
		{"half of an interval that is shorter, also when the token never expires", "Never", v1alpha1.Rotation{Interval: "1h"}, 30 * time.Minute},
		{"half of what Auto can come to", "10m", v1alpha1.Rotation{Interval: "Auto"}, 135 * time.Second},
		{"what is given", "720h", v1alpha1.Rotation{Interval: "24h", Overlap: "23h59m59s"}, day - time.Second},
		{"none where none is wanted", "720h", v1alpha1.Rotation{Interval: "24h", Overlap: "0s"}, 0},
		{"what is given, whatever the schedule", "720h", v1alpha1.Rotation{Schedule: "* * * * *", Overlap: "1h"}, time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := plan(t, spec{MaxAge: c.maxAge, Rotation: &c.r}).Overlap; got != c.want {
				t.Errorf("the overlap is %v, want %v", got, c.want)
			}
		})
	}
}
