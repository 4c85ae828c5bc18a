package gateway

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/credential"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// Result is what becomes of a request. It is a closed set.
type Result int

// The results. The zero Result lets nothing through.
const (
	// InvalidToken: the token is not good for what was asked.
	InvalidToken Result = iota
	// Allowed: the request may go on.
	Allowed
	// Missing: no token was presented in a scheme that is accepted.
	Missing
	// InvalidRequest: the request could be read in two ways, or has its token where
	// it must not be.
	InvalidRequest
	// InsufficientScope: the token is good, but lacks a scope.
	InsufficientScope
	// UnknownPolicy: the gateway asks for a policy that is not configured.
	UnknownPolicy
	// Unchecked: the token could not be checked. It may be good.
	Unchecked

	results
)

// Answer is the decision about a request.
type Answer struct {
	// Result is what becomes of the request.
	Result Result

	// Token is the token of a request that is allowed; nil otherwise.
	Token *verify.Token

	policy *policy
	reason error
}

// Status is the HTTP status of the answer, by RFC 6750 section 3.1.
func (r Result) Status() int {
	switch r {
	case Allowed:
		return http.StatusOK
	case InvalidRequest:
		return http.StatusBadRequest
	case InsufficientScope:
		return http.StatusForbidden
	case UnknownPolicy:
		return http.StatusNotFound
	case Unchecked:
		return http.StatusServiceUnavailable
	default:
		return http.StatusUnauthorized
	}
}

// Challenge is the value of WWW-Authenticate; empty for none. All challenges are
// in one value, since some gateways pass on the first only.
func (a Answer) Challenge() string {
	if a.policy == nil {
		return ""
	}
	return a.policy.challenges[a.Result]
}

// RetryAfter is the value of Retry-After, in seconds; empty for none.
func (a Answer) RetryAfter() string {
	if a.Result == Unchecked {
		return "5"
	}
	return ""
}

// Body is a sentence for whoever reads the answer to a request that is refused.
// It says the same of every token that is not good.
func (a Answer) Body() string {
	switch a.Result {
	case Allowed:
		return ""
	case Missing:
		return "an access token is required in the Authorization header\n"
	case InsufficientScope:
		return "the access token lacks a scope that is required here: " + strings.Join(a.policy.scopes, " ") + "\n"
	case Unchecked:
		return "the access token could not be checked: try again\n"
	case InvalidRequest, UnknownPolicy:
		return a.reason.Error() + "\n"
	default:
		return "the access token is not good here\n"
	}
}

func resultOf(err error) Result {
	switch {
	case errors.Is(err, credential.ErrMissing), errors.Is(err, credential.ErrScheme):
		return Missing // RFC 6750 section 3.1: neither gets an error code
	case errors.Is(err, credential.ErrMalformed):
		return InvalidToken
	}
	return InvalidRequest
}

// policy is a config.Policy as requests need it.
type policy struct {
	audiences  []string
	scopes     []string
	schemes    []credential.Scheme
	challenges [results]string
}

func compile(from *config.Policy) *policy {
	p := &policy{audiences: []string{from.Audience}, scopes: from.Scopes}
	for _, scheme := range from.Schemes {
		p.schemes = append(p.schemes, credential.Scheme(scheme))
	}
	p.challenges[Missing] = p.challenge("")
	p.challenges[InvalidRequest] = p.challenge(`error="invalid_request"`)
	p.challenges[InvalidToken] = p.challenge(`error="invalid_token"`)
	if slices.Contains(p.schemes, credential.Bearer) { // Basic has nothing to ask of a token that is good
		p.challenges[InsufficientScope] = bearer(`error="insufficient_scope", scope="` + strings.Join(p.scopes, " ") + `"`)
	}
	return p
}

// challenge names the schemes in the order of the configuration, since some
// clients try the first only. Only Bearer has error codes.
func (p *policy) challenge(bearerError string) string {
	challenges := make([]string, 0, len(p.schemes))
	for _, scheme := range p.schemes {
		if scheme == credential.Basic {
			challenges = append(challenges, `Basic realm="accesstoken", charset="UTF-8"`)
		} else {
			challenges = append(challenges, bearer(bearerError))
		}
	}
	return strings.Join(challenges, ", ")
}

func bearer(attributes string) string {
	if attributes == "" {
		return `Bearer realm="accesstoken"`
	}
	return `Bearer realm="accesstoken", ` + attributes
}
