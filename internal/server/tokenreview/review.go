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

	// AudienceRefused is told of a good token that was refused because it is meant
	// for others than those wanted, by the names that tokens are declared with;
	// once an hour for each token. It must not block. Nil is silent.
	AudienceRefused func(t *verify.Token, wanted []string)

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
		notices:         newNotices(o.AudienceRefused, o.Clock),
	}
}

// question is what the verifier is asked on behalf of some of the audiences.
type question struct {
	audiences []string // as tokens name them
	unchecked bool
	kube      bool
	verdict   verify.Verdict
}

// kubernetesOnly is what is asked on behalf of kube-apiserver.
var kubernetesOnly = []string{config.AudienceKubernetes}

// review answers about one token. It never puts a part of the token into its
// answer.
func (r *reviewer) review(ctx context.Context, text string, requested []string) authenticationv1.TokenReviewStatus {
	if len(requested) == 0 {
		requested = r.apiAudiences
	}
	questions := r.questions(requested)
	for i := range questions {
		q := &questions[i]
		var err error
		q.verdict, err = r.verifier.Verify(ctx, verify.Request{
			Token: text, Audiences: q.audiences, ScopesUnchecked: q.unchecked, Protocol: verify.ProtocolTokenReview,
		})
		switch {
		case err != nil:
			return authenticationv1.TokenReviewStatus{Error: errorNotVerified}
		case q.verdict.Token == nil:
			return r.refuseUnproved(q.verdict.Reason)
		}
	}
	return r.answer(questions, requested)
}

// questions asks for kube-apiserver apart from all others, since scopes may hold
// with these and not with it.
func (r *reviewer) questions(requested []string) []question {
	others := make([]string, 0, len(requested))
	for _, audience := range requested {
		if !r.isAPIServer(audience) {
			others = append(others, audience)
		}
	}
	questions := make([]question, 0, 2)
	if len(others) < len(requested) {
		questions = append(questions, question{audiences: kubernetesOnly, unchecked: r.scopesUnchecked, kube: true})
	}
	if len(others) > 0 {
		questions = append(questions, question{audiences: others})
	}
	return questions
}

// isAPIServer says that a requested audience is kube-apiserver. So is one that
// goes by the name that tokens are declared with for it.
func (r *reviewer) isAPIServer(audience string) bool {
	return audience == config.AudienceKubernetes || slices.Contains(r.apiAudiences, audience)
}

// refuseUnproved answers about a text that is no token of anybody known. One that
// is not known may be so new that the watch has not told of it.
func (r *reviewer) refuseUnproved(reason verify.Reason) authenticationv1.TokenReviewStatus {
	if reason == verify.ReasonUnknown && r.unknown.AllowN(r.clock.Now(), 1) {
		return authenticationv1.TokenReviewStatus{Error: errorUnknown}
	}
	return authenticationv1.TokenReviewStatus{}
}

// answer says for which of the audiences that were requested the token is good.
// An empty list would mean kube-apiserver itself, so it is never the answer of a
// yes.
func (r *reviewer) answer(questions []question, requested []string) authenticationv1.TokenReviewStatus {
	audiences := make([]string, 0, len(requested))
	for _, audience := range requested {
		declared, kube := audience, r.isAPIServer(audience)
		if kube {
			declared = config.AudienceKubernetes
		}
		for i := range questions {
			q := &questions[i]
			if q.kube == kube && q.verdict.Active() && q.verdict.Token.MeantFor(declared, r.defaultAudience) {
				audiences = append(audiences, audience)
			}
		}
	}
	if len(audiences) == 0 {
		r.noticeAudience(questions)
		return authenticationv1.TokenReviewStatus{}
	}
	return authenticationv1.TokenReviewStatus{Authenticated: true, User: userOf(questions[0].verdict.Token), Audiences: audiences}
}

// noticeAudience tells of a token that its audience alone kept out.
func (r *reviewer) noticeAudience(questions []question) {
	var wanted []string
	for i := range questions {
		if questions[i].verdict.Reason != verify.ReasonAudienceMismatch {
			return
		}
		wanted = append(wanted, questions[i].audiences...)
	}
	r.notices.tell(questions[0].verdict.Token, wanted)
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
