package introspection

import (
	"context"
	"errors"
	"net/http"
	"net/netip"

	"k8s.io/utils/clock"

	"github.com/accesstoken-dev/accesstoken-operator/internal/caller"
	"github.com/accesstoken-dev/accesstoken-operator/internal/oauthwire"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// Path is where the endpoint is served.
const Path = "/introspect"

// Options are what the endpoint is made of.
type Options struct {
	// Verifier decides, once for each question. Required.
	Verifier verify.Verifier

	// Peek finds what a token is meant for, before it is known whether the caller
	// may ask about that. It is asked as a Probe for no audience at all, so give the
	// bare decision, without audit and metrics around it. Required.
	Peek verify.Verifier

	// Callers says who asks. Required.
	Callers *caller.Callers

	// Issuer is who issued the tokens, an https URL (RFC 8414 section 2). Empty
	// leaves iss out.
	Issuer string

	// Clock tells the time. Nil means the real clock.
	Clock clock.PassiveClock
}

type handler struct{ Options }

// New makes the endpoint. It fails for options that lack something.
func New(options Options) (http.Handler, error) {
	if options.Verifier == nil || options.Peek == nil || options.Callers == nil {
		return nil, errors.New("introspection: Verifier, Peek and Callers are required")
	}
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	return &handler{options}, nil
}

// question is what a caller wants to know.
type question struct {
	token    string
	clientIP netip.Addr
}

// ServeHTTP answers one question. Who asks is found out before anything that was
// sent is read.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, problem := h.serve(w, r)
	if problem != nil {
		oauthwire.WriteProblem(w, problem)
		return
	}
	oauthwire.Write(w, http.StatusOK, answer)
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request) (any, *oauthwire.Problem) {
	if problem := oauthwire.CheckMethod(r); problem != nil {
		return nil, problem
	}
	asker, problem := h.Callers.Authenticate(r)
	if problem != nil {
		return nil, problem
	}
	form, problem := oauthwire.ReadForm(w, r, oauthwire.DefaultMostBody)
	if problem != nil {
		return nil, problem
	}
	asked, problem := read(form)
	if problem != nil {
		return nil, problem
	}
	answer, err := h.introspect(r.Context(), asker, asked)
	if err != nil {
		return nil, oauthwire.Unavailable("could not check the token: try again")
	}
	return answer, nil
}

// read takes the parameters. The hint of the type would only speed up a search
// that is not needed.
func read(form oauthwire.Form) (question, *oauthwire.Problem) {
	presented, problem := form.Token()
	if problem != nil {
		return question{}, problem
	}
	asked := question{token: presented}
	if text, ok := form.Get(oauthwire.ParameterClientIP); ok {
		address, err := netip.ParseAddr(text)
		if err != nil || address.Zone() != "" {
			return question{}, oauthwire.Invalid("the parameter " + oauthwire.ParameterClientIP + " is no IP address: send one such as 192.0.2.1, without port and zone")
		}
		asked.clientIP = address
	}
	return asked, nil
}

// introspect decides. A token that the caller may not ask about is as inactive
// as one that there is not.
func (h *handler) introspect(ctx context.Context, asker *caller.Caller, asked question) (any, error) {
	audiences, err := h.audiences(ctx, asker, asked.token)
	if err != nil {
		return nil, err
	}
	verdict, err := h.Verifier.Verify(ctx, verify.Request{
		Token: asked.token, Audiences: audiences, ClientIP: asked.clientIP, Protocol: verify.ProtocolIntrospection, Asker: asker.Name,
	})
	switch {
	case err != nil:
		return nil, err
	case !verdict.Active():
		return inactive{}, nil
	}
	return h.describe(verdict.Token, audiences), nil
}

// audiences are those of the token that the caller may ask about; none for a
// token that is good for nobody.
func (h *handler) audiences(ctx context.Context, asker *caller.Caller, presented string) ([]string, error) {
	found, err := h.Peek.Verify(ctx, verify.Request{Token: presented, Protocol: verify.ProtocolIntrospection, Probe: true})
	if err != nil {
		return nil, err
	}
	// Asked for no audience, all that is good so far is refused for that.
	if found.Token == nil || found.Reason != verify.ReasonAudienceMismatch {
		return nil, nil
	}
	return asker.Audiences(ctx, h.Callers.AudiencesOf(found.Token))
}
