package verify_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

const ours = "billing-api"

// issued is when the tokens of these tests are.
var issued = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

type index map[token.ID]*verify.Token

func (i index) Lookup(id token.ID) *verify.Token { return i[id] }

// presented is a token in an index of its own, and what is asked about it.
type presented struct {
	*testing.T
	decider   *verify.Decider
	request   verify.Request
	token     *verify.Token
	namespace *verify.Namespace
	owner     *verify.Owner
	account   *verify.Owner // nil where the token acts as none
	malformed bool
}

// present makes a token that is good a minute after its issue, but for the edits.
func present(t *testing.T, edits ...func(*v1alpha1.TokenRecord)) *presented {
	t.Helper()
	rec, text := mint.Record(t, "shop", "deploy", issued, edits...)
	namespace := verify.NewNamespace("shop")
	namespace.SetLive(issued.Add(-time.Hour))
	owner := verify.NewOwner(rec.Spec.AccessTokenUID, "deploy", namespace)
	owner.SetState(verify.StateLive)
	var account *verify.Owner
	if rec.Spec.Subject.Kind == v1alpha1.SubjectKindServiceAccount {
		account = verify.NewAccount(rec.Spec.Subject.UID, rec.Spec.Subject.Name, namespace)
		account.SetState(verify.StateLive)
	}
	made := mint.TokenOf(t, rec, owner, account)
	p := &presented{T: t, token: made, namespace: namespace, owner: owner, account: account}
	p.request = verify.Request{Token: text, Audiences: []string{ours}, ClientIP: netip.MustParseAddr("192.0.2.7")}
	p.decider = &verify.Decider{
		Index: index{made.Key(): made}, Fresh: func(time.Time) error { return nil }, DefaultAudience: ours,
	}
	p.at(issued.Add(time.Minute))
	return p
}

func (p *presented) at(now time.Time) *presented {
	p.decider.Clock = fixed(now)
	return p
}

func fixed(now time.Time) clock.PassiveClock { return clocktesting.NewFakePassiveClock(now) }

func (p *presented) verify() (verify.Verdict, error) {
	if p.malformed {
		p.request.Token = p.request.Token[:min(len(p.request.Token), token.Length-1)] // whichever token it is
	}
	return p.decider.Verify(context.Background(), p.request)
}

// expect checks the reason, or that there is none and the token is active.
func (p *presented) expect(want verify.Reason) {
	p.Helper()
	verdict, err := p.verify()
	switch {
	case err != nil:
		p.Errorf("error %v, want %q", err, want)
	case verdict.Reason != want, verdict.Active() != (want == ""):
		p.Errorf("%q, active %v, want %q", verdict.Reason, verdict.Active(), want)
	case (verdict.Token != nil) != provedRight(want):
		p.Errorf("%q tells of the token: %v", want, verdict.Token != nil)
	}
}

// provedRight says that a holder of the secret only gets this answer.
func provedRight(reason verify.Reason) bool {
	return reason != verify.ReasonMalformed && reason != verify.ReasonUnknown && reason != verify.ReasonWrongSecret
}
