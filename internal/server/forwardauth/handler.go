package forwardauth

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/accesstoken-dev/accesstoken-operator/internal/gateway"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// Prefix is what all paths begin with that New answers.
const Prefix = "/auth/"

// Options are what gateways are answered by.
type Options = gateway.Options

// dialect is how a gateway tells of a request.
type dialect struct {
	prefix string // of the path; the name of the policy follows

	// target and method are the headers that tell of the request. The gateway has to
	// set them: then there is no room for the client's own.
	target, method string

	host   func(*http.Request) (host string, once bool)
	status func(gateway.Result) int
}

var dialects = []*dialect{
	{
		prefix: Prefix + "nginx/", target: "X-Original-Uri", method: "X-Original-Method",
		host:   func(r *http.Request) (string, bool) { return r.Host, true },
		status: nginxStatus,
	},
	{
		prefix: Prefix + "forwarded/", target: "X-Forwarded-Uri", method: "X-Forwarded-Method",
		host:   forwardedHost,
		status: gateway.Result.Status,
	},
}

// forwardedHost reads X-Forwarded-Host, which may be absent.
func forwardedHost(r *http.Request) (string, bool) {
	if len(r.Header["X-Forwarded-Host"]) == 0 {
		return "", true
	}
	return single(r.Header, "X-Forwarded-Host")
}

// nginxStatus is a status that auth_request knows: it makes a 500 of all but
// 2xx, 401 and 403. That is right for what could not be checked.
func nginxStatus(result gateway.Result) int {
	switch result {
	case gateway.InvalidRequest:
		return http.StatusUnauthorized
	case gateway.UnknownPolicy:
		return http.StatusForbidden
	default:
		return result.Status()
	}
}

// handler answers the questions of gateways.
type handler struct{ guard *gateway.Guard }

// New makes a handler of /auth/nginx/POLICY and /auth/forwarded/POLICY, for all
// methods. It reads no body.
func New(verifier verify.Verifier, options Options) http.Handler {
	return &handler{guard: gateway.New(verifier, options)}
}

// ServeHTTP answers 200 with the headers of gateway.Headers for a request that
// may go on.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, d := range dialects {
		if name, ok := strings.CutPrefix(r.URL.Path, d.prefix); ok {
			request := d.decode(r, name)
			d.answer(w, h.guard.Check(r.Context(), &request))
			return
		}
	}
	http.NotFound(w, r)
}

func (d *dialect) decode(r *http.Request, policy string) gateway.Request {
	target, hasTarget := single(r.Header, d.target)
	method, hasMethod := single(r.Header, d.method)
	host, hasHost := d.host(r)
	request := gateway.Request{
		Protocol:      verify.ProtocolForwardAuth,
		Policy:        policy,
		Authorization: r.Header["Authorization"],
		Cookies:       r.Header["Cookie"],
		Target:        target,
		Query:         r.URL.RawQuery,
		ForwardedFor:  r.Header["X-Forwarded-For"],
		Unclear:       !hasTarget || !hasMethod || !hasHost,
		Host:          host,
		Method:        method,
		UserAgent:     r.Header.Get("User-Agent"),
	}
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		request.Peer = peer.Addr()
	}
	return request
}

// single returns the value of a header that is there once.
func single(header http.Header, name string) (value string, ok bool) {
	values := header[name]
	if len(values) != 1 {
		return "", false
	}
	return values[0], true
}

// Shared by all answers; net/http does not write to them.
var (
	noStore   = []string{"no-store"}
	plainText = []string{"text/plain; charset=utf-8"}
	noSniff   = []string{"nosniff"}
)

func (d *dialect) answer(w http.ResponseWriter, answer gateway.Answer) {
	header := w.Header()
	header["Cache-Control"] = noStore
	if answer.Result == gateway.Allowed {
		identity := gateway.Identity(answer.Token)
		for i, name := range gateway.Headers {
			header[name] = identity[i : i+1 : i+1]
		}
		w.WriteHeader(http.StatusOK)
		return
	}
	if challenge := answer.Challenge(); challenge != "" {
		header["Www-Authenticate"] = []string{challenge}
	}
	if seconds := answer.RetryAfter(); seconds != "" {
		header["Retry-After"] = []string{seconds}
	}
	header["Content-Type"], header["X-Content-Type-Options"] = plainText, noSniff
	w.WriteHeader(d.status(answer.Result))
	_, _ = w.Write([]byte(answer.Body())) //nolint:gosec // ours and the configuration's words; one who does not read them is gone
}
