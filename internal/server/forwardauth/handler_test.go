package forwardauth_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/gateway"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/forwardauth"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

var update = flag.Bool("update", false, "write the golden answers")

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

var options = forwardauth.Options{
	Policies: []config.Policy{
		{Name: "any", Audience: mint.DefaultAudience, Schemes: []config.Scheme{config.SchemeBearer}},
		{Name: "deploy", Audience: mint.DefaultAudience, Scopes: []string{"deploy:shop"}, Schemes: []config.Scheme{config.SchemeBearer, config.SchemeBasic}},
	},
	TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
}

// fixture is a server over some tokens.
type fixture struct {
	address   string
	spy       *mint.Spy
	unlimited string
	scoped    string
	networked string
	strange   string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	index := mint.NewIndex(t)
	f := &fixture{
		unlimited: index.Issue("shop", "unlimited", now),
		scoped:    index.Issue("shop", "scoped", now, mint.Scopes("deploy:shop", "read:shop")),
		networked: index.Issue("shop", "networked", now, mint.Scopes("read:shop"), mint.Networks("198.51.100.0/24")),
		strange:   index.Issue("shop", "strange", now, mint.User("jürgen, admin\r\nX-Admin: yes", "a,b", "-", "\x7f")),
	}
	f.spy = &mint.Spy{Verifier: index.Decider(clocktesting.NewFakePassiveClock(now))}
	f.address = serve(t, forwardauth.New(f.spy, options))
	return f
}

func serve(t *testing.T, handler http.Handler) (address string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// answer is an answer that was read to its end.
type answer struct {
	*http.Response
	body string
}

// exchange sends a request as it is written, line by line, and returns the
// answer.
func (f *fixture) exchange(t *testing.T, lines ...string) answer {
	t.Helper()
	return send(t, f.address, lines...)
}

func send(t *testing.T, address string, lines ...string) answer {
	t.Helper()
	connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	text := strings.Join(append(lines, "Host: verifier.example.com", "Connection: close", "", ""), "\r\n")
	if _, err := io.WriteString(connection, text); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(lines[0], " ")
	response, err := http.ReadResponse(bufio.NewReader(connection), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response, string(body)}
}

func nginx(policy string, more ...string) []string {
	return append([]string{"GET /auth/nginx/" + policy + " HTTP/1.1", "X-Original-URI: /orders?page=2", "X-Original-Method: POST", "X-Forwarded-For: 198.51.100.9"}, more...)
}

func forwarded(policy string, more ...string) []string {
	return append([]string{
		"GET /auth/forwarded/" + policy + " HTTP/1.1", "X-Forwarded-Uri: /orders?page=2", "X-Forwarded-Method: POST",
		"X-Forwarded-Host: shop.example.com", "X-Forwarded-Proto: https", "X-Forwarded-For: 198.51.100.9",
	}, more...)
}

func bearer(token string) string { return "Authorization: Bearer " + token }

func basic(user, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// TestAnswers compares whole answers with testdata/answers; -update writes them.
func TestAnswers(t *testing.T) {
	f := newFixture(t)
	broken := serve(t, forwardauth.New(verify.Func(func(context.Context, verify.Request) (verify.Verdict, error) {
		return verify.Verdict{}, verify.ErrStale
	}), options))
	for name, c := range map[string]struct {
		policy  string
		headers []string
		address string
	}{
		"allowed":            {"any", []string{bearer(f.unlimited)}, f.address},
		"allowed-scoped":     {"deploy", []string{bearer(f.scoped)}, f.address},
		"allowed-basic":      {"deploy", []string{basic("anybody", f.scoped)}, f.address},
		"allowed-strange":    {"any", []string{bearer(f.strange)}, f.address},
		"missing":            {"any", nil, f.address},
		"missing-basic":      {"deploy", []string{"Authorization: Digest x"}, f.address},
		"invalid-token":      {"any", []string{bearer("kat_nothing")}, f.address},
		"insufficient-scope": {"deploy", []string{bearer(f.networked)}, f.address},
		"misplaced":          {"any", []string{"Cookie: session=" + f.unlimited}, f.address},
		"ambiguous":          {"any", []string{bearer(f.unlimited), bearer(f.unlimited)}, f.address},
		"unknown-policy":     {"nothing", []string{bearer(f.unlimited)}, f.address},
		"unchecked":          {"any", []string{bearer(f.unlimited)}, broken},
	} {
		for dialect, lines := range map[string][]string{"nginx": nginx(c.policy, c.headers...), "forwarded": forwarded(c.policy, c.headers...)} {
			t.Run(dialect+"/"+name, func(t *testing.T) {
				compare(t, filepath.Join("testdata", "answers", dialect+"-"+name+".txt"), send(t, c.address, lines...))
			})
		}
	}
}

func compare(t *testing.T, golden string, response answer) {
	t.Helper()
	lines := []string{response.Status}
	for name, values := range response.Header {
		if name == "Date" {
			continue
		}
		for _, value := range values {
			lines = append(lines, name+": "+value)
		}
	}
	slices.Sort(lines[1:])
	got := strings.Join(lines, "\n") + "\n\n" + response.body
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("answer:\n%s\nwant:\n%s", got, want)
	}
}

func TestHostileClientsGainNothing(t *testing.T) {
	f := newFixture(t)
	good := bearer(f.unlimited)
	for name, c := range map[string]struct {
		lines  []string
		nginx  int
		others int
	}{
		"forged identity headers are not looked at": {[]string{good, "X-Accesstoken-Subject: admin", "X-Accesstoken-Groups: system:masters"}, 200, 200},
		"forged identity without a token":           {[]string{"X-Accesstoken-Subject: admin"}, 401, 401},
		"two tokens":                                {[]string{good, good}, 401, 400},
		"a good token after a bad one":              {[]string{"Authorization: Bearer x", good}, 401, 400},
		"a comma in the header":                     {[]string{good + ", Basic eDp5"}, 401, 400},
		"a comma at its end":                        {[]string{good + ","}, 401, 400},
		"a header that goes on in the next line":    {[]string{"Authorization: Bearer", " " + f.unlimited}, 200, 200},
		"a token that goes on in the next line":     {[]string{"Authorization: Bearer " + f.unlimited[:20], " " + f.unlimited[20:]}, 401, 401},
		"something after the token":                 {[]string{good + " x"}, 401, 401},
		"white space around the token":              {[]string{"Authorization:   Bearer   " + f.unlimited + "  \t"}, 200, 200},
		"a tab for the space":                       {[]string{"Authorization: Bearer\t" + f.unlimited}, 401, 401},
		"a name with an underscore":                 {[]string{"X_Authorization: Bearer " + f.unlimited}, 401, 401},
		"a proxy's header":                          {[]string{"Proxy-Authorization: Bearer " + f.unlimited}, 401, 401},
		"not ASCII":                                 {[]string{"Authorization: Bearer k\xc3\xa4t_" + f.unlimited[4:]}, 401, 401},
		"not even UTF-8":                            {[]string{"Authorization: Bearer \xff\xfe" + f.unlimited}, 401, 401},
		"a very long token":                         {[]string{"Authorization: Bearer " + strings.Repeat("k", 30_000)}, 401, 401},
		"a very long user name":                     {[]string{basic(strings.Repeat("u", 20_000), f.unlimited)}, 401, 401},
		"base64 that is none":                       {[]string{"Authorization: Basic *"}, 401, 401},
		"many cookies, one with a token":            {[]string{good, "Cookie: a=b", "Cookie: c=" + f.unlimited}, 401, 400},
		"the original address twice":                {[]string{good, "X-Original-URI: /public", "X-Forwarded-Uri: /public"}, 401, 400},
		"the original method twice":                 {[]string{good, "X-Original-Method: GET", "X-Forwarded-Method: GET"}, 401, 400},
		"another host":                              {[]string{good, "X-Forwarded-Host: evil.example.com"}, 200, 400},
		"headers that override methods":             {[]string{good, "X-HTTP-Method-Override: DELETE", "X-Original-URL: /x", "X-Rewrite-URL: /x", "X-Policy: any"}, 200, 200},
	} {
		// A policy with Basic where the case is about it.
		policy := "any"
		if strings.Contains(strings.Join(c.lines, "\n"), "Basic") {
			policy = "deploy"
		}
		for dialect, want := range map[string]int{"nginx": c.nginx, "forwarded": c.others} {
			lines := nginx(policy, c.lines...)
			if dialect == "forwarded" {
				lines = forwarded(policy, c.lines...)
			}
			response := f.exchange(t, lines...)
			if response.StatusCode != want {
				t.Errorf("%s: %s answers %s, want %d", name, dialect, response.Status, want)
			}
			subject := response.Header.Get(gateway.HeaderSubject)
			if want == http.StatusOK && subject != "accesstoken:shop:unlimited" || want != http.StatusOK && subject != "" {
				t.Errorf("%s: %s names the subject %q", name, dialect, subject)
			}
		}
	}
}

func TestEachDialectReadsItsOwnHeadersOnly(t *testing.T) {
	f := newFixture(t)
	misplaced := "/?access_token=" + f.unlimited
	for name, c := range map[string]struct {
		lines []string
		want  int
	}{
		"nginx does not read X-Forwarded-Uri":     {nginx("any", bearer(f.unlimited), "X-Forwarded-Uri: "+misplaced, "X-Forwarded-Method: A"), 200},
		"nginx reads X-Original-URI":              {[]string{"GET /auth/nginx/any HTTP/1.1", "X-Original-URI: " + misplaced, "X-Original-Method: GET", bearer(f.unlimited)}, 401},
		"nginx needs X-Original-URI":              {[]string{"GET /auth/nginx/any HTTP/1.1", "X-Original-Method: GET", "X-Forwarded-Uri: /", bearer(f.unlimited)}, 401},
		"nginx needs X-Original-Method":           {[]string{"GET /auth/nginx/any HTTP/1.1", "X-Original-URI: /", "X-Forwarded-Method: GET", bearer(f.unlimited)}, 401},
		"others do not read X-Original-URI":       {forwarded("any", bearer(f.unlimited), "X-Original-URI: "+misplaced, "X-Original-Method: A"), 200},
		"others read X-Forwarded-Uri":             {[]string{"GET /auth/forwarded/any HTTP/1.1", "X-Forwarded-Uri: " + misplaced, "X-Forwarded-Method: GET", bearer(f.unlimited)}, 400},
		"others need X-Forwarded-Uri":             {[]string{"GET /auth/forwarded/any HTTP/1.1", "X-Forwarded-Method: GET", "X-Original-URI: /", bearer(f.unlimited)}, 400},
		"others need X-Forwarded-Method":          {[]string{"GET /auth/forwarded/any HTTP/1.1", "X-Forwarded-Uri: /", "X-Original-Method: GET", bearer(f.unlimited)}, 400},
		"a token in the query of the question":    {append([]string{"GET /auth/forwarded/any?token=" + f.unlimited + " HTTP/1.1"}, forwarded("any", bearer(f.unlimited))[1:]...), 400},
		"a query never chooses the policy":        {append([]string{"GET /auth/forwarded/deploy?policy=any&scope= HTTP/1.1"}, forwarded("any", bearer(f.networked))[1:]...), 403},
		"nor does a part of the path":             {append([]string{"GET /auth/forwarded/deploy/any HTTP/1.1"}, forwarded("any", bearer(f.networked))[1:]...), 404},
		"nor an escaped slash":                    {append([]string{"GET /auth/forwarded/any%2f..%2fdeploy HTTP/1.1"}, forwarded("any", bearer(f.unlimited))[1:]...), 404},
		"the dialects are these two":              {append([]string{"GET /auth/other/any HTTP/1.1"}, forwarded("any", bearer(f.unlimited))[1:]...), 404},
		"a policy is needed":                      {append([]string{"GET /auth/forwarded/ HTTP/1.1"}, forwarded("any", bearer(f.unlimited))[1:]...), 404},
		"nginx learns of a missing policy by 403": {append([]string{"GET /auth/nginx/ HTTP/1.1"}, nginx("any", bearer(f.unlimited))[1:]...), 403},
	} {
		if response := f.exchange(t, c.lines...); response.StatusCode != c.want {
			t.Errorf("%s: %s, want %d", name, response.Status, c.want)
		}
	}
}

func TestTheVerifierLearnsOfTheRequestFromTheGateway(t *testing.T) {
	f := newFixture(t)
	for name, c := range map[string]struct {
		lines []string
		host  string
	}{
		"nginx":     {nginx("any", bearer(f.unlimited), "User-Agent: curl/8", "X-Forwarded-Host: evil.example.com"), "verifier.example.com"},
		"forwarded": {forwarded("any", bearer(f.unlimited), "User-Agent: curl/8", "X-Original-Method: DELETE"), "shop.example.com"},
	} {
		f.exchange(t, c.lines...)
		asked := f.spy.Asked[len(f.spy.Asked)-1]
		if asked.Protocol != verify.ProtocolForwardAuth || asked.Method != http.MethodPost || asked.Path != "/orders" || asked.UserAgent != "curl/8" ||
			asked.Host != c.host || asked.ClientIP != netip.MustParseAddr("198.51.100.9") {
			t.Errorf("%s: asked %+v", name, asked)
		}
	}
}

func TestTheClientsAddressIsTheOneThatTheGatewaySaw(t *testing.T) {
	f := newFixture(t)
	for name, c := range map[string]struct {
		hops []string
		want int
	}{
		"in the network":                 {[]string{"198.51.100.9"}, 200},
		"forged before":                  {[]string{"203.0.113.1, 198.51.100.9"}, 200},
		"forged to be in the network":    {[]string{"198.51.100.9, 203.0.113.1"}, 401},
		"forged in a header of its own":  {[]string{"198.51.100.9", "203.0.113.1"}, 401},
		"forged to be behind a gateway":  {[]string{"198.51.100.9, 203.0.113.1, 127.0.0.1"}, 401},
		"not told":                       {nil, 401},
		"garbage":                        {[]string{"198.51.100.9, \x80"}, 401},
		"other headers are not believed": {[]string{"203.0.113.1\r\nX-Real-IP: 198.51.100.9\r\nForwarded: for=198.51.100.9\r\nTrue-Client-IP: 198.51.100.9"}, 401},
	} {
		for _, lines := range [][]string{nginx("any", bearer(f.networked)), forwarded("any", bearer(f.networked))} {
			lines = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "X-Forwarded-For") })
			for _, hop := range c.hops {
				lines = append(lines, "X-Forwarded-For: "+hop)
			}
			if response := f.exchange(t, lines...); response.StatusCode != c.want {
				t.Errorf("%s: %s answers %s, want %d", name, lines[0], response.Status, c.want)
			}
		}
	}
}

func TestEveryMethodIsAnsweredAndNoBodyIsRead(t *testing.T) {
	f := newFixture(t)
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
		lines := forwarded("any", bearer(f.unlimited))
		lines[0] = method + " /auth/forwarded/any HTTP/1.1"
		if response := f.exchange(t, lines...); response.StatusCode != http.StatusOK || response.ContentLength > 0 {
			t.Errorf("%s: %s with %d bytes", method, response.Status, response.ContentLength)
		}
	}
	// The body never comes: an answer shows that nobody waits for it.
	lines := forwarded("any", bearer(f.unlimited), "Content-Length: 1000000")
	lines[0] = "POST /auth/forwarded/any HTTP/1.1"
	if response := f.exchange(t, lines...); response.StatusCode != http.StatusOK {
		t.Errorf("POST with a body: %s", response.Status)
	}
}

// FuzzHandler: whatever headers come, nobody without the token is let in, and an
// answer of yes names all of the identity.
func FuzzHandler(f *testing.F) {
	for _, seed := range []string{
		"", "Bearer", "Bearer kat_", "Basic Og==", "Basic *", "Bearer a,b", "\xff", "Bearer " + strings.Repeat("a", 5000),
	} {
		f.Add(seed, "/?a=b", "198.51.100.9, 127.0.0.1", "/auth/nginx/any", "a=b")
		f.Add(seed, "%", ",", "/auth/forwarded/deploy", "")
	}
	f.Add("Bearer x", "/x?kat_", "", "/auth/forwarded/", "kat%5F")
	handler := forwardauth.New(mint.NewIndex(f).Decider(clocktesting.NewFakePassiveClock(now)), options)
	f.Fuzz(func(t *testing.T, authorization, target, hops, path, cookie string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.URL.Path, r.URL.RawQuery = path, target
		for name, value := range map[string]string{
			"Authorization": authorization, "X-Original-Uri": target, "X-Forwarded-Uri": target, "X-Original-Method": "GET",
			"X-Forwarded-Method": "GET", "X-Forwarded-For": hops, "Cookie": cookie,
		} {
			r.Header[name] = []string{value}
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code < 400 || w.Code > 404 {
			t.Errorf("status %d for a token that nobody issued", w.Code)
		}
		for name := range w.Header() {
			if strings.HasPrefix(name, "X-Accesstoken-") {
				t.Errorf("%s in a refusal", name)
			}
		}
	})
}

func ExampleNew() {
	// One line of the verifier's set-up: all below /auth/.
	mux := http.NewServeMux()
	mux.Handle(forwardauth.Prefix, forwardauth.New(new(mint.Index).Decider(clocktesting.NewFakePassiveClock(now)), options))
	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/auth/nginx/any", nil)
	r.Header = http.Header{"X-Original-Uri": {"/"}, "X-Original-Method": {"GET"}}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output: 401 Bearer realm="accesstoken"
}
