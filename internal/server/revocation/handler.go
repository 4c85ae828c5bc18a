package revocation

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/oauthwire"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

const (
	// Path is where the endpoint is served.
	Path = "/revoke"

	// DefaultDeadline is how long it is tried to write.
	DefaultDeadline = 5 * time.Second

	// FieldManager is whom the API server notes as the writer.
	FieldManager = "accesstoken-verifier"

	// DefaultSettle is how long success waits for this verifier's own watch.
	DefaultSettle = time.Second

	// conflictRetry is how soon it is tried again after somebody else wrote.
	conflictRetry = 20 * time.Millisecond

	// settleRetry is how soon the verifier is asked again whether it knows.
	settleRetry = 5 * time.Millisecond
)

// Options are what the endpoint is made of.
type Options struct {
	// Verifier finds the token and proves that it is presented. It is asked as a
	// Probe for no audience at all, so give the bare decision, without audit and
	// metrics around it. Required.
	Verifier verify.Verifier

	// Client reads TokenRecords from the API server, without a cache, and patches
	// their status. Its account needs get on tokenrecords, patch on
	// tokenrecords/status, and the verb issue on tokenrecords in the whole cluster.
	// Required.
	Client client.Client

	// Deadline is how long it is tried to write. Zero means DefaultDeadline.
	Deadline time.Duration

	// Settle is how long success waits until this verifier itself refuses the token,
	// so that whoever revoked one sees it refused. Beyond, it is success all the
	// same: the end is stored. Zero means DefaultSettle.
	Settle time.Duration

	// Tried is told what came of each token in a form: an active verdict of one that
	// this endpoint revoked, once the end is stored; an inactive one, with the
	// reason, of one that proved nothing or had ended before; an error where that is
	// not known or could not be stored. It must not block. Nil is silent.
	Tried func(request verify.Request, verdict verify.Verdict, err error)

	// Clock tells the time. Nil means the real clock.
	Clock clock.PassiveClock

	// Log is told when an end cannot be written.
	Log logr.Logger
}

type handler struct{ Options }

// New makes the endpoint. It fails for options that lack something.
func New(options Options) (http.Handler, error) {
	if options.Verifier == nil || options.Client == nil {
		return nil, errors.New("revocation: Verifier and Client are required")
	}
	if options.Deadline == 0 {
		options.Deadline = DefaultDeadline
	}
	if options.Settle == 0 {
		options.Settle = DefaultSettle
	}
	if options.Tried == nil {
		options.Tried = func(verify.Request, verify.Verdict, error) {}
	}
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	return &handler{options}, nil
}

// ServeHTTP revokes the token in the form.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if problem := h.serve(w, r); problem != nil {
		oauthwire.WriteProblem(w, problem)
		return
	}
	oauthwire.WriteEmpty(w)
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request) *oauthwire.Problem {
	form, problem := oauthwire.ReadForm(w, r, oauthwire.DefaultMostBody)
	if problem != nil {
		return problem
	}
	presented, problem := form.Token()
	if problem != nil {
		return problem
	}
	request := requestOf(r, presented)
	verdict, err := h.Verifier.Verify(r.Context(), request)
	if err != nil {
		h.Tried(request, verify.Verdict{}, err)
		return oauthwire.Unavailable("could not check the token: try again")
	}
	// The token is there when its secret proved right, whatever else is wrong with
	// it here. Where it is not, it is as good as revoked (RFC 7009 section 2.2).
	if verdict.Token == nil || verdict.Reason == verify.ReasonRevoked {
		h.Tried(request, verdict, nil)
		return nil
	}
	// Who asked may leave meanwhile; the token has to go all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), h.Deadline)
	defer cancel()
	written, err := h.revoke(ctx, verdict)
	if err != nil {
		err = errors.New(strings.ReplaceAll(err.Error(), presented, "[redacted]"))
		h.Log.Error(err, "could not revoke a token", "tokenID", verdict.Token.ID(), "namespace", verdict.Token.Namespace())
		h.Tried(request, verify.Verdict{}, err)
		return oauthwire.Unavailable("could not store the end of the token, which may still be good: try again")
	}
	if !written {
		h.Tried(request, verify.Verdict{Reason: reasonEnded(verdict), Token: verdict.Token}, nil)
		return nil
	}
	h.Tried(request, verify.Verdict{Token: verdict.Token}, nil)
	h.settle(r.Context(), request)
	return nil
}

// requestOf has the token prove itself. Nobody uses it by this, and for whom it
// is meant is not asked.
func requestOf(r *http.Request, presented string) verify.Request {
	request := verify.Request{
		Token: presented, Protocol: verify.ProtocolRevocation, Probe: true,
		UserAgent: r.UserAgent(), Host: r.Host, Method: r.Method, Path: r.URL.Path,
	}
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		request.ClientIP = peer.Addr()
	}
	return request
}

// reasonEnded is why there was no end to store of a token that this verifier
// does not know to be revoked: it is by now, unless it had ended otherwise.
func reasonEnded(verdict verify.Verdict) verify.Reason {
	switch verdict.Reason {
	case verify.ReasonExpired, verify.ReasonOwnerGone, verify.ReasonNamespaceGone, verify.ReasonSubjectGone:
		return verdict.Reason
	default:
		return verify.ReasonRevoked
	}
}

// settle waits until this verifier refuses the token.
func (h *handler) settle(ctx context.Context, request verify.Request) {
	_ = wait.PollUntilContextTimeout(ctx, settleRetry, h.Settle, true, func(ctx context.Context) (bool, error) {
		verdict, err := h.Verifier.Verify(ctx, request)
		return err == nil && (verdict.Token == nil || verdict.Reason == verify.ReasonRevoked), err
	})
}

// revoke stores the end. Written says that it was not there before.
func (h *handler) revoke(ctx context.Context, verdict verify.Verdict) (written bool, err error) {
	t := verdict.Token
	// What the verifier goes by, as far as a patch needs it.
	known := &v1alpha1.TokenRecord{ObjectMeta: metav1.ObjectMeta{
		Namespace: t.Namespace(), Name: t.ID(), ResourceVersion: t.ResourceVersion(),
	}}
	// One that expired here may have been used elsewhere, and go on.
	fresh := verdict.Reason != verify.ReasonExpired
	var conflict error
	err = wait.PollUntilContextCancel(ctx, conflictRetry, true, func(ctx context.Context) (done bool, err error) {
		if !fresh {
			if over, err := h.read(ctx, known); over || err != nil {
				return true, err
			}
		}
		fresh = false
		switch conflict = h.end(ctx, known); {
		case conflict == nil:
			written = true
			return true, nil
		case apierrors.IsNotFound(conflict): // deleted, which ends a token
			return true, nil
		case apierrors.IsConflict(conflict):
			return false, nil
		}
		return true, conflict
	})
	if wait.Interrupted(err) && conflict != nil {
		err = conflict
	}
	if err != nil {
		return false, fmt.Errorf("end record %s/%s: %w", t.Namespace(), t.ID(), err)
	}
	return written, nil
}

// read brings a record up to date. Over says that there is nothing left to end:
// what has ended keeps the reason that it has, and the operator would take an
// expired token that is revoked for one to replace.
func (h *handler) read(ctx context.Context, known *v1alpha1.TokenRecord) (over bool, err error) {
	live := &v1alpha1.TokenRecord{}
	err = h.Client.Get(ctx, client.ObjectKeyFromObject(known), live)
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	live.DeepCopyInto(known)
	return live.Status.RevokedAt != "" || record.Ended(live, h.Clock.Now()), nil
}

// end takes the record's power away, if it is still as it is known.
func (h *handler) end(ctx context.Context, known *v1alpha1.TokenRecord) error {
	ended := known.DeepCopy()
	ended.Status.RevokedAt = v1alpha1.NewTimestamp(h.Clock.Now())
	ended.Status.Reason = v1alpha1.EndReasonRevokedByHolder
	patch := client.MergeFromWithOptions(known, client.MergeFromWithOptimisticLock{})
	return h.Client.Status().Patch(ctx, ended, patch, client.FieldOwner(FieldManager))
}
