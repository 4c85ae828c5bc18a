package gateway

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"

	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/credential"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// Options are what gateways are answered by. They are read once.
type Options struct {
	// Policies are those of the configuration, with its defaults filled in. A
	// gateway that asks for another is refused.
	Policies []config.Policy

	// TrustedProxies are the networks of gateways, and of proxies before them, whose
	// word on the client's address is taken. None means that no address is known.
	TrustedProxies []netip.Prefix

	// Unverified is told of each request that is refused without a look at a token,
	// with the reason: one of the errors of internal/credential, ErrUnknownPolicy or
	// ErrGateway. It must not block. Nil is silent.
	Unverified func(protocol verify.Protocol, reason error)

	// Log takes mistakes in the set-up of a gateway. The zero Logger is silent.
	Log logr.Logger
}

var (
	// ErrUnknownPolicy says that the gateway asks for a policy that is not
	// configured.
	ErrUnknownPolicy = errors.New("the gateway asks for a policy that the verifier does not have")

	// ErrGateway says that the gateway does not tell of the request, or does so in
	// two ways: then the client may have, in its place.
	ErrGateway = errors.New("the gateway has to tell of the request once: its set-up is not complete")
)

// Guard asks about requests. Safe for concurrent use.
type Guard struct {
	verifier verify.Verifier
	policies map[string]*policy
	proxies  []netip.Prefix
	told     func(verify.Protocol, error)
	log      logr.Logger
	seldom   rate.Sometimes
}

// New makes a Guard that goes by the verifier.
func New(verifier verify.Verifier, options Options) *Guard {
	g := &Guard{
		verifier: verifier,
		policies: make(map[string]*policy, len(options.Policies)),
		proxies:  canonical(options.TrustedProxies),
		told:     options.Unverified,
		log:      options.Log,
		seldom:   rate.Sometimes{First: 10, Interval: time.Second},
	}
	if g.told == nil {
		g.told = func(verify.Protocol, error) {}
	}
	for i := range options.Policies {
		g.policies[options.Policies[i].Name] = compile(&options.Policies[i])
	}
	return g
}

// Request is what a gateway tells of a request.
type Request struct {
	// Protocol is how the gateway asks.
	Protocol verify.Protocol

	// Policy is the name of what the gateway requires.
	Policy string

	// Authorization and Cookies are the values of these headers.
	Authorization, Cookies []string

	// Target is the path and the query of the request, as they were sent.
	Target string

	// Query is that of the gateway's question. It decides nothing; some gateways
	// append the client's to it.
	Query string

	// Peer is who asks. ForwardedFor are the addresses that it tells of, in the
	// form of X-Forwarded-For: the nearest hop last.
	Peer         netip.Addr
	ForwardedFor []string

	// Unclear says that the gateway does not tell of the request, or in two ways.
	Unclear bool

	// Host, Method and UserAgent are of the request. They decide nothing.
	Host, Method, UserAgent string
}

// Check decides about a request.
func (g *Guard) Check(ctx context.Context, request *Request) Answer {
	policy, ok := g.policies[request.Policy]
	if !ok {
		g.misplacedQuestion(request, ErrUnknownPolicy)
		return Answer{Result: UnknownPolicy, reason: ErrUnknownPolicy}
	}
	presented, err := credentialOf(request, policy)
	if err != nil {
		if errors.Is(err, ErrGateway) {
			g.misplacedQuestion(request, err)
		} else {
			g.told(request.Protocol, err)
		}
		return Answer{Result: resultOf(err), policy: policy, reason: err}
	}
	verdict, err := g.verifier.Verify(ctx, g.question(request, policy, presented))
	switch {
	case err != nil:
		return Answer{Result: Unchecked, policy: policy}
	case verdict.Active():
		return Answer{Result: Allowed, Token: verdict.Token, policy: policy}
	case verdict.Reason == verify.ReasonScopeMissing:
		return Answer{Result: InsufficientScope, policy: policy}
	}
	return Answer{Result: InvalidToken, policy: policy}
}

// credentialOf returns the token of a request, if it is where it may be.
func credentialOf(request *Request, policy *policy) (string, error) {
	if request.Unclear {
		return "", ErrGateway
	}
	// The path too: it is logged wherever the query is.
	if err := credential.CheckPlacement(request.Target, request.Cookies); err != nil {
		return "", err
	}
	if err := credential.CheckPlacement(request.Query, nil); err != nil {
		return "", err
	}
	return credential.FromAuthorization(request.Authorization, policy.schemes...)
}

func (g *Guard) question(request *Request, policy *policy, presented string) verify.Request {
	path, _, _ := strings.Cut(request.Target, "?")
	return verify.Request{
		Token: presented, Audiences: policy.audiences, Scopes: policy.scopes,
		ClientIP: g.address(request.Peer, request.ForwardedFor),
		Protocol: request.Protocol, Asker: request.Policy,
		// As the client writes them: whoever keeps them makes them fit.
		UserAgent: request.UserAgent, Host: request.Host, Method: request.Method, Path: path,
	}
}

// misplacedQuestion tells whoever runs the gateway. Anybody who reaches the
// verifier can ask, so it does so seldom, and repeats nothing that is no name.
func (g *Guard) misplacedQuestion(request *Request, reason error) {
	g.told(request.Protocol, reason)
	g.seldom.Do(func() {
		name := request.Policy
		if !isName(name) {
			name = "(no name)"
		}
		g.log.Info("refused all that a gateway asks, since it is not set up right",
			"reason", reason.Error(), "policy", name, "protocol", request.Protocol, "gateway", request.Peer.String())
	})
}

// isName says that a text has the form of a policy's name; no token has it.
func isName(text string) bool {
	for _, c := range []byte(text) {
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return len(text) > 0 && len(text) <= 63
}
