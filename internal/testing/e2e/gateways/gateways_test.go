//go:build e2e

package gateways

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/wait"
)

// identity are the headers that the shop sees for a token.
func identity(request *http.Request) map[string]string {
	headers := map[string]string{}
	for name, values := range request.Header {
		if strings.Contains(strings.ToLower(name), "accesstoken") {
			headers[name] = strings.Join(values, " and ")
		}
	}
	return headers
}

func TestTheServiceSeesWhoAsksAndNoToken(t *testing.T) {
	each(t, func(t *testing.T, s *setup) {
		for name, arguments := range map[string][]string{
			"GET":             {},
			"HEAD":            {"-I"},
			"POST":            {"-d", "two loaves"},
			"POST in chunks":  {"-H", "Transfer-Encoding: chunked", "-d", "two loaves"},
			"POST, expecting": {"-H", "Expect: 100-continue", "-d", "two loaves"},
			"a large POST":    {"-d", strings.Repeat("a", 100_000)},
			"PUT":             {"-X", "PUT", "-d", "two loaves"},
			"HTTP/2":          {"--http2", "-d", "two loaves"},
		} {
			answer := s.curl(t, client, "/orders?page=2", append(arguments, bearer(s.scoped)...)...)
			request, body := s.last()
			if answer.status != http.StatusOK || request == nil {
				t.Errorf("%s: %+v", name, answer)
				continue
			}
			want := map[string]string{
				"X-Accesstoken-Subject": "accesstoken:shop:scoped", "X-Accesstoken-Groups": "accesstokens,accesstokens:shop",
				"X-Accesstoken-Scopes": "read:shop", "X-Accesstoken-Name": "scoped", "X-Accesstoken-Namespace": "shop",
				"X-Accesstoken-Id": s.scoped[4:20],
			}
			if got := identity(request); !equal(got, want) {
				t.Errorf("%s: the service sees %v, want %v", name, got, want)
			}
			if _, ok := request.Header["Authorization"]; ok || strings.Contains(strings.Join(slices.Concat(values(request.Header)...), "\n"), "kat_") {
				t.Errorf("%s: the service sees the token: %v", name, request.Header)
			}
			if request.RequestURI != "/orders?page=2" {
				t.Errorf("%s: the service sees %s", name, request.RequestURI)
			}
			if i := slices.Index(arguments, "-d"); i >= 0 && body != arguments[i+1] {
				t.Errorf("%s: the service gets %d bytes", name, len(body))
			}
			for name := range answer.headers {
				if strings.HasPrefix(strings.ToLower(name), "x-accesstoken") {
					t.Errorf("the client is told %s", name)
				}
			}
		}
	})
}

func values(header http.Header) (all [][]string) {
	for _, values := range header {
		all = append(all, values)
	}
	return all
}

func equal(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for name, value := range a {
		if b[name] != value {
			return false
		}
	}
	return true
}

func TestWhatIsRefusedNeverReachesTheService(t *testing.T) {
	each(t, func(t *testing.T, s *setup) {
		for name, c := range map[string]struct {
			from, path   string
			arguments    []string
			nginx, caddy int
			challenge    string
			dropped      bool // nginx passes no challenge on
		}{
			"no token":           {client, "/", nil, 401, 401, `Bearer realm="accesstoken", Basic realm="accesstoken", charset="UTF-8"`, false},
			"no good token":      {client, "/", bearer("kat_nothing"), 401, 401, `Bearer realm="accesstoken", error="invalid_token", Basic realm="accesstoken", charset="UTF-8"`, false},
			"another audience":   {client, "/", bearer(s.other), 401, 401, `Bearer realm="accesstoken", error="invalid_token", Basic realm="accesstoken", charset="UTF-8"`, false},
			"out of scope":       {client, "/deploy/now", bearer(s.scoped), 403, 403, `Bearer realm="accesstoken", error="insufficient_scope", scope="deploy:shop"`, true},
			"the wrong network":  {stranger, "/", bearer(s.networked), 401, 401, `Bearer realm="accesstoken", error="invalid_token", Basic realm="accesstoken", charset="UTF-8"`, false},
			"a token in the URL": {client, "/?access_token=" + s.unlimited, nil, 401, 400, `Bearer realm="accesstoken", error="invalid_request", Basic realm="accesstoken", charset="UTF-8"`, false},
			"a token in a URL and rightly": {client, "/?access_token=" + strings.Replace(s.unlimited, "_", "%5F", 1), bearer(s.unlimited), 401, 400,
				`Bearer realm="accesstoken", error="invalid_request", Basic realm="accesstoken", charset="UTF-8"`, false},
			"a token in a cookie": {client, "/", append([]string{"-H", "Cookie: a=" + s.unlimited}, bearer(s.unlimited)...), 401, 400,
				`Bearer realm="accesstoken", error="invalid_request", Basic realm="accesstoken", charset="UTF-8"`, false},
			// nginx refuses these itself.
			"two tokens": {client, "/", append(bearer(s.unlimited), bearer(s.unlimited)...), 400, 400,
				`Bearer realm="accesstoken", error="invalid_request", Basic realm="accesstoken", charset="UTF-8"`, true},
			"a POST that is refused": {client, "/", []string{"-d", "two loaves"}, 401, 401, `Bearer realm="accesstoken", Basic realm="accesstoken", charset="UTF-8"`, false},
		} {
			want := map[string]int{"nginx": c.nginx, "caddy": c.caddy}[s.name]
			if s.name == "nginx" && c.dropped {
				c.challenge = ""
			}
			answer := s.curl(t, c.from, c.path, c.arguments...)
			if answer.status != want || answer.headers.Get("WWW-Authenticate") != c.challenge {
				t.Errorf("%s: %d with %q, want %d with %q", name, answer.status, answer.headers.Get("WWW-Authenticate"), want, c.challenge)
			}
			if request, _ := s.last(); request != nil {
				t.Errorf("%s: it reached the service", name)
			}
		}
		for path, token := range map[string]string{"/": s.networked, "/deploy/now": s.deployer} {
			if answer := s.curl(t, client, path, bearer(token)...); answer.status != http.StatusOK {
				t.Errorf("%s: %d, want it to be let in", path, answer.status)
			}
		}
	})
}

// TestTheAccessLogNamesRequestsAndNoToken puts tokens where people put them by
// mistake. That none is logged is looked at when the gateway ends, as in each test.
func TestTheAccessLogNamesRequestsAndNoToken(t *testing.T) {
	each(t, func(t *testing.T, s *setup) {
		for path, arguments := range map[string][]string{
			"/in-the-url?access_token=" + s.unlimited:                      nil,
			"/encoded?t=" + strings.Replace(s.unlimited, "_", "%5F", 1):    nil,
			"/in-the-path/" + s.unlimited:                                  nil,
			"/encoded-path/" + strings.ReplaceAll(s.unlimited, "_", "%5F"): nil,
			"/as-the-user":    {"-u", s.unlimited + ":"},
			"/as-both":        {"-u", s.unlimited + ":" + s.unlimited},
			"/in-the-referer": append([]string{"-e", "https://shop.example.com/?t=" + s.unlimited}, bearer(s.unlimited)...),
			"/in-a-cookie":    {"-b", "t=" + s.unlimited},
			"/rightly?page=2": bearer(s.unlimited),
		} {
			s.curl(t, client, path, arguments...)
			path, _, _ = strings.Cut(path, "?")
			if s.name == "nginx" && strings.Contains(path, "-path/") {
				path = "(a token)"
			}
			path, _, _ = strings.Cut(path, "/kat")
			err := wait.PollUntilContextTimeout(t.Context(), poll, patience, true, func(context.Context) (bool, error) {
				return strings.Contains(s.logged(t), path), nil
			})
			if err != nil {
				t.Errorf("%s is not in the log: %v", path, err)
			}
		}
	})
}

func TestHostileHeadersChangeNothing(t *testing.T) {
	forged := []string{
		"X-Accesstoken-Subject: admin", "x-accesstoken-subject: admin", "X_Accesstoken_Subject: admin", "X-Accesstoken_Groups: system:masters",
		"X-Accesstoken-Groups: system:masters", "X-Accesstoken-Scopes: *", "X-Accesstoken-Id: 0", "X-Accesstoken-Name: admin",
		"X-Accesstoken-Namespace: kube-system", "X-Original-URI: /public", "X-Original-Method: OPTIONS", "X-Forwarded-Uri: /public",
		"X-Forwarded-Method: OPTIONS", "X-Forwarded-Host: evil.example.com", "X-Forwarded-Proto: http", "X-Original-URL: /public",
		"X-Rewrite-URL: /public", "X-HTTP-Method-Override: OPTIONS",
	}
	each(t, func(t *testing.T, s *setup) {
		var all []string
		for _, header := range forged {
			all = append(all, "-H", header)
		}
		for name, c := range map[string]struct {
			from      string
			token     string
			arguments []string
			want      int
		}{
			"forged identity and more":               {client, s.unlimited, all, 200},
			"the same without a token":               {client, "", all, 401},
			"headers of this connection only":        {client, s.unlimited, []string{"-H", "Connection: close, X-Accesstoken-Subject, X-Accesstoken-Groups, X-Accesstoken-Scopes", "--http1.1"}, 200},
			"two Connection headers":                 {client, s.unlimited, []string{"-H", "Connection: close", "-H", "connection: x-accesstoken-subject", "--http1.1"}, 200},
			"an address forged by a stranger":        {stranger, s.networked, []string{"-H", "X-Forwarded-For: " + client}, 401},
			"behind what seems a gateway":            {stranger, s.networked, []string{"-H", "X-Forwarded-For: " + client + ", 127.0.0.1"}, 401},
			"in other headers":                       {stranger, s.networked, []string{"-H", "X-Real-IP: " + client, "-H", "Forwarded: for=" + client, "-H", "True-Client-IP: " + client}, 401},
			"as headers of this connection only":     {stranger, s.networked, []string{"-H", "X-Forwarded-For: " + client, "-H", "Connection: X-Forwarded-For, X-Real-IP", "--http1.1"}, 401},
			"an honest address that says it is none": {client, s.networked, []string{"-H", "X-Forwarded-For: unknown"}, 200},
			"a policy of the client's choice":        {client, "", []string{"-H", "X-Policy: shop"}, 401},
		} {
			arguments := c.arguments
			if c.token != "" {
				arguments = append(slices.Clone(arguments), bearer(c.token)...)
			}
			answer := s.curl(t, c.from, "/orders", arguments...)
			request, _ := s.last()
			if answer.status != c.want || (request != nil) != (c.want == http.StatusOK) {
				t.Errorf("%s: %d, want %d", name, answer.status, c.want)
				continue
			}
			if request == nil {
				continue
			}
			got := identity(request)
			if len(got) != 6 || got["X-Accesstoken-Groups"] != "accesstokens,accesstokens:shop" || got["X-Accesstoken-Scopes"] != "-" ||
				!strings.HasPrefix(got["X-Accesstoken-Subject"], "accesstoken:shop:") {
				t.Errorf("%s: the service sees %v", name, got)
			}
		}
		// The path of the question is not for clients, nor is the policy in a query.
		for _, path := range []string{"/_accesstoken", "/_accesstoken?x", "/deploy/../_accesstoken", "/deploy/now?policy=shop"} {
			if answer := s.curl(t, client, path, append([]string{"--path-as-is"}, bearer(s.scoped)...)...); strings.HasPrefix(path, "/deploy/now") && answer.status != 403 ||
				s.name == "nginx" && strings.Contains(path, "_accesstoken") && answer.status != 404 {
				t.Errorf("%s: %d", path, answer.status)
			}
		}
	})
}

func TestGitAndCurlSignInWithANetrcFile(t *testing.T) {
	each(t, func(t *testing.T, s *setup) {
		work := filepath.Join(s.folder, "work")
		for _, arguments := range [][]string{
			{"init", "-q", work}, {"-C", work, "commit", "-q", "--allow-empty", "-m", "first"}, {"clone", "-q", "--bare", work, filepath.Join(s.folder, "shop.git")},
		} {
			if output, err := s.program(t, "git", arguments...); err != nil {
				t.Fatalf("git %v: %v\n%s", arguments, err, output)
			}
		}
		// The certificate is good for 127.0.0.1; the gateway goes by the name.
		remote := []string{"-c", "http.curloptResolve=" + site + ":" + s.port + ":127.0.0.1", "ls-remote", "https://" + site + ":" + s.port + "/git/shop.git"}
		if output, err := s.program(t, "git", remote...); err == nil {
			t.Errorf("git without credentials was let in: %s", output)
		}
		netrc := filepath.Join(s.folder, ".netrc")
		s.write(t, ".netrc", "machine "+site+" login "+s.unlimited[4:20]+" password "+s.unlimited+"\n")
		if output, err := s.program(t, "git", remote...); err != nil || !strings.Contains(output, "refs/heads/") {
			t.Errorf("git ls-remote = %q, %v", output, err)
		}
		if answer := s.curl(t, client, "/orders", "--netrc"); answer.status != http.StatusOK {
			t.Errorf("curl --netrc: %d", answer.status)
		}
		// Where the policy has Bearer only.
		if answer := s.curl(t, client, "/deploy/now", "--netrc"); answer.status != http.StatusUnauthorized {
			t.Errorf("curl --netrc where Basic is not accepted: %d", answer.status)
		}
		if err := os.Remove(netrc); err != nil {
			t.Fatal(err)
		}
	})
}

func TestWhatCouldNotBeCheckedIsRefusedAndNotBlamedOnTheToken(t *testing.T) {
	each(t, func(t *testing.T, s *setup) {
		expect := func(what string, nginx, caddy int) {
			t.Helper()
			want := map[string]int{"nginx": nginx, "caddy": caddy}[s.name]
			answer := s.curl(t, client, "/orders", bearer(s.unlimited)...)
			if request, _ := s.last(); answer.status != want || answer.headers.Get("WWW-Authenticate") != "" || request != nil {
				t.Errorf("%s: %+v, want %d", what, answer, want)
			}
		}
		s.stale.Store(true)
		expect("the verifier cannot check", 500, 503)
		s.stale.Store(false)
		if answer := s.curl(t, client, "/orders", bearer(s.unlimited)...); answer.status != http.StatusOK {
			t.Errorf("after that: %d", answer.status)
		}
		s.last()
		s.verifier.Close()
		expect("no verifier answers", 500, 502)
	})
}
