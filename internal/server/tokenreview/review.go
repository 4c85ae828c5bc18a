package tokenreview

import (
	"context"
	"slices"

	"golang.org/x/time/rate"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/utils/clock"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// What kube-apiserver is told in status.error. It keeps a plain "no", but not an
// error.
const (
	errorUnknown     = "no such token is known yet: ask again"
	errorNotVerified = "could not check the token: ask again"
)

// Default limits of answers that a token is not known yet.
const (
	DefaultUnknownPerSecond = 10
	DefaultUnknownBurst     = 50
)

// Options say how TokenReviews are answered. Zero values are the defaults.
type Options struct {
	// DefaultAudience is that of tokens which were declared without one.
	DefaultAudience string

	// Kubernetes is how kube-apiserver is answered.
	Kubernetes config.Kubernetes

	// UnknownPerSecond and UnknownBurst are how often a well-formed token that is
	// not known is answered with an error, which kube-apiserver does not keep: the
	// watch may be about to tell of it. Beyond that it is a plain no. Defaults are
	// 10 and 50.
	UnknownPerSecond float64
	UnknownBurst     int

	// Refused is told of a good token that is refused here however often it is tried:
	// it is meant for others than those wanted, by the names that tokens are declared
	// with (AudienceMismatch), it is limited to networks, which no TokenReview tells
	// of (NetworkUnknown), or to scopes that nobody would hold it to
	// (ScopesNotEnforced). It is told once an hour for each token and reason, and
	// again at the next refusal when it returns false: that nobody was told. It must
	// not block. Nil is silent.
	Refused func(t *verify.Token, why verify.Reason, wanted []string) (told bool)

	// Clock tells the time. Nil means the real clock.
	Clock clock.PassiveClock
}

// reviewer turns verdicts into TokenReview statuses.
type reviewer struct {
	verifier        verify.Verifier
	clock           clock.PassiveClock
	defaultAudience string
	apiAudiences    []string // by which kube-apiserver goes
	scopesUnchecked bool     // by kube-apiserver
	unknown         *rate.Limiter
	notices         *notices
}

func newReviewer(verifier verify.Verifier, o Options) *reviewer {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.UnknownPerSecond == 0 {
		o.UnknownPerSecond = DefaultUnknownPerSecond
	}
	if o.UnknownBurst == 0 {
		o.UnknownBurst = DefaultUnknownBurst
	}
	return &reviewer{
		verifier:        verifier,
		clock:           o.Clock,
		defaultAudience: o.DefaultAudience,
		apiAudiences:    o.Kubernetes.Audiences,
		scopesUnchecked: o.Kubernetes.Scopes != config.ScopesEnforced,
		unknown:         rate.NewLimiter(rate.Limit(o.UnknownPerSecond), o.UnknownBurst),
		notices:         newNotices(o.Refused, o.Clock),
	}
}

// review answers about one token. It never puts a part of the token into its
// answer.
func (r *reviewer) review(ctx context.Context, text string, requested []string) authenticationv1.TokenReviewStatus {
	if len(requested) == 0 {
		requested = r.apiAudiences
	}
	wanted := r.wanted(requested)
	verdict, err := r.verifier.Verify(ctx, verify.Request{
		Token: text, Audiences: wanted, ScopesUnchecked: r.scopesUnchecked, Protocol: verify.ProtocolTokenReview,
	})
	switch {
	case err != nil:
		return authenticationv1.TokenReviewStatus{Error: errorNotVerified}
	case verdict.Active():
		return r.accept(verdict.Token, requested, wanted)
	default:
		return r.refuse(verdict, wanted)
	}
}

// wanted are the requested audiences by the names that tokens are declared with.
func (r *reviewer) wanted(requested []string) []string {
	wanted := make([]string, len(requested))
	for i, audience := range requested {
		wanted[i] = audience
		if r.isAPIServer(audience) {
			wanted[i] = config.AudienceKubernetes
		}
	}
	return wanted
}

// isAPIServer says that a requested audience is kube-apiserver. So is one that
// goes by the name that tokens are declared with for it.
func (r *reviewer) isAPIServer(audience string) bool {
	return audience == config.AudienceKubernetes || slices.Contains(r.apiAudiences, audience)
}

// refuse answers about a text that is no good token. What the watches may not
// have told of yet is an error, which kube-apiserver does not keep: a token that
// nobody knows, within a budget, and one whose AccessToken nobody has seen.
func (r *reviewer) refuse(verdict verify.Verdict, wanted []string) authenticationv1.TokenReviewStatus {
	switch verdict.Reason {
	case verify.ReasonUnknown:
		if r.unknown.AllowN(r.clock.Now(), 1) {
			return authenticationv1.TokenReviewStatus{Error: errorUnknown}
		}
	case verify.ReasonOwnerUnseen:
		return authenticationv1.TokenReviewStatus{Error: errorNotVerified}
	case verify.ReasonAudienceMismatch, verify.ReasonNetworkUnknown, verify.ReasonScopesNotEnforced:
		r.notices.tell(verdict.Token, verdict.Reason, wanted)
	default:
	}
	return authenticationv1.TokenReviewStatus{}
}

// accept says for which of the audiences that were requested the token is good.
// An empty list would mean kube-apiserver itself, so it is never the answer of a
// yes.
func (r *reviewer) accept(t *verify.Token, requested, wanted []string) authenticationv1.TokenReviewStatus {
	audiences := make([]string, 0, len(requested))
	for i, audience := range requested {
		if t.MeantFor(wanted[i], r.defaultAudience) {
			audiences = append(audiences, audience)
		}
	}
	if len(audiences) == 0 {
		return authenticationv1.TokenReviewStatus{}
	}
	return authenticationv1.TokenReviewStatus{Authenticated: true, User: userOf(t), Audiences: audiences}
}

func userOf(t *verify.Token) authenticationv1.UserInfo {
	extra := map[string]authenticationv1.ExtraValue{
		v1alpha1.ExtraTokenID: {t.ID()},
		v1alpha1.ExtraName:    {t.Namespace() + "/" + t.Name()},
	}
	if scopes := t.Scopes(); !scopes.Absent() {
		extra[v1alpha1.ExtraScopes] = scopes.Items()
	}
	return authenticationv1.UserInfo{Username: t.Subject(), UID: t.SubjectUID(), Groups: t.Groups().Items(), Extra: extra}
}
