package extauthz

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

func TestAGoodTokenBecomesAnIdentityAndGoesNoFurther(t *testing.T) {
	f := newFixture(t)
	for name, c := range map[string]struct {
		policy  string
		headers map[string]string
		want    map[string]string
		scopes  []any
	}{
		"Bearer": {"any", bearer(f.unlimited), map[string]string{
			"x-accesstoken-subject": "accesstoken:shop:unlimited", "x-accesstoken-groups": "accesstokens,accesstokens:shop", "x-accesstoken-scopes": "-",
			"x-accesstoken-name": "unlimited", "x-accesstoken-namespace": "shop",
		}, nil},
		"Basic": {"deploy", basic("anybody", f.scoped), map[string]string{
			"x-accesstoken-subject": "accesstoken:shop:scoped", "x-accesstoken-groups": "accesstokens,accesstokens:shop", "x-accesstoken-scopes": "deploy:shop read:shop",
			"x-accesstoken-name": "scoped", "x-accesstoken-namespace": "shop",
		}, []any{"deploy:shop", "read:shop"}},
		"a strange subject": {"any", bearer(f.strange), map[string]string{
			"x-accesstoken-subject": "j%C3%BCrgen%0D%0AX-Admin:%20yes%FF", "x-accesstoken-groups": "a%2Cb,%FE", "x-accesstoken-scopes": "-",
			"x-accesstoken-name": "strange", "x-accesstoken-namespace": "shop",
		}, nil},
	} {
		response, err := f.Check(t.Context(), check(c.policy, c.headers))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		ok := response.GetOkResponse()
		headers := sent(t, ok.GetHeaders())
		id := headers["x-accesstoken-id"]
		if delete(headers, "x-accesstoken-id"); len(id) != 16 {
			t.Errorf("%s: ID %q", name, id)
		}
		if seen(response) != http.StatusOK || !mapsEqual(headers, c.want) {
			t.Errorf("%s: status %v, headers %v, want %v", name, response.GetStatus(), headers, c.want)
		}
		if !slices.Equal(ok.GetHeadersToRemove(), []string{"authorization"}) {
			t.Errorf("%s: removes %v", name, ok.GetHeadersToRemove())
		}
		metadata := response.GetDynamicMetadata().AsMap()
		if metadata["name"] != c.want["x-accesstoken-name"] || metadata["namespace"] != "shop" || metadata["id"] != id || metadata["subject"] == "" || metadata["groups"] == nil {
			t.Errorf("%s: metadata %v", name, metadata)
		}
		if scopes, _ := metadata["scopes"].([]any); !slices.Equal(scopes, c.scopes) {
			t.Errorf("%s: scopes %v in metadata, want %v", name, scopes, c.scopes)
		}
		if strings.Contains(response.String(), "kat_") {
			t.Errorf("%s: a token is in the answer: %v", name, response)
		}
	}
}

func mapsEqual(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

func TestWhatIsRefusedIsAnsweredInPlaceOfTheService(t *testing.T) {
	f := newFixture(t)
	const plain = "text/plain; charset=utf-8"
	for name, c := range map[string]struct {
		policy  string
		headers map[string]string
		status  int
		code    codes.Code
		more    map[string]string
		body    string
	}{
		"no token": {"any", nil, 401, codes.Unauthenticated, map[string]string{"www-authenticate": `Bearer realm="accesstoken"`},
			"an access token is required in the Authorization header\n"},
		"another scheme": {"deploy", map[string]string{"authorization": "Digest x"}, 401, codes.Unauthenticated,
			map[string]string{"www-authenticate": `Bearer realm="accesstoken", Basic realm="accesstoken", charset="UTF-8"`},
			"an access token is required in the Authorization header\n"},
		"no good token": {"any", bearer("x"), 401, codes.Unauthenticated,
			map[string]string{"www-authenticate": `Bearer realm="accesstoken", error="invalid_token"`}, "the access token is not good here\n"},
		"a scope is missing": {"deploy", bearer(f.networked), 403, codes.PermissionDenied,
			map[string]string{"www-authenticate": `Bearer realm="accesstoken", error="insufficient_scope", scope="deploy:shop"`},
			"the access token lacks a scope that is required here: deploy:shop\n"},
		"two tokens": {"any", map[string]string{"authorization": "Bearer " + f.unlimited + ",Bearer " + f.unlimited}, 400, codes.InvalidArgument,
			map[string]string{"www-authenticate": `Bearer realm="accesstoken", error="invalid_request"`},
			"more than one Authorization header, or one with a comma\n"},
		"a token in a cookie": {"any", map[string]string{"cookie": "a=b; c=" + f.unlimited}, 400, codes.InvalidArgument,
			map[string]string{"www-authenticate": `Bearer realm="accesstoken", error="invalid_request"`},
			"a token is in the query string or in a cookie: send it in the Authorization header only\n"},
		"a policy that is not there": {"nothing", bearer(f.unlimited), 404, codes.NotFound, nil,
			"the gateway asks for a policy that the verifier does not have\n"},
	} {
		response, err := f.Check(t.Context(), check(c.policy, c.headers))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		denied := response.GetDeniedResponse()
		want := map[string]string{"cache-control": "no-store", "content-type": plain, "x-content-type-options": "nosniff"}
		for name, value := range c.more {
			want[name] = value
		}
		headers := sent(t, denied.GetHeaders())
		if seen(response) != c.status || codes.Code(response.GetStatus().GetCode()) != c.code || denied.GetBody() != c.body || !mapsEqual(headers, want) {
			t.Errorf("%s: %d, %v, %q, %v", name, seen(response), response.GetStatus(), denied.GetBody(), headers)
		}
		if response.GetDynamicMetadata() != nil || response.GetOkResponse() != nil {
			t.Errorf("%s: the answer tells of a token: %v", name, response)
		}
	}
}

// TestAcrossACorpusOfChecks sends what Envoy can be made to send.
func TestAcrossACorpusOfChecks(t *testing.T) {
	f := newFixture(t)
	for name, c := range map[string]struct {
		change func(*authv3.CheckRequest)
		want   int
	}{
		"as it is":      {func(*authv3.CheckRequest) {}, 200},
		"no attributes": {func(r *authv3.CheckRequest) { r.Attributes = nil }, 404},
		"no request":    {func(r *authv3.CheckRequest) { r.Attributes.Request = nil }, 400},
		"no HTTP":       {func(r *authv3.CheckRequest) { r.Attributes.Request.Http = nil }, 400},
		"no path":       {func(r *authv3.CheckRequest) { httpOf(r).Path = "" }, 400},
		"no extensions": {func(r *authv3.CheckRequest) { r.Attributes.ContextExtensions = nil }, 404},
		"the policy in a header": {func(r *authv3.CheckRequest) {
			r.Attributes.ContextExtensions = nil
			httpOf(r).Headers["policy"], httpOf(r).Headers["x-policy"] = "any", "any"
		}, 404},
		"the policy in the query": {func(r *authv3.CheckRequest) {
			r.Attributes.ContextExtensions = nil
			httpOf(r).Path, httpOf(r).Query = "/?policy=any", "policy=any"
		}, 404},
		"the policy in metadata": {func(r *authv3.CheckRequest) {
			r.Attributes.ContextExtensions = nil
			r.Attributes.MetadataContext = &corev3.Metadata{}
		}, 404},
		"the policy in another extension": {func(r *authv3.CheckRequest) { r.Attributes.ContextExtensions = map[string]string{"Policy": "any"} }, 404},
		"other extensions too":            {func(r *authv3.CheckRequest) { r.Attributes.ContextExtensions["virtual_host"] = "shop" }, 200},
		"a token in the path":             {func(r *authv3.CheckRequest) { httpOf(r).Path = "/" + f.unlimited }, 400},
		"a token in the query":            {func(r *authv3.CheckRequest) { httpOf(r).Path = "/?access_token=" + f.unlimited }, 400},
		"a token in the unused query":     {func(r *authv3.CheckRequest) { httpOf(r).Query = "access_token=" + f.unlimited }, 400},
		"a token in the body":             {func(r *authv3.CheckRequest) { httpOf(r).Body = "access_token=" + f.unlimited }, 200},
		"raw headers":                     {func(r *authv3.CheckRequest) { raw(r, "authorization", "Bearer "+f.unlimited) }, 200},
		"raw headers, two tokens": {func(r *authv3.CheckRequest) {
			raw(r, "authorization", "Bearer "+f.unlimited, "authorization", "Bearer "+f.unlimited)
		}, 400},
		"raw headers, no UTF-8": {func(r *authv3.CheckRequest) { raw(r, "authorization", "Bearer \xff", "x", "\xfe") }, 401},
		"raw headers, cookies": {func(r *authv3.CheckRequest) {
			raw(r, "authorization", "Bearer "+f.unlimited, "cookie", "a", "cookie", f.unlimited)
		}, 400},
		"raw headers besides others": {func(r *authv3.CheckRequest) {
			keep := httpOf(r).Headers
			raw(r, "authorization", "Bearer x")
			httpOf(r).Headers = keep
		}, 400},
		"names in upper case": {func(r *authv3.CheckRequest) {
			httpOf(r).Headers["Authorization"] = "Bearer x" // never sent by Envoy: two in any case
		}, 400},
		"only pseudo-headers": {func(r *authv3.CheckRequest) {
			delete(httpOf(r).Headers, "authorization")
			httpOf(r).Headers[":authorization"] = "Bearer " + f.unlimited
		}, 401},
		"a very long token": {func(r *authv3.CheckRequest) {
			httpOf(r).Headers["authorization"] = "Bearer " + strings.Repeat("k", 200_000)
		}, 401},
		"many headers": {func(r *authv3.CheckRequest) {
			for i := range 5000 {
				httpOf(r).Headers["x-"+strings.Repeat("a", i%50)+string(rune('a'+i%26))] = "v"
			}
		}, 200},
	} {
		request := check("any", bearer(f.unlimited))
		c.change(request)
		response, err := f.Check(t.Context(), request)
		if err != nil || seen(response) != c.want {
			t.Errorf("%s: status %d, error %v, want %d", name, seen(response), err, c.want)
		}
	}
}

func httpOf(r *authv3.CheckRequest) *authv3.AttributeContext_HttpRequest {
	return r.GetAttributes().GetRequest().GetHttp()
}

// raw tells of headers in the way of encode_raw_headers.
func raw(r *authv3.CheckRequest, pairs ...string) {
	httpOf(r).Headers, httpOf(r).HeaderMap = nil, &corev3.HeaderMap{}
	for pair := range slices.Chunk(pairs, 2) {
		httpOf(r).HeaderMap.Headers = append(httpOf(r).HeaderMap.Headers, &corev3.HeaderValue{Key: pair[0], RawValue: []byte(pair[1])})
	}
}

func TestForgedIdentityHeadersAreReplacedOrRemoved(t *testing.T) {
	f := newFixture(t)
	forged := map[string]string{
		"x-accesstoken-subject": "admin", "x-accesstoken-groups": "system:masters", // replaced
		"x-accesstoken-admin": "yes", "x_accesstoken_subject": "admin", "x-accesstoken_groups": "system:masters",
		"x-accesstokens": "kept", "x-accesstoke": "kept", "xaccesstoken-subject": "kept",
	}
	withToken := bearer(f.unlimited)
	for name, value := range forged {
		withToken[name] = value
	}
	for name, request := range map[string]*authv3.CheckRequest{"headers": check("any", withToken), "raw headers": check("any", nil)} {
		if name == "raw headers" {
			var pairs []string
			for name, value := range withToken {
				pairs = append(pairs, name, value)
			}
			raw(request, pairs...)
		}
		response, err := f.Check(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		removed := slices.Sorted(slices.Values(response.GetOkResponse().GetHeadersToRemove()))
		if want := []string{"authorization", "x-accesstoken-admin", "x-accesstoken_groups", "x_accesstoken_subject"}; !slices.Equal(removed, want) {
			t.Errorf("%s: removes %v, want %v", name, removed, want)
		}
		if got := sent(t, response.GetOkResponse().GetHeaders())["x-accesstoken-subject"]; got != "accesstoken:shop:unlimited" {
			t.Errorf("%s: subject %q", name, got)
		}
	}
}

func TestTheAddressIsTheOneThatEnvoySaw(t *testing.T) {
	f := newFixture(t)
	for name, c := range map[string]struct {
		source    *corev3.Address
		forwarded string
		want      int
	}{
		"a client of Envoy":          {socket("198.51.100.9"), "", 200},
		"that says it is a proxy":    {socket("198.51.100.9"), "10.0.0.1, 203.0.113.1", 200},
		"written twice by Envoy":     {socket("198.51.100.9"), "198.51.100.9", 200},
		"a client behind a proxy":    {socket("10.1.1.1"), "203.0.113.1, 198.51.100.9", 200},
		"and written twice by Envoy": {socket("10.1.1.1"), "203.0.113.1, 198.51.100.9, 10.1.1.1", 200},
		"a stranger":                 {socket("203.0.113.1"), "198.51.100.9", 401},
		"a stranger behind a proxy":  {socket("10.1.1.1"), "198.51.100.9, 203.0.113.1", 401},
		"proxies only":               {socket("10.1.1.1"), "", 401},
		"no source":                  {nil, "198.51.100.9", 401},
		"a pipe":                     {&corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: "/run/x"}}}, "198.51.100.9", 401},
		"a name for an address":      {socket("shop.example.com"), "198.51.100.9", 401},
	} {
		headers := bearer(f.networked)
		if c.forwarded != "" {
			headers["x-forwarded-for"] = c.forwarded
		}
		request := check("any", headers)
		request.Attributes.Source = &authv3.AttributeContext_Peer{Address: c.source}
		response, err := f.Check(t.Context(), request)
		if err != nil || seen(response) != c.want {
			t.Errorf("%s: status %d, error %v, want %d", name, seen(response), err, c.want)
		}
	}
	// Who is not a trusted proxy has no word on it.
	untrusting := options
	untrusting.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	client := dialService(t, New(f.spy.Verifier, untrusting))
	response, err := client.Check(t.Context(), check("any", bearer(f.networked)))
	if err != nil || seen(response) != 401 {
		t.Errorf("from a gateway that is not trusted: status %d, error %v, want 401", seen(response), err)
	}
}

func TestTheVerifierLearnsOfTheRequestFromEnvoy(t *testing.T) {
	f := newFixture(t)
	if _, err := f.Check(t.Context(), check("any", bearer(f.unlimited))); err != nil {
		t.Fatal(err)
	}
	asked := f.spy.Asked[0]
	if asked.Protocol != verify.ProtocolExtAuthz || asked.Method != http.MethodPost || asked.Path != "/orders" || asked.Host != "shop.example.com" ||
		asked.UserAgent != "curl/8" || asked.ClientIP != netip.MustParseAddr("198.51.100.9") {
		t.Errorf("asked %+v", asked)
	}
}

// TestWhatCouldNotBeCheckedIsDeniedWhateverEnvoyIsSetTo: an error of gRPC would
// let the request pass with failure_mode_allow.
func TestWhatCouldNotBeCheckedIsDeniedWhateverEnvoyIsSetTo(t *testing.T) {
	for name, verifier := range map[string]verify.Func{
		"stale": func(context.Context, verify.Request) (verify.Verdict, error) {
			return verify.Verdict{}, verify.ErrStale
		},
		"broken": func(context.Context, verify.Request) (verify.Verdict, error) {
			return verify.Verdict{}, errors.New("broken")
		},
		"a fault": func(context.Context, verify.Request) (verify.Verdict, error) { panic("kat_secret") },
	} {
		response, err := dial(t, verifier).Check(t.Context(), check("any", bearer("x")))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		headers := sent(t, response.GetDeniedResponse().GetHeaders())
		if seen(response) != 503 || codes.Code(response.GetStatus().GetCode()) != codes.Unavailable || headers["retry-after"] == "" || headers["www-authenticate"] != "" {
			t.Errorf("%s: status %d, %v, headers %v", name, seen(response), response.GetStatus(), headers)
		}
		if response.GetErrorResponse() != nil {
			t.Errorf("%s: an error_response is let through by failure_mode_allow too", name)
		}
	}
}

func TestACheckEndsWithItsDeadline(t *testing.T) {
	told := make(chan error, 1)
	client := dial(t, verify.Func(func(ctx context.Context, _ verify.Request) (verify.Verdict, error) {
		<-ctx.Done()
		told <- ctx.Err()
		return verify.Verdict{}, ctx.Err()
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if response, err := client.Check(ctx, check("any", bearer("x"))); err == nil && seen(response) != 503 {
		t.Errorf("status %d after the deadline", seen(response))
	}
	if err := <-told; err == nil {
		t.Error("the verifier was not told of the end")
	}
}

func TestAMessageThatIsTooLargeIsNotRead(t *testing.T) {
	f := newFixture(t)
	request := check("any", bearer(f.unlimited))
	httpOf(request).Body = strings.Repeat("a", maxMessage)
	_, err := f.Check(t.Context(), request)
	if code := grpcCode(err); code != codes.ResourceExhausted {
		t.Errorf("error %v", err)
	}
	if len(f.spy.Asked) != 0 {
		t.Error("the verifier was asked")
	}
}

// FuzzCheck: whatever a message says, it gets an answer, and nobody without a
// token is let in.
func FuzzCheck(f *testing.F) {
	for _, headers := range []map[string]string{nil, bearer("x"), basic("", ""), {"authorization": "\x00,", "x-forwarded-for": ",,"}} {
		message, err := proto.Marshal(check("any", headers))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(message)
	}
	rawRequest := check("deploy", nil)
	raw(rawRequest, "authorization", "Bearer \xff", "X-Forwarded-For", "\x00", "x_accesstoken_", "")
	message, err := proto.Marshal(rawRequest)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(message)
	f.Add([]byte{})
	service := New(mint.NewIndex(f).Decider(clocktesting.NewFakePassiveClock(now)), options)
	f.Fuzz(func(t *testing.T, message []byte) {
		request := &authv3.CheckRequest{}
		if proto.Unmarshal(message, request) != nil {
			return
		}
		response, err := service.Check(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		if got := seen(response); got < 400 || got > 404 {
			t.Errorf("status %d for a token that nobody issued", got)
		}
		if _, err := proto.Marshal(response); err != nil {
			t.Errorf("the answer cannot be sent: %v", err)
		}
	})
}
