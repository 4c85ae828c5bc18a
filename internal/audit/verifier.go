package audit

import (
	"context"
	"sync/atomic"

	"golang.org/x/time/rate"

	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// How many refusals are written: of those that anybody can bring about, and of
// those that take a real token. Each has its own budget, so that guesses do not
// hide what matters more.
const (
	guessesPerSecond  = 10
	guessesAtOnce     = 100
	refusalsPerSecond = 100
	refusalsAtOnce    = 1000
)

// budget is for one kind of refusals.
type budget struct {
	rate    *rate.Limiter
	leftOut atomic.Uint64
}

// Around returns a Verifier that answers as the other one does, and writes what
// it answered to the log: of accepted requests as many as said, of refused ones
// up to a rate. What could not be checked is no event, and a probe that is
// accepted is no use.
func (l *Log) Around(next verify.Verifier, accepted config.Accepted) verify.Verifier {
	if l == nil {
		return next
	}
	return &auditor{next: next, log: l, accepted: accepted}
}

type auditor struct {
	next     verify.Verifier
	log      *Log
	accepted config.Accepted
}

// Verify implements verify.Verifier.
func (a *auditor) Verify(ctx context.Context, request verify.Request) (verify.Verdict, error) {
	verdict, err := a.next.Verify(ctx, request)
	switch {
	case err != nil:
	case !verdict.Active():
		a.log.Refused(&request, verdict)
	case request.Probe, a.accepted == config.AcceptedNone:
	case a.accepted == config.AcceptedAll || verdict.Token.Sample(request.Protocol, a.log.options.Clock.Now()):
		e := ofRequest(&request)
		e.action, e.seen = TokenAccepted, verdict.Token
		a.log.put(e)
	}
	return verdict, err
}

// Refused writes that a token was not good for a request, up to a rate.
func (l *Log) Refused(request *verify.Request, verdict verify.Verdict) {
	if l == nil {
		return
	}
	of := &l.refusals
	if verdict.Token == nil {
		of = &l.guesses
	}
	e := ofRequest(request)
	e.action, e.reason, e.seen = TokenRefused, string(verdict.Reason), verdict.Token
	if verdict.Token == nil {
		// What was presented names a token, and proves nothing.
		if presented, err := token.Parse(request.Token); err == nil {
			e.token.ID = presented.ID()
		}
	}
	switch verdict.Reason {
	case verify.ReasonExpired, verify.ReasonRevoked, verify.ReasonOwnerGone, verify.ReasonNamespaceGone, verify.ReasonSubjectGone:
		e.action = TokenUsedAfterEnd
	default:
	}
	l.refuse(e, of)
}

// Denied writes, up to a rate, that a good token lacks a scope for what it was
// used for at kube-apiserver: a verb of the Kubernetes API, and the path of what
// that was for.
func (l *Log) Denied(t Token, verb, path string) {
	if l == nil {
		return
	}
	l.refuse(event{
		action: TokenRefused, reason: string(verify.ReasonScopeMissing), protocol: verify.ProtocolAccessReview,
		token: t, verb: verb, path: path,
	}, &l.refusals)
}

func (l *Log) refuse(e event, of *budget) {
	if !of.rate.AllowN(l.options.Clock.Now(), 1) {
		of.leftOut.Add(1)
		l.options.Lost(LossRate)
		return
	}
	e.refused, e.leftOut = true, of.leftOut.Swap(0)
	l.put(e)
}

// ofRequest is what a request says, but for the token.
func ofRequest(request *verify.Request) event {
	return event{
		protocol: request.Protocol, clientIP: request.ClientIP, userAgent: request.UserAgent,
		host: request.Host, path: request.Path, method: request.Method,
		asker: request.Asker, audiences: request.Audiences,
	}
}
