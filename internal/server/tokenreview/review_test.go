package tokenreview

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

func TestTheUserIsTheTokensOwnPrincipal(t *testing.T) {
	w := newWorld(t, enforced())
	text := w.issue(t, "deploy", mint.Audiences("kubernetes"), mint.Scopes("read:pods", "<&>"))
	unlimited := w.issue(t, "unlimited", mint.Audiences("kubernetes"))
	want := authenticationv1.TokenReviewStatus{
		Authenticated: true,
		User: authenticationv1.UserInfo{
			Username: "accesstoken:ci:deploy",
			UID:      uidOf("deploy"),
			Groups:   []string{"accesstokens", "accesstokens:ci"},
			Extra: map[string]authenticationv1.ExtraValue{
				"accesstoken.dev/token-id": {idOf("deploy")},
				"accesstoken.dev/name":     {"ci/deploy"},
				"accesstoken.dev/scopes":   {"read:pods", "<&>"},
			},
		},
		Audiences: []string{apiAudience},
	}
	if diff := cmp.Diff(want, w.ask(t, text, apiAudience)); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	extra := w.ask(t, unlimited, apiAudience).User.Extra
	if _, there := extra[v1alpha1.ExtraScopes]; there || len(extra) != 2 {
		t.Errorf("extra of a token without scopes = %v, want no scopes, which would mean limited", extra)
	}
	for key := range extra {
		if key != strings.ToLower(key) {
			t.Errorf("extra key %q is not in lower case", key)
		}
	}
}

func TestTheAnsweredAudiencesAreThoseThatMatch(t *testing.T) {
	all := config.Kubernetes{Audiences: []string{apiAudience, "https://other.example"}, Scopes: config.ScopesEnforced}
	for name, c := range map[string]struct {
		declared, requested, want []string
		scopes                    []string
		notEnforced               bool
	}{
		"the API server's name stands for kubernetes":    {declared: []string{"kubernetes"}, requested: []string{apiAudience}, want: []string{apiAudience}},
		"each of the API server's names does":            {declared: []string{"kubernetes"}, requested: []string{"https://other.example", apiAudience}, want: []string{"https://other.example", apiAudience}},
		"none requested means the API server's":          {declared: []string{"kubernetes"}, want: []string{apiAudience, "https://other.example"}},
		"none requested is no yes for others":            {declared: []string{"billing-api"}},
		"none requested is no yes for the default":       {},
		"a service gets its own name":                    {declared: []string{"billing-api"}, requested: []string{"billing-api"}, want: []string{"billing-api"}},
		"a service does not get that of others":          {declared: []string{"billing-api"}, requested: []string{"shop-api"}},
		"of several the ones that match, in their order": {declared: []string{"a", "b"}, requested: []string{"c", "b", "a"}, want: []string{"b", "a"}},
		"the API server and a service, token for both":   {declared: []string{"billing-api", "kubernetes"}, requested: []string{apiAudience, "billing-api"}, want: []string{apiAudience, "billing-api"}},
		"the API server and a service, token for one":    {declared: []string{"billing-api"}, requested: []string{apiAudience, "billing-api"}, want: []string{"billing-api"}},
		"a token for a service never opens the cluster":  {declared: []string{"billing-api"}, requested: []string{apiAudience}},
		"a token declared for the API server's own name": {declared: []string{apiAudience}, requested: []string{apiAudience}},
		"a token without audiences has the default":      {requested: []string{ownAudience}, want: []string{ownAudience}},
		"and no other": {requested: []string{apiAudience, "billing-api"}},
		"a token with audiences lacks the default": {declared: []string{"billing-api"}, requested: []string{ownAudience}},
		"a service that is called kubernetes":      {declared: []string{"kubernetes"}, requested: []string{"kubernetes"}, want: []string{"kubernetes"}},
		"an empty name is nobody's":                {declared: []string{"kubernetes"}, requested: []string{""}},
		"scopes that nobody checks keep a token out of the cluster": {
			declared: []string{"kubernetes"}, scopes: []string{"read:pods"}, notEnforced: true, requested: []string{apiAudience},
		},
		"and by the name kubernetes": {
			declared: []string{"kubernetes"}, scopes: []string{"read:pods"}, notEnforced: true, requested: []string{"kubernetes"},
		},
		"and out of a service, which goes on to ask kube-apiserver what it may": {
			declared: []string{"kubernetes", "billing-api"}, scopes: []string{"read:pods"}, notEnforced: true,
			requested: []string{apiAudience, "billing-api"},
		},
		"a token without scopes needs nobody to check them": {declared: []string{"kubernetes"}, notEnforced: true, requested: []string{apiAudience}, want: []string{apiAudience}},
	} {
		t.Run(name, func(t *testing.T) {
			options := Options{Kubernetes: all}
			if c.notEnforced {
				options.Kubernetes.Scopes = config.ScopesNotEnforced
			}
			w := newWorld(t, options)
			text := w.issue(t, "deploy", mint.Audiences(c.declared...), mint.Scopes(c.scopes...))
			status := w.ask(t, text, c.requested...)
			if !slices.Equal(status.Audiences, c.want) || status.Authenticated != (len(c.want) > 0) || status.Error != "" {
				t.Errorf("status = %+v, want authenticated for %v", status, c.want)
			}
			if !status.Authenticated && (status.User.Username != "" || status.User.Extra != nil) {
				t.Errorf("a refusal names the user: %+v", status)
			}
		})
	}
}

func TestOnlyWhatMayChangeIsAnError(t *testing.T) {
	w := newWorld(t, enforced())
	w.issue(t, "good", mint.Audiences("kubernetes"))
	networked := w.issue(t, "networked", mint.Audiences("kubernetes"), func(rec *v1alpha1.TokenRecord) { rec.Spec.AllowedCIDRs = []v1alpha1.CIDR{"10.0.0.0/8"} })
	revoked := w.issue(t, "revoked", mint.Audiences("kubernetes"), func(rec *v1alpha1.TokenRecord) { rec.Status.RevokedAt = "2026-11-25T08:59:00Z" })
	unknown := mint.Unissued(t, idOf("unknown"))
	for name, c := range map[string]struct {
		text  string
		error string
	}{
		"unknown but well-formed":  {text: unknown, error: errorUnknown},
		"another token's secret":   {text: mint.Unissued(t, idOf("good"))},
		"a service account's JWT":  {text: foreignToken},
		"a checksum that is wrong": {text: neverIssued},
		"empty":                    {},
		"revoked":                  {text: revoked},
		"limited to networks, which nobody tells here": {text: networked},
	} {
		t.Run(name, func(t *testing.T) {
			status := w.askRaw(t, c.text, apiAudience)
			if diff := cmp.Diff(authenticationv1.TokenReviewStatus{Error: c.error}, status); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
		})
	}
	for _, request := range w.asked {
		if request.ClientIP.IsValid() || request.Protocol != verify.ProtocolTokenReview || request.Probe {
			t.Errorf("the verifier was asked %+v", request)
		}
	}
}

func TestCouldNotCheckIsAnError(t *testing.T) {
	for _, down := range []error{verify.ErrNotReady, verify.ErrStale, errors.New("secret detail")} {
		w := newWorld(t, enforced())
		text := w.issue(t, "deploy", mint.Audiences("kubernetes"))
		w.down = down
		if diff := cmp.Diff(authenticationv1.TokenReviewStatus{Error: errorNotVerified}, w.ask(t, text, apiAudience)); diff != "" {
			t.Errorf("%v: status (-want +got):\n%s", down, diff)
		}
	}
}

func TestErrorsForUnknownTokensHaveABudget(t *testing.T) {
	w := newWorld(t, Options{UnknownPerSecond: 2, UnknownBurst: 3})
	unknown := mint.Unissued(t, idOf("unknown"))
	count := func(n int) (errors int) {
		for range n {
			switch status := w.ask(t, unknown, apiAudience); {
			case status.Authenticated:
				t.Fatal("an unknown token was accepted")
			case status.Error == errorUnknown:
				errors++
			}
		}
		return errors
	}
	if got := count(10); got != 3 {
		t.Errorf("%d errors at once, want the burst of 3", got)
	}
	w.clock.SetTime(w.clock.Now().Add(time.Second))
	if got := count(10); got != 2 {
		t.Errorf("%d errors a second later, want 2", got)
	}
	w = newWorld(t, Options{})
	if got := count(100); got != DefaultUnknownBurst {
		t.Errorf("%d errors at once by default, want %d", got, DefaultUnknownBurst)
	}
}

func TestTheOwnerIsToldOfAWrongAudienceOnceAnHour(t *testing.T) {
	w := newWorld(t, enforced())
	billing := w.issue(t, "billing", mint.Audiences("billing-api"))
	plain := w.issue(t, "plain")
	for range 3 {
		w.ask(t, billing, apiAudience)
	}
	w.ask(t, plain, apiAudience, "shop-api")
	w.ask(t, billing, "billing-api")
	want := []refusal{
		{"billing", verify.ReasonAudienceMismatch, "kubernetes"}, {"plain", verify.ReasonAudienceMismatch, "kubernetes,shop-api"},
	}
	if !slices.Equal(w.refused, want) {
		t.Errorf("told %v, want %v", w.refused, want)
	}
	w.clock.SetTime(w.clock.Now().Add(time.Hour - time.Second))
	w.ask(t, billing, apiAudience)
	if len(w.refused) != 2 {
		t.Errorf("told again within the hour: %v", w.refused)
	}
	w.clock.SetTime(w.clock.Now().Add(2 * time.Second))
	w.ask(t, billing, apiAudience)
	if len(w.refused) != 3 {
		t.Errorf("told %d times, want again after an hour", len(w.refused))
	}
}

func TestAnOwnerWhoCouldNotBeToldIsToldAtTheNextRefusal(t *testing.T) {
	w := newWorld(t, enforced())
	billing := w.issue(t, "billing", mint.Audiences("billing-api"))
	w.mute = true
	w.ask(t, billing, apiAudience)
	w.mute = false
	for range 3 {
		w.ask(t, billing, apiAudience)
	}
	if len(w.refused) != 2 {
		t.Errorf("tried to tell %d times, want once in vain and once more", len(w.refused))
	}
}

func TestTheOwnerIsToldWhatCanNeverBeGoodHere(t *testing.T) {
	w := newWorld(t, Options{}) // scopes are not enforced
	networked := w.issue(t, "networked", mint.Audiences("kubernetes"), mint.Networks("192.0.2.0/24"))
	scoped := w.issue(t, "scoped", mint.Audiences("kubernetes"), mint.Scopes("read:pods"))
	both := w.issue(t, "both", mint.Audiences("billing-api"), mint.Networks("192.0.2.0/24"))
	for range 3 {
		w.ask(t, networked, apiAudience)
		w.ask(t, scoped, apiAudience)
		w.ask(t, both, apiAudience)
		w.ask(t, both, "billing-api")
	}
	want := []refusal{
		{"networked", verify.ReasonNetworkUnknown, "kubernetes"}, {"scoped", verify.ReasonScopesNotEnforced, "kubernetes"},
		{"both", verify.ReasonAudienceMismatch, "kubernetes"}, {"both", verify.ReasonNetworkUnknown, "billing-api"},
	}
	if !slices.Equal(w.refused, want) {
		t.Errorf("told %v, want each once: %v", w.refused, want)
	}
}

func TestNobodyIsToldOfOtherRefusals(t *testing.T) {
	w := newWorld(t, enforced())
	scoped := w.issue(t, "scoped", mint.Audiences("kubernetes"), mint.Scopes("read:pods"))
	ended := w.issue(t, "ended", mint.Audiences("billing-api"), mint.Aging(time.Minute))
	w.ask(t, scoped, apiAudience)
	w.clock.SetTime(w.clock.Now().Add(time.Hour))
	w.ask(t, ended, apiAudience)
	w.ask(t, foreignToken, apiAudience)
	if len(w.refused) != 0 {
		t.Errorf("told %v, want nothing", w.refused)
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	n := newNotices(nil, newWorld(t, Options{}).clock)
	for i := range 2 * mostNoticed {
		n.once(notice{id: token.ID{byte(i), byte(i >> 8)}}, func() bool { return true })
	}
	if got := n.told.Keys(); len(got) > mostNoticed {
		t.Errorf("%d tokens are remembered, want at most %d", len(got), mostNoticed)
	}
}

func TestARequestThatIsNoReviewIsRefused(t *testing.T) {
	w := newWorld(t, Options{})
	good := `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":"planted"}}`
	for name, c := range map[string]struct {
		method, contentType, body string
		code                      int
	}{
		"a review":              {"POST", "application/json", good, 200},
		"with a character set":  {"POST", "application/json; charset=utf-8", good, 200},
		"asked with GET":        {"GET", "application/json", good, 405},
		"of another type":       {"POST", "text/plain", good, 415},
		"without a type":        {"POST", "", good, 415},
		"empty":                 {"POST", "application/json", "", 400},
		"no JSON":               {"POST", "application/json", `{"planted`, 400},
		"of another version":    {"POST", "application/json", strings.Replace(good, "/v1", "/v1beta1", 1), 400},
		"of another kind":       {"POST", "application/json", strings.Replace(good, "TokenReview", "planted", 1), 400},
		"without a spec":        {"POST", "application/json", `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview"}`, 400},
		"a token of wrong type": {"POST", "application/json", strings.Replace(good, `"planted"`, `{"planted":1}`, 1), 400},
		"a token named twice":   {"POST", "application/json", strings.Replace(good, `"planted"`, `"","token":"planted"`, 1), 400},
		"too large":             {"POST", "application/json", strings.Replace(good, "planted", strings.Repeat("planted", 40000), 1), 413},
	} {
		t.Run(name, func(t *testing.T) {
			for _, length := range []bool{true, false} {
				body := &reader{Reader: strings.NewReader(c.body)}
				response := w.send(c.method, c.contentType, body)
				if length {
					response = w.send(c.method, c.contentType, strings.NewReader(c.body))
				}
				if response.Code != c.code {
					t.Errorf("answered %d: %s, want %d", response.Code, response.Body, c.code)
				}
				if strings.Contains(response.Body.String(), "planted") {
					t.Errorf("the answer quotes the request: %s", response.Body)
				}
				if response.Header().Get("Cache-Control") != "no-store" {
					t.Error("the answer may be cached")
				}
			}
		})
	}
	if got := w.send("GET", "application/json", nil).Header().Get("Allow"); got != http.MethodPost {
		t.Errorf("Allow = %q, want POST", got)
	}
}

// reader hides how long it is.
type reader struct{ *strings.Reader }
