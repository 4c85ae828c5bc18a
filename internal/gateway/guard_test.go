package gateway_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/credential"
	"github.com/accesstoken-dev/accesstoken-operator/internal/gateway"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

var policies = []config.Policy{
	{Name: "any", Audience: mint.DefaultAudience, Schemes: []config.Scheme{config.SchemeBearer}},
	{Name: "deploy", Audience: mint.DefaultAudience, Scopes: []string{"deploy:shop", "read:shop"}, Schemes: []config.Scheme{config.SchemeBearer}},
	{Name: "git", Audience: mint.DefaultAudience, Schemes: []config.Scheme{config.SchemeBasic}},
	{Name: "both", Audience: mint.DefaultAudience, Scopes: []string{"read:shop"}, Schemes: []config.Scheme{config.SchemeBasic, config.SchemeBearer}},
	{Name: "push", Audience: mint.DefaultAudience, Scopes: []string{"push"}, Schemes: []config.Scheme{config.SchemeBasic}},
	{Name: "billing", Audience: "billing-api", Schemes: []config.Scheme{config.SchemeBearer}},
}

// fixture is a Guard over some tokens, and what it asked and told.
type fixture struct {
	*gateway.Guard
	spy  *mint.Spy
	told []error
	log  bytes.Buffer

	unlimited, scoped, networked, other string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	index := mint.NewIndex(t)
	f := &fixture{
		unlimited: index.Issue("shop", "unlimited", now),
		scoped:    index.Issue("shop", "scoped", now, mint.Scopes("read:shop")),
		networked: index.Issue("shop", "networked", now, mint.Networks("198.51.100.0/24")),
		other:     index.Issue("shop", "other", now, mint.Audiences("billing-api")),
	}
	f.spy = &mint.Spy{Verifier: index.Decider(clocktesting.NewFakePassiveClock(now))}
	f.Guard = gateway.New(f.spy, gateway.Options{
		Policies: policies, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Unverified: func(_ verify.Protocol, reason error) { f.told = append(f.told, reason) },
		Log:        logr.FromSlogHandler(slog.NewJSONHandler(&f.log, nil)),
	})
	return f
}

func request(policy, authorization string) *gateway.Request {
	return &gateway.Request{
		Protocol: verify.ProtocolForwardAuth, Policy: policy, Authorization: []string{authorization}, Target: "/orders?page=2",
		Peer: netip.MustParseAddr("10.1.1.1"), ForwardedFor: []string{"198.51.100.9"},
		Host: "shop.example.com", Method: "POST", UserAgent: "curl/8",
	}
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestThePolicyDecidesWhatIsAskedOfAToken(t *testing.T) {
	f := newFixture(t)
	for name, c := range map[string]struct {
		policy, authorization string
		want                  gateway.Result
		challenge             string
	}{
		"a token without limits":             {"any", "Bearer " + f.unlimited, gateway.Allowed, ""},
		"the scheme in other letters":        {"any", "bEARER " + f.unlimited, gateway.Allowed, ""},
		"not limited by scope":               {"deploy", "Bearer " + f.unlimited, gateway.Allowed, ""},
		"a scope is missing":                 {"deploy", "Bearer " + f.scoped, gateway.InsufficientScope, `Bearer realm="accesstoken", error="insufficient_scope", scope="deploy:shop read:shop"`},
		"all scopes are there":               {"both", "Bearer " + f.scoped, gateway.Allowed, ""},
		"the network fits":                   {"any", "Bearer " + f.networked, gateway.Allowed, ""},
		"the audience fits":                  {"billing", "Bearer " + f.other, gateway.Allowed, ""},
		"another audience":                   {"any", "Bearer " + f.other, gateway.InvalidToken, `Bearer realm="accesstoken", error="invalid_token"`},
		"the default audience is none":       {"billing", "Bearer " + f.unlimited, gateway.InvalidToken, `Bearer realm="accesstoken", error="invalid_token"`},
		"Basic where it is accepted":         {"git", basic("anybody", f.unlimited), gateway.Allowed, ""},
		"Basic with both":                    {"both", basic("", f.scoped), gateway.Allowed, ""},
		"the token as the user name":         {"git", basic(f.unlimited, ""), gateway.InvalidToken, `Basic realm="accesstoken", charset="UTF-8"`},
		"Basic where it is not accepted":     {"any", basic("anybody", f.unlimited), gateway.Missing, `Bearer realm="accesstoken"`},
		"Bearer where it is not accepted":    {"git", "Bearer " + f.unlimited, gateway.Missing, `Basic realm="accesstoken", charset="UTF-8"`},
		"challenges in the policy's order":   {"both", "Digest x", gateway.Missing, `Basic realm="accesstoken", charset="UTF-8", Bearer realm="accesstoken"`},
		"a scope is missing with Basic":      {"push", basic("", f.scoped), gateway.InsufficientScope, ""},
		"errors go with Bearer":              {"both", "Bearer x", gateway.InvalidToken, `Basic realm="accesstoken", charset="UTF-8", Bearer realm="accesstoken", error="invalid_token"`},
		"no token":                           {"any", "Bearer nothing", gateway.InvalidToken, `Bearer realm="accesstoken", error="invalid_token"`},
		"an empty one":                       {"any", "Bearer ", gateway.InvalidToken, `Bearer realm="accesstoken", error="invalid_token"`},
		"the scheme alone":                   {"any", "Bearer", gateway.InvalidToken, `Bearer realm="accesstoken", error="invalid_token"`},
		"an empty header":                    {"any", "", gateway.Missing, `Bearer realm="accesstoken"`},
		"two in one header":                  {"any", "Bearer " + f.unlimited + ", Bearer " + f.unlimited, gateway.InvalidRequest, `Bearer realm="accesstoken", error="invalid_request"`},
		"a policy that is not there":         {"nothing", "Bearer " + f.unlimited, gateway.UnknownPolicy, ""},
		"no policy":                          {"", "Bearer " + f.unlimited, gateway.UnknownPolicy, ""},
		"a policy in other letters":          {"ANY", "Bearer " + f.unlimited, gateway.UnknownPolicy, ""},
		"a policy with what is not its name": {"any/", "Bearer " + f.unlimited, gateway.UnknownPolicy, ""},
	} {
		answer := f.Check(t.Context(), request(c.policy, c.authorization))
		if answer.Result != c.want || answer.Challenge() != c.challenge {
			t.Errorf("%s: result %d, challenge %q, want %d, %q", name, answer.Result, answer.Challenge(), c.want, c.challenge)
		}
		if (answer.Token != nil) != (c.want == gateway.Allowed) {
			t.Errorf("%s: the answer has a token: %t", name, answer.Token != nil)
		}
	}
}

func TestAnAddressThatIsNotKnownIsNotGuessed(t *testing.T) {
	f := newFixture(t)
	for name, c := range map[string]struct {
		peer string
		hops []string
		want gateway.Result
	}{
		"in the network":              {"10.1.1.1", []string{"198.51.100.9"}, gateway.Allowed},
		"out of the network":          {"10.1.1.1", []string{"203.0.113.9"}, gateway.InvalidToken},
		"forged, out of the network":  {"10.1.1.1", []string{"198.51.100.9, 203.0.113.9"}, gateway.InvalidToken},
		"from one who is not trusted": {"198.51.100.9", []string{"198.51.100.9"}, gateway.InvalidToken},
		"not told":                    {"10.1.1.1", nil, gateway.InvalidToken},
	} {
		r := request("any", "Bearer "+f.networked)
		r.Peer, r.ForwardedFor = netip.MustParseAddr(c.peer), c.hops
		if got := f.Check(t.Context(), r).Result; got != c.want {
			t.Errorf("%s: result %d, want %d", name, got, c.want)
		}
	}
}

func TestATokenIsTakenFromTheAuthorizationHeaderOnly(t *testing.T) {
	f := newFixture(t)
	escaped := strings.Replace(f.unlimited, "kat_", "kat%5F", 1)
	for name, change := range map[string]func(*gateway.Request){
		"in the query":                  func(r *gateway.Request) { r.Target = "/?access_token=" + f.unlimited },
		"in the query, percent-encoded": func(r *gateway.Request) { r.Target = "/?access_token=" + escaped },
		"in the path":                   func(r *gateway.Request) { r.Target = "/" + f.unlimited + "/x" },
		"in the path, percent-encoded":  func(r *gateway.Request) { r.Target = "/" + escaped },
		"in the question's query":       func(r *gateway.Request) { r.Query = "access_token=" + f.unlimited },
		"in a cookie":                   func(r *gateway.Request) { r.Cookies = []string{"a=b; session=" + f.unlimited} },
		"in a second Cookie header":     func(r *gateway.Request) { r.Cookies = []string{"a=b", f.unlimited} },
		"in the query, and rightly too": func(r *gateway.Request) {
			r.Target = "/?t=" + f.unlimited
			r.Authorization = []string{"Bearer " + f.unlimited}
		},
		"in two Authorization headers":     func(r *gateway.Request) { r.Authorization = []string{"Bearer " + f.unlimited, "Bearer " + f.unlimited} },
		"in one of two Authorization ones": func(r *gateway.Request) { r.Authorization = []string{"Bearer " + f.unlimited, "Basic x"} },
	} {
		r := request("any", "")
		r.Authorization = nil
		change(r)
		answer := f.Check(t.Context(), r)
		if answer.Result != gateway.InvalidRequest || answer.Challenge() != `Bearer realm="accesstoken", error="invalid_request"` {
			t.Errorf("%s: result %d, challenge %q", name, answer.Result, answer.Challenge())
		}
		if body := answer.Body(); strings.Contains(body, f.unlimited) || !strings.Contains(body, "header") {
			t.Errorf("%s: body %q", name, body)
		}
	}
	if len(f.spy.Asked) > 0 {
		t.Errorf("asked about %d tokens", len(f.spy.Asked))
	}
	want := []error{credential.ErrMisplaced, credential.ErrAmbiguous}
	for _, told := range f.told {
		if !errors.Is(told, want[0]) && !errors.Is(told, want[1]) {
			t.Errorf("told of %v", told)
		}
	}
	if len(f.told) != 10 {
		t.Errorf("told of %d requests, want 10", len(f.told))
	}
}

func TestBeforeTheSecretProvesRightAllRefusalsLookTheSame(t *testing.T) {
	f := newFixture(t)
	_, unknown := mint.Record(t, "shop", "unknown", now)
	wrongSecret := mint.Unissued(t, f.unlimited[4:20])
	var first gateway.Answer
	for i, c := range []struct {
		presented string
		reason    verify.Reason
	}{
		{"nothing", verify.ReasonMalformed}, {f.unlimited + "x", verify.ReasonMalformed}, {unknown, verify.ReasonUnknown},
		{wrongSecret, verify.ReasonWrongSecret}, {f.other, verify.ReasonAudienceMismatch},
	} {
		answer := f.Check(t.Context(), request("any", "Bearer "+c.presented))
		if got := f.spy.Answered[i].Reason; got != c.reason {
			t.Fatalf("token %d: reason %s, want %s", i, got, c.reason)
		}
		if i == 0 {
			first = answer
		}
		if answer != first || answer.Body() != first.Body() || answer.Result != gateway.InvalidToken {
			t.Errorf("%s: result %d, challenge %q, body %q", c.reason, answer.Result, answer.Challenge(), answer.Body())
		}
	}
}

func TestWhatCouldNotBeCheckedIsNeitherGoodNorBad(t *testing.T) {
	for name, verifier := range map[string]verify.Func{
		"not ready": func(context.Context, verify.Request) (verify.Verdict, error) {
			return verify.Verdict{}, verify.ErrNotReady
		},
		"stale": func(context.Context, verify.Request) (verify.Verdict, error) {
			return verify.Verdict{}, verify.ErrStale
		},
		"other": func(context.Context, verify.Request) (verify.Verdict, error) {
			return verify.Verdict{}, errors.New("broken")
		},
	} {
		guard := gateway.New(verifier, gateway.Options{Policies: policies})
		answer := guard.Check(t.Context(), request("any", "Bearer x"))
		if answer.Result != gateway.Unchecked || answer.Result.Status() != 503 || answer.RetryAfter() == "" || answer.Challenge() != "" {
			t.Errorf("%s: result %d, status %d, Retry-After %q, challenge %q", name, answer.Result, answer.Result.Status(), answer.RetryAfter(), answer.Challenge())
		}
	}
	silent := verify.Func(func(context.Context, verify.Request) (verify.Verdict, error) { return verify.Verdict{}, nil })
	if got := gateway.New(silent, gateway.Options{Policies: policies}).Check(t.Context(), request("any", "Bearer x")).Result; got != gateway.InvalidToken {
		t.Errorf("a verdict that says nothing: result %d, want a refusal", got)
	}
}

func TestTheVerifierIsToldOfTheRequest(t *testing.T) {
	f := newFixture(t)
	f.Check(t.Context(), request("deploy", "Bearer "+f.unlimited))
	want := verify.Request{
		Token: f.unlimited, Audiences: []string{mint.DefaultAudience}, Scopes: []string{"deploy:shop", "read:shop"},
		ClientIP: netip.MustParseAddr("198.51.100.9"), Protocol: verify.ProtocolForwardAuth, Asker: "deploy",
		UserAgent: "curl/8", Host: "shop.example.com", Method: "POST", Path: "/orders",
	}
	if got := f.spy.Asked[0]; !reflect.DeepEqual(got, want) {
		t.Errorf("asked %+v, want %+v", got, want)
	}
}

func TestAGatewayThatIsNotSetUpRightIsNamedInTheLog(t *testing.T) {
	f := newFixture(t)
	f.Check(t.Context(), request("depoly", "Bearer "+f.unlimited))
	if log := f.log.String(); !strings.Contains(log, gateway.ErrUnknownPolicy.Error()) || !strings.Contains(log, `"policy":"depoly"`) || !strings.Contains(log, "10.1.1.1") {
		t.Errorf("log = %s", log)
	}
	f.log.Reset()
	unclear := request("any", "Bearer "+f.unlimited)
	unclear.Unclear = true
	if answer := f.Check(t.Context(), unclear); answer.Result != gateway.InvalidRequest {
		t.Errorf("result %d of a request that the gateway does not tell of", answer.Result)
	}
	if log := f.log.String(); !strings.Contains(log, gateway.ErrGateway.Error()) || !strings.Contains(log, `"policy":"any"`) {
		t.Errorf("log = %s", log)
	}
	f.log.Reset()
	for range 1000 {
		f.Check(t.Context(), request(f.unlimited, ""))
	}
	log := f.log.String()
	if strings.Contains(log, f.unlimited) || !strings.Contains(log, `"policy":"(no name)"`) {
		t.Errorf("log = %s", log)
	}
	if lines := strings.Count(log, "\n"); lines > 50 {
		t.Errorf("%d lines for 1000 requests", lines)
	}
	if len(f.told) != 1002 || len(f.spy.Asked) != 0 {
		t.Errorf("told of %d requests, asked about %d, want 1002 and 0", len(f.told), len(f.spy.Asked))
	}
}
