package securityevents

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
)

const (
	// Path is where the endpoint is served.
	Path = "/security-events"

	// FieldManager is whom the API server notes as the writer.
	FieldManager = "accesstoken-verifier"

	// contentType is that of a pushed security event token (RFC 8935 section 2.1).
	contentType = "application/secevent+jwt"

	// mostBody bounds an event, in bytes.
	mostBody = 64 << 10

	// storeTimeout is how long it is tried to store a revocation.
	storeTimeout = 5 * time.Second

	// How many revocations the events of one issuer may make: each is an object.
	revocationsPerSecond = 50
	revocationsAtOnce    = 1000

	// How many events that were not taken are told of in the log: anybody can send
	// them. The metric counts all.
	tellPerSecond = 1
	tellAtOnce    = 50
)

// Result is what came of an event. It is a closed set: metrics are labelled by it.
type Result string

// What can come of an event.
const (
	// ResultRevoked: it made a revocation.
	ResultRevoked Result = "Revoked"
	// ResultRepeated: it had made one before.
	ResultRepeated Result = "Repeated"
	// ResultIgnored: it is good, and of a type that revokes nothing.
	ResultIgnored Result = "Ignored"
	// ResultRefused: it is not good.
	ResultRefused Result = "Refused"
	// ResultFailed: it could not be checked, or not be stored, and is to come again.
	ResultFailed Result = "Failed"
)

// Results are all of them.
func Results() []Result {
	return []Result{ResultRevoked, ResultRepeated, ResultIgnored, ResultRefused, ResultFailed}
}

// Options are what the endpoint is made of.
type Options struct {
	// Issuers are those that are believed. Required.
	Issuers []config.EventIssuer

	// Client creates ClusterTokenRevocations. Required.
	Client client.Client

	// HTTP fetches keys. Nil means one that follows no redirect and takes five
	// seconds at most.
	HTTP *http.Client

	// Received is told what came of each event. It must not block. Nil is silent.
	Received func(Result)

	// Clock tells the time. Nil means the real clock.
	Clock clock.PassiveClock

	// Log is told of what was refused and revoked.
	Log logr.Logger
}

type handler struct {
	Options
	issuers map[string]*issuer
	telling *rate.Limiter
}

// issuer is one that is believed, with its keys and what it may still revoke.
type issuer struct {
	config.EventIssuer
	keys   *keys
	budget *rate.Limiter
}

// New makes the endpoint. It fails for options that lack something.
func New(options Options) (http.Handler, error) {
	if len(options.Issuers) == 0 || options.Client == nil {
		return nil, errors.New("security events: Issuers and Client are required")
	}
	if options.HTTP == nil {
		options.HTTP = newClient()
	}
	if options.Received == nil {
		options.Received = func(Result) {}
	}
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	h := &handler{Options: options, issuers: map[string]*issuer{}, telling: rate.NewLimiter(tellPerSecond, tellAtOnce)}
	for _, each := range options.Issuers {
		h.issuers[each.Issuer] = &issuer{
			EventIssuer: each,
			keys:        newKeys(each.Keys, options.HTTP, options.Clock),
			budget:      rate.NewLimiter(revocationsPerSecond, revocationsAtOnce),
		}
	}
	return h, nil
}

// ServeHTTP takes one event.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	result, problem := h.receive(w, r)
	h.Received(result)
	if problem == nil {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	if h.telling.AllowN(h.Clock.Now(), 1) {
		h.Log.Info("a security event was not taken", "result", string(result), "code", string(problem.Code), "why", problem.Description)
	}
	if problem.retryAfter != "" {
		header.Set("Retry-After", problem.retryAfter)
	}
	if problem.Code == "" {
		http.Error(w, problem.Description, problem.status)
		return
	}
	header.Set("Content-Type", "application/json")
	header.Set("Content-Language", "en")
	w.WriteHeader(problem.status)
	_ = json.NewEncoder(w).Encode(problem) // the transmitter may be gone
}

func (h *handler) receive(w http.ResponseWriter, r *http.Request) (Result, *problem) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return ResultRefused, &problem{status: http.StatusMethodNotAllowed, Description: "send events with POST"}
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != contentType {
		return ResultRefused, refuse(codeInvalidRequest, "the Content-Type is not "+contentType)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody))
	if err != nil {
		return ResultRefused, refuse(codeInvalidRequest, "the body cannot be read, or is longer than 64 KiB")
	}
	checked, problem := h.check(r.Context(), string(body))
	switch {
	case problem != nil && problem.status >= http.StatusInternalServerError:
		return ResultFailed, problem
	case problem != nil:
		return ResultRefused, problem
	case checked.user == "":
		return ResultIgnored, nil
	}
	return h.revoke(r.Context(), checked)
}

// revoke makes the revocation of an event. Its name follows from the event, so that
// one that comes again makes no other.
func (h *handler) revoke(ctx context.Context, e *event) (Result, *problem) {
	if !e.issuer.budget.AllowN(h.Clock.Now(), 1) {
		return ResultFailed, &problem{status: http.StatusTooManyRequests, retryAfter: "1", Description: "too many events at once: try again"}
	}
	// Who told it may leave meanwhile; it has to be stored all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	made := e.revocation()
	err := h.Client.Create(ctx, made, client.FieldOwner(FieldManager))
	log := h.Log.WithValues("clusterTokenRevocation", made.Name, "issuer", e.issuer.Issuer)
	switch {
	case err == nil:
		log.Info("a security event revokes the tokens of a user", "types", e.types())
		return ResultRevoked, nil
	case apierrors.IsAlreadyExists(err):
		return ResultRepeated, nil
	case apierrors.IsForbidden(err):
		log.Error(err, "the verifier may not create ClusterTokenRevocations: bind the ClusterRole accesstoken-security-events to its account")
	default:
		log.Error(err, "could not store the revocation that a security event asks for")
	}
	return ResultFailed, unavailable("could not store the revocation: try again")
}

// code is what kind of error an answer tells of: RFC 8935 section 2.4.
type code string

const (
	codeInvalidRequest       code = "invalid_request"
	codeInvalidKey           code = "invalid_key"
	codeInvalidIssuer        code = "invalid_issuer"
	codeInvalidAudience      code = "invalid_audience"
	codeAuthenticationFailed code = "authentication_failed"
)

// problem is an answer other than success. It never quotes the event.
type problem struct {
	status      int
	retryAfter  string
	Code        code   `json:"err"`
	Description string `json:"description"`
}

func refuse(c code, description string) *problem {
	return &problem{status: http.StatusBadRequest, Code: c, Description: description}
}

func unavailable(description string) *problem {
	return &problem{status: http.StatusServiceUnavailable, retryAfter: "2", Description: description}
}
