package caller

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/credential"
	"github.com/accesstoken-dev/accesstoken-operator/internal/oauthwire"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// The defaults of Options.
const (
	DefaultAudience    = "verifier.accesstoken.dev"
	DefaultKeepYes     = 10 * time.Second
	DefaultKeepNo      = 2 * time.Second
	DefaultStrangers   = 50.0
	DefaultMostAnswers = 4096
)

// Options are what Callers are made of.
type Options struct {
	// Verifier decides about callers' tokens of ours. Required.
	Verifier verify.Verifier

	// Kubernetes asks the API server: create on tokenreviews and on
	// subjectaccessreviews. Required.
	Kubernetes kubernetes.Interface

	// Audience is the verifier's own: what credentials of callers have to be meant
	// for. It must not be DefaultTokenAudience, nor an audience of the API server,
	// whose tokens every pod has. Empty means DefaultAudience.
	Audience string

	// DefaultTokenAudience is that of tokens that were declared without one.
	// Required.
	DefaultTokenAudience string

	// KeepYes and KeepNo are how long an answer of the API server holds, and so how
	// late a change of rights shows. Zero means DefaultKeepYes, DefaultKeepNo.
	KeepYes, KeepNo time.Duration

	// Strangers is how many credentials a second the API server is asked about that
	// were not good before, with room for twice as many at once. Beyond, there is no
	// answer. Callers that were good are not held up by it. Zero means
	// DefaultStrangers.
	Strangers float64

	// MostAnswers bounds how many answers of each kind are kept. Zero means
	// DefaultMostAnswers.
	MostAnswers int

	// Clock tells the time. Nil means the real clock.
	Clock clock.PassiveClock

	// Log is told when the API server cannot be asked.
	Log logr.Logger
}

// Callers authenticates those who ask. Safe for concurrent use.
type Callers struct {
	options  Options
	accounts *accounts
}

// New makes Callers. It fails for options that lack something or would let in
// whom they should not.
func New(options Options) (*Callers, error) {
	options.applyDefaults()
	switch {
	case options.Verifier == nil || options.Kubernetes == nil || options.DefaultTokenAudience == "":
		return nil, errors.New("caller: Verifier, Kubernetes and DefaultTokenAudience are required")
	case options.Audience == options.DefaultTokenAudience:
		return nil, fmt.Errorf("the verifier's audience %q is that of tokens without one: choose another", options.Audience)
	case strings.ContainsFunc(options.Audience, func(r rune) bool { return r < '!' || r > '~' || r == '"' || r == '\\' }):
		return nil, fmt.Errorf("the verifier's audience %q: use printable ASCII characters without space, quote or backslash", options.Audience)
	}
	var key [32]byte
	if _, err := rand.Read(key[:]); err != nil {
		return nil, fmt.Errorf("key of the caches: %w", err)
	}
	return &Callers{options: options, accounts: newAccounts(&options, key)}, nil
}

func (o *Options) applyDefaults() {
	if o.Audience == "" {
		o.Audience = DefaultAudience
	}
	if o.KeepYes == 0 {
		o.KeepYes = DefaultKeepYes
	}
	if o.KeepNo == 0 {
		o.KeepNo = DefaultKeepNo
	}
	if o.Strangers == 0 {
		o.Strangers = DefaultStrangers
	}
	if o.MostAnswers == 0 {
		o.MostAnswers = DefaultMostAnswers
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
}

// Caller is one who may ask.
type Caller struct {
	// Name is the user name.
	Name string

	mayAskFor func(ctx context.Context, audience string) (bool, error)
}

// Audiences returns those of the given ones that the caller may ask about. A
// non-nil error means that it could not be found out.
func (c *Caller) Audiences(ctx context.Context, of []string) ([]string, error) {
	var allowed []string
	for _, audience := range of {
		ok, err := c.mayAskFor(ctx, audience)
		if err != nil {
			return nil, err
		}
		if ok {
			allowed = append(allowed, audience)
		}
	}
	return allowed, nil
}

// Authenticate finds out who asks. The Problem is the answer to one who may not,
// or of whom it could not be found out.
func (c *Callers) Authenticate(r *http.Request) (*Caller, *oauthwire.Problem) {
	presented, scheme, err := present(r.Header.Values("Authorization"))
	if err != nil {
		return nil, unreadable(err, scheme)
	}
	if _, err := token.Parse(presented); err == nil {
		return c.holder(r, presented, scheme)
	}
	if !looksLikeJWT(presented) {
		return nil, unauthenticated(scheme, notGood(c.options.Audience))
	}
	return c.accounts.authenticate(r.Context(), presented, scheme)
}

// present reads the credential: what follows Bearer, or the password of Basic,
// which OAuth clients encode as in a form (RFC 6749 section 2.3.1).
func present(values []string) (string, credential.Scheme, error) {
	presented, err := credential.FromAuthorization(values, credential.Bearer)
	if !errors.Is(err, credential.ErrScheme) {
		return presented, credential.Bearer, err
	}
	presented, err = credential.FromAuthorization(values, credential.Basic)
	if err != nil {
		return "", credential.Basic, err
	}
	// What is not encoded has neither + nor % in it, and decodes to itself.
	presented, err = url.QueryUnescape(presented)
	if err != nil {
		return "", credential.Basic, credential.ErrMalformed
	}
	return presented, credential.Basic, nil
}

// holder authenticates the holder of a token of ours.
func (c *Callers) holder(r *http.Request, presented string, scheme credential.Scheme) (*Caller, *oauthwire.Problem) {
	verdict, err := c.options.Verifier.Verify(r.Context(), verify.Request{
		Token: presented, Audiences: []string{c.options.Audience}, Scopes: []string{v1alpha1.ScopeIntrospect},
		Protocol:  verify.ProtocolIntrospection,
		UserAgent: r.UserAgent(), Host: r.Host, Method: r.Method, Path: r.URL.Path,
	})
	switch {
	case err != nil:
		return nil, oauthwire.Unavailable(descriptionUnchecked)
	case verdict.Reason == verify.ReasonScopeMissing:
		return nil, forbidden(scheme, "the token lacks the scope "+v1alpha1.ScopeIntrospect)
	case verdict.Reason == verify.ReasonAudienceMismatch:
		return nil, unauthenticated(scheme, "the token is not meant for the audience "+c.options.Audience)
	case !verdict.Active():
		return nil, unauthenticated(scheme, notGood(c.options.Audience))
	}
	held := verdict.Token.Audiences()
	return &Caller{Name: verdict.Token.Subject(), mayAskFor: func(_ context.Context, audience string) (bool, error) {
		// The verifier's own audience says who may ask, not about whom: two callers
		// have it in common.
		return audience != c.options.Audience && held.Contains(audience), nil
	}}, nil
}

// AudiencesOf are those that a token is meant for.
func (c *Callers) AudiencesOf(t *verify.Token) []string {
	if t.Audiences().Absent() {
		return []string{c.options.DefaultTokenAudience}
	}
	return slices.Clone(t.Audiences().Items())
}
