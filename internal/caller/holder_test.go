package caller_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/caller"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// asks makes a token that may ask, for audiences.
func asks(audiences ...string) func(*v1alpha1.TokenRecord) {
	return func(rec *v1alpha1.TokenRecord) {
		rec.Spec.Scopes = []string{"read", v1alpha1.ScopeIntrospect}
		rec.Spec.Audiences = audiences
	}
}

func TestTheHolderOfATokenWithTheScopeAsksAboutItsAudiences(t *testing.T) {
	rec, text := mint.Record(t, "ci", "billing", noon, asks(caller.DefaultAudience, billing, "kubernetes"))
	decider := mint.NewIndex(t, rec).Decider(clocktesting.NewFakePassiveClock(noon))
	var seen []verify.Request
	w := newWorld(t, verify.Func(func(ctx context.Context, request verify.Request) (verify.Verdict, error) {
		seen = append(seen, request)
		return decider.Verify(ctx, request)
	}))
	for _, authorization := range []string{bearer(text), basic(text)} {
		who, problem := w.present(authorization)
		if problem != nil {
			t.Fatalf("refused: %+v", problem)
		}
		if who.Name != "accesstoken:ci:billing" {
			t.Errorf("Name = %s", who.Name)
		}
		// Not the verifier's own: every caller's token has that.
		allowed, err := who.Audiences(t.Context(), []string{stock, billing, caller.DefaultAudience, "kubernetes", mint.DefaultAudience})
		if err != nil || !slices.Equal(allowed, []string{billing, "kubernetes"}) {
			t.Errorf("Audiences = %q, %v", allowed, err)
		}
	}
	if len(seen) != 2 || seen[0].Probe || seen[0].Path != "/introspect" || seen[0].Protocol != verify.ProtocolIntrospection || seen[0].ClientIP.IsValid() {
		t.Errorf("the caller's own token is used by asking: %d requests", len(seen))
	}
	if asked := w.asked.Load(); asked != 0 {
		t.Errorf("the API server was asked %d times about a token of ours", asked)
	}
}

func TestATokenThatMayNotAskIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		change      func(*v1alpha1.TokenRecord)
		status      int
		description string
	}{
		"without scopes": {func(rec *v1alpha1.TokenRecord) {
			rec.Spec.Audiences = []string{caller.DefaultAudience}
		}, 403, "the token lacks the scope accesstoken.dev:introspect"},
		"with other scopes": {func(rec *v1alpha1.TokenRecord) {
			rec.Spec.Audiences, rec.Spec.Scopes = []string{caller.DefaultAudience}, []string{"accesstoken.dev:introspect2", "introspect"}
		}, 403, "the token lacks the scope accesstoken.dev:introspect"},
		"for others":         {asks(billing), 401, "the token is not meant for the audience verifier.accesstoken.dev"},
		"for nobody in name": {asks(), 401, "the token is not meant for the audience verifier.accesstoken.dev"},
		"that ended": {func(rec *v1alpha1.TokenRecord) {
			asks(caller.DefaultAudience)(rec)
			mint.Aging(time.Minute)(rec)
		}, 401, "the credential is not good here"},
		"from somewhere only": {func(rec *v1alpha1.TokenRecord) {
			asks(caller.DefaultAudience)(rec)
			rec.Spec.AllowedCIDRs = []v1alpha1.CIDR{"0.0.0.0/0"}
		}, 401, "the credential is not good here"},
	} {
		t.Run(name, func(t *testing.T) {
			rec, text := mint.Record(t, "ci", "billing", noon, test.change)
			decider := mint.NewIndex(t, rec).Decider(clocktesting.NewFakePassiveClock(noon.Add(time.Hour)))
			w := newWorld(t, decider)
			for _, authorization := range []string{bearer(text), basic(text)} {
				_, problem := w.present(authorization)
				if problem == nil || problem.Status != test.status || !strings.HasPrefix(problem.Description, test.description) {
					t.Fatalf("problem = %+v, want %d %s", problem, test.status, test.description)
				}
				if (problem.Code == "invalid_client") != (problem.Status == 401 && authorization == basic(text)) {
					t.Errorf("error = %s", problem.Code)
				}
			}
			if asked := w.asked.Load(); asked != 0 {
				t.Errorf("the API server was asked %d times about a token of ours", asked)
			}
		})
	}
}

func TestAVerifierThatCannotCheckIsNeitherYesNorNo(t *testing.T) {
	rec, text := mint.Record(t, "ci", "billing", noon, asks(caller.DefaultAudience))
	decider := mint.NewIndex(t, rec).Decider(clocktesting.NewFakePassiveClock(noon))
	decider.Fresh = func(time.Time) error { return verify.ErrStale }
	w := newWorld(t, decider)
	if status := w.status(bearer(text)); status != http.StatusServiceUnavailable {
		t.Errorf("status = %d, want 503", status)
	}
}

func TestHostileAuthorizationHeaders(t *testing.T) {
	rec, text := mint.Record(t, "ci", "billing", noon, asks(caller.DefaultAudience))
	decider := mint.NewIndex(t, rec).Decider(clocktesting.NewFakePassiveClock(noon))
	w := newWorld(t, decider)
	both := []string{`Bearer realm="accesstoken"`, `Basic realm="accesstoken"`}
	for name, test := range map[string]struct {
		authorization []string
		status        int
		challenges    []string
	}{
		"none":                        {nil, 401, both},
		"two":                         {[]string{bearer(text), bearer(text)}, 400, nil},
		"good and Basic":              {[]string{bearer(text), basic(text)}, 400, nil},
		"a comma":                     {[]string{bearer(text) + ", " + bearer(text)}, 400, nil},
		"another scheme":              {[]string{"Token " + text}, 401, both},
		"no scheme":                   {[]string{text}, 401, both},
		"empty":                       {[]string{""}, 401, both},
		"a scheme only":               {[]string{"Bearer"}, 401, []string{`Bearer realm="accesstoken", error="invalid_token"`}},
		"two words":                   {[]string{bearer(text) + " " + text}, 401, []string{`Bearer realm="accesstoken", error="invalid_token"`}},
		"a line break":                {[]string{bearer(text) + "\r\nX: y"}, 401, []string{`Bearer realm="accesstoken", error="invalid_token"`}},
		"huge":                        {[]string{bearer(strings.Repeat("a", 1<<20))}, 401, []string{`Bearer realm="accesstoken", error="invalid_token"`}},
		"Basic without base64":        {[]string{"Basic " + text}, 401, []string{`Basic realm="accesstoken"`}},
		"Basic without a colon":       {[]string{"Basic " + "YQ=="}, 401, []string{`Basic realm="accesstoken"`}},
		"Basic without a password":    {[]string{"Basic " + "YTo="}, 401, []string{`Basic realm="accesstoken"`}},
		"Basic with a broken escape":  {[]string{"Basic " + "YTolWg=="}, 401, []string{`Basic realm="accesstoken"`}},
		"the token as Basic's name":   {[]string{basicOf(text + ":")}, 401, []string{`Basic realm="accesstoken"`}},
		"encoded twice":               {[]string{basicOf("a:" + strings.ReplaceAll(text, "_", "%255F"))}, 401, []string{`Basic realm="accesstoken"`}},
		"Bearer with percent-encoded": {[]string{bearer(strings.ReplaceAll(text, "_", "%5F"))}, 401, []string{`Bearer realm="accesstoken", error="invalid_token"`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, problem := w.present(test.authorization...)
			if problem == nil || problem.Status != test.status || !slices.Equal(problem.Header.Values("WWW-Authenticate"), test.challenges) {
				t.Fatalf("problem = %+v, want %d %q", problem, test.status, test.challenges)
			}
			if strings.ContainsAny(problem.Description, "\"\\") || strings.Contains(problem.Description, text) {
				t.Errorf("error_description = %q", problem.Description)
			}
		})
	}
}

func TestOptionsThatWouldLetInTooMuchAreRefused(t *testing.T) {
	clients, err := kubernetes.NewForConfig(&rest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	decider := mint.NewIndex(t).Decider(clocktesting.NewFakePassiveClock(noon))
	good := caller.Options{Verifier: decider, Kubernetes: clients, DefaultTokenAudience: mint.DefaultAudience}
	if _, err := caller.New(good); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*caller.Options){
		"caller: Verifier, Kubernetes and DefaultTokenAudience are required":                               func(o *caller.Options) { o.Verifier = nil },
		`the verifier's audience "accesstoken.dev" is that of tokens without one: choose another`:          func(o *caller.Options) { o.Audience = mint.DefaultAudience },
		`the verifier's audience "a\"b": use printable ASCII characters without space, quote or backslash`: func(o *caller.Options) { o.Audience = `a"b` },
		`the verifier's audience "verifier.accesstoken.dev" is that of tokens without one: choose another`: func(o *caller.Options) { o.DefaultTokenAudience = caller.DefaultAudience },
	} {
		options := good
		change(&options)
		if _, err := caller.New(options); err == nil || err.Error() != want {
			t.Errorf("New = %v, want %s", err, want)
		}
	}
}
