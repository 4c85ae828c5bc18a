package verify

import (
	"cmp"
	"context"
	"net/netip"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

const (
	// clockTolerance is how far in the future a token may have been issued, by
	// clocks that differ: those of programs that are further off are not ready.
	clockTolerance = 30 * time.Second

	// unseenTolerance is how long a token is good whose AccessToken or namespace
	// the other watch has not told of yet.
	unseenTolerance = 10 * time.Second
)

// Index finds tokens by their ID. Lookup returns nil where there is none, does
// not allocate and takes no lock that requests share.
type Index interface {
	Lookup(id token.ID) *Token
}

// Decider is the Verifier that decides, from memory.
type Decider struct {
	// Index holds the tokens whose records opened.
	Index Index

	// Fresh says whether the index can be trusted at this moment: nil, ErrNotReady
	// or ErrStale.
	Fresh func(now time.Time) error

	// Clock tells the time.
	Clock clock.PassiveClock

	// DefaultAudience is that of tokens that were declared without one. Empty: they
	// are meant for nobody.
	DefaultAudience string

	// Complete says whether the index has every token that it should. While it has
	// not, a token that is not found could not be checked. Nil means always.
	Complete func() bool
}

// Verify decides about one presented token. It makes no request, takes no lock
// and does not allocate.
func (d *Decider) Verify(_ context.Context, request Request) (Verdict, error) {
	now := d.Clock.Now()
	if err := d.Fresh(now); err != nil {
		return Verdict{}, err
	}
	presented, err := token.Parse(request.Token)
	if err != nil {
		return Verdict{Reason: ReasonMalformed}, nil //nolint:nilerr // what is no token is an answer
	}
	t := d.Index.Lookup(presented.Key())
	if t == nil {
		// As much work as for a token that is there, lest the time tells IDs that are
		// from those that are not.
		nobody.Verify(presented.SecretDigest())
		if d.Complete != nil && !d.Complete() {
			return Verdict{}, ErrNotReady
		}
		return Verdict{Reason: ReasonUnknown}, nil
	}
	if !t.sealed.Verify(presented.SecretDigest()) {
		return Verdict{Reason: ReasonWrongSecret}, nil
	}
	// First what ended the token for everybody, then what it lacks for this acceptor.
	// Each is a reason to refuse it, or none.
	reason := cmp.Or(
		checkEnd(t, now), checkOwner(t, now), d.checkAudience(t, &request), checkNetwork(t, &request), checkScopes(t, &request),
	)
	return Verdict{Reason: reason, Token: t}, nil
}

// nobody verifies no secret, and takes as long over it as a record does.
var nobody = record.Decoy()

func checkEnd(t *Token, now time.Time) Reason {
	switch {
	case t.issuedAt > now.Add(clockTolerance).Unix():
		return ReasonNotYetValid
	case t.revokedAt.Load() != notRevoked:
		return ReasonRevoked
	case t.life.Ended(now):
		return ReasonExpired
	}
	return ""
}

func checkOwner(t *Token, now time.Time) Reason {
	unseenGood := now.Unix() < t.createdAt+int64(unseenTolerance/time.Second)
	good := func(state State) bool { return state == StateLive || state == StateUnseen && unseenGood }
	switch namespace, account := t.owner.namespace, t.seldom.account; {
	case namespace.State() == StateGone, !namespace.held(t.createdAt):
		return ReasonNamespaceGone
	case t.owner.State() == StateGone:
		return ReasonOwnerGone
	case account != nil && account.State() == StateGone:
		return ReasonSubjectGone
	case !good(namespace.State()), !good(t.owner.State()), account != nil && !good(account.State()):
		return ReasonOwnerUnseen
	}
	return ""
}

func (d *Decider) checkAudience(t *Token, request *Request) Reason {
	for _, audience := range request.Audiences {
		if d.Accepts(t, audience) {
			return ""
		}
	}
	return ReasonAudienceMismatch
}

// Accepts says that the token is meant for this audience.
func (d *Decider) Accepts(t *Token, audience string) bool {
	return t.MeantFor(audience, d.DefaultAudience)
}

func checkNetwork(t *Token, request *Request) Reason {
	if !t.Networked() {
		return ""
	}
	if !request.ClientIP.IsValid() {
		return ReasonNetworkUnknown
	}
	address := request.ClientIP.Unmap().WithZone("")
	for _, network := range t.seldom.networks {
		if contains(network, address) {
			return ""
		}
	}
	return ReasonNetworkDenied
}

// contains also finds an IPv4 address in a network that is written as
// IPv4-mapped IPv6.
func contains(network netip.Prefix, address netip.Addr) bool {
	if network.Addr().Is4In6() && network.Bits() >= 96 {
		network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
	}
	return network.Contains(address)
}

func checkScopes(t *Token, request *Request) Reason {
	if request.ScopesUnchecked && !t.scopes.Absent() {
		return ReasonScopesNotEnforced
	}
	for _, scope := range request.Scopes {
		unlimited := t.scopes.Absent() && !strings.HasPrefix(scope, v1alpha1.ReservedScopePrefix)
		if !unlimited && !t.scopes.Contains(scope) {
			return ReasonScopeMissing
		}
	}
	return ""
}
