package verify

import (
	"context"
	"errors"
	"net/netip"
)

// Verifier decides about one presented token. A Verdict is either active, with
// Token set, or inactive, with Reason set; its Token is then set only when the
// secret proved right, so that only a holder of the token is told why. A non-nil
// error means that no verdict was reached (ErrNotReady, ErrStale); the Verdict is
// then zero, and the caller has to fail closed without calling the token bad.
// Safe for concurrent use.
type Verifier interface {
	Verify(ctx context.Context, request Request) (Verdict, error)
}

// Func is a function that is a Verifier.
type Func func(ctx context.Context, request Request) (Verdict, error)

// Verify calls the function.
func (f Func) Verify(ctx context.Context, request Request) (Verdict, error) { return f(ctx, request) }

// Request is a token as it was presented, with what the acceptor asks of it.
type Request struct {
	// Token is the text that was presented. It goes no further than the parser.
	Token string

	// Audiences are the names that the acceptor goes by; the token has to be
	// meant for one of them. None means that no token is meant for it.
	Audiences []string

	// Scopes are what the acceptor requires; the token needs all of them. A token
	// that was declared without scopes is not limited by them, but for reserved
	// ones, which it has to name.
	Scopes []string

	// ScopesUnchecked says that the acceptor goes by no scope, now or later. A
	// token that is limited by scope is inactive there.
	ScopesUnchecked bool

	// ClientIP is where the token is used from. The zero Addr says that the
	// protocol does not tell: a token that is limited to networks is inactive
	// there.
	ClientIP netip.Addr

	// Protocol is how the question came.
	Protocol Protocol

	// Asker is who asks, where that is known: the policy that a gateway names, or the
	// user name of a service that introspects. It decides nothing.
	Asker string

	// UserAgent, Host, Method and Path tell of the request that carried the token,
	// as far as the protocol does. They decide nothing.
	UserAgent, Host, Method, Path string

	// Probe says that nobody uses the token by this: an accepted answer is no use,
	// and extends nothing.
	Probe bool
}

// Protocol is how a question reached the verifier. It is a closed set: metrics
// are labelled by it.
type Protocol string

// The protocols.
const (
	ProtocolTokenReview   Protocol = "TokenReview"
	ProtocolIntrospection Protocol = "Introspection"
	ProtocolRevocation    Protocol = "Revocation"
	ProtocolForwardAuth   Protocol = "ForwardAuth"
	ProtocolExtAuthz      Protocol = "ExtAuthz"

	// ProtocolAccessReview asks about a request of a token that is known to be
	// good, and goes by its scopes alone.
	ProtocolAccessReview Protocol = "AccessReview"
)

// Protocols are all of them.
func Protocols() []Protocol {
	return []Protocol{
		ProtocolTokenReview, ProtocolAccessReview, ProtocolIntrospection, ProtocolRevocation, ProtocolForwardAuth, ProtocolExtAuthz,
	}
}

// bit tells protocols apart; those that are none share one.
func (p Protocol) bit() uint64 {
	for i, known := range [...]Protocol{ProtocolTokenReview, ProtocolIntrospection, ProtocolRevocation, ProtocolForwardAuth, ProtocolExtAuthz, ProtocolAccessReview} {
		if p == known {
			return 1 << i
		}
	}
	return 1 << 7
}

// Verdict is the answer to a Request.
type Verdict struct {
	// Reason is why the token is inactive; empty for an active one.
	Reason Reason

	// Token is the token, if its secret proved right.
	Token *Token
}

// Active says that the token is good for what was asked.
func (v Verdict) Active() bool { return v.Reason == "" && v.Token != nil }

// Reason is why a token is inactive. It is a closed set: metrics are labelled by
// it.
type Reason string

// Before the secret proved right. Whoever presented the token sees no difference
// between these.
const (
	// ReasonMalformed: the text is no token.
	ReasonMalformed Reason = "Malformed"
	// ReasonUnknown: no record of this ID verifies anything here.
	ReasonUnknown Reason = "Unknown"
	// ReasonWrongSecret: the record is another token's.
	ReasonWrongSecret Reason = "WrongSecret"
)

// After the secret proved right.
const (
	// ReasonNotYetValid: it was issued in the future, by a clock that is off.
	ReasonNotYetValid Reason = "NotYetValid"
	// ReasonExpired: its end by age, use or overlap has come.
	ReasonExpired Reason = "Expired"
	// ReasonRevoked: it was revoked, suspended or taken back.
	ReasonRevoked Reason = "Revoked"
	// ReasonOwnerGone: its AccessToken is deleted or being deleted.
	ReasonOwnerGone Reason = "OwnerGone"
	// ReasonNamespaceGone: its namespace is deleted or being deleted.
	ReasonNamespaceGone Reason = "NamespaceGone"
	// ReasonSubjectGone: the service account that it acts as is deleted or being
	// deleted. One that was made again is another.
	ReasonSubjectGone Reason = "SubjectGone"
	// ReasonOwnerUnseen: no watch has told of its AccessToken, service account or namespace, though
	// it was issued long enough ago. It may be gone, or the watch may be behind.
	ReasonOwnerUnseen Reason = "OwnerUnseen"
	// ReasonAudienceMismatch: it is meant for other acceptors.
	ReasonAudienceMismatch Reason = "AudienceMismatch"
	// ReasonNetworkDenied: it may not be used from this address.
	ReasonNetworkDenied Reason = "NetworkDenied"
	// ReasonNetworkUnknown: it is limited to networks, and the protocol does not
	// tell the address.
	ReasonNetworkUnknown Reason = "NetworkUnknown"
	// ReasonScopeMissing: it lacks a scope that the acceptor requires.
	ReasonScopeMissing Reason = "ScopeMissing"
	// ReasonScopesNotEnforced: it is limited by scope, and the acceptor goes by
	// none.
	ReasonScopesNotEnforced Reason = "ScopesNotEnforced"
)

// Reasons are all of them.
func Reasons() []Reason {
	return []Reason{
		ReasonMalformed, ReasonUnknown, ReasonWrongSecret,
		ReasonNotYetValid, ReasonExpired, ReasonRevoked, ReasonOwnerGone, ReasonNamespaceGone, ReasonSubjectGone, ReasonOwnerUnseen,
		ReasonAudienceMismatch, ReasonNetworkDenied, ReasonNetworkUnknown, ReasonScopeMissing, ReasonScopesNotEnforced,
	}
}

var (
	// ErrNotReady says that not everything that a decision needs was read yet, or
	// that it was lost.
	ErrNotReady = errors.New("could not check: the verifier is not ready")

	// ErrStale says that nothing was heard from the API server for so long that a
	// revocation may have been missed.
	ErrStale = errors.New("could not check: nothing was heard from the API server for too long")
)
