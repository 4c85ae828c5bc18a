package mint

import (
	"context"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// DefaultAudience is that of tokens without one, where the Decider of an Index
// decides.
const DefaultAudience = "accesstoken.dev"

// Token is what a verifier keeps of a record that the Default mint sealed, and
// that has seen its AccessToken, its namespace and its service account.
func Token(t T, rec *v1alpha1.TokenRecord) *verify.Token {
	t.Helper()
	namespace := verify.NewNamespace(rec.Namespace)
	namespace.SetState(verify.StateLive)
	owner := verify.NewOwner(rec.Spec.AccessTokenUID, rec.Spec.AccessTokenName, namespace)
	owner.SetState(verify.StateLive)
	var account *verify.Owner
	if subject := &rec.Spec.Subject; subject.Kind == v1alpha1.SubjectKindServiceAccount {
		account = verify.NewAccount(subject.UID, subject.Name, namespace)
		account.SetState(verify.StateLive)
	}
	return TokenOf(t, rec, owner, account)
}

// TokenOf is Token of an owner and an account that the test knows, the latter nil
// for other subjects.
func TokenOf(t T, rec *v1alpha1.TokenRecord, owner, account *verify.Owner) *verify.Token {
	t.Helper()
	opened, err := Default().Opener().Open(rec)
	if err != nil {
		t.Fatalf("open record: %v", err)
	}
	made, err := verify.NewToken(rec, opened, owner, account)
	if err != nil {
		t.Fatalf("make token of record: %v", err)
	}
	return made
}

// Index finds tokens of the Default mint by their IDs, as a verifier that has seen
// their records, AccessTokens and namespaces. It is safe for concurrent use.
type Index struct {
	t      T
	tokens sync.Map // *verify.Token by token.ID
}

// NewIndex makes an Index that knows these records.
func NewIndex(t T, records ...*v1alpha1.TokenRecord) *Index {
	i := &Index{t: t}
	for _, rec := range records {
		i.Put(rec)
	}
	return i
}

// Put takes in a record as it is now.
func (i *Index) Put(rec *v1alpha1.TokenRecord) {
	i.t.Helper()
	made := Token(i.t, rec)
	i.tokens.Store(made.Key(), made)
}

// Delete forgets a record.
func (i *Index) Delete(rec *v1alpha1.TokenRecord) {
	if id, err := token.ParseID(rec.Name); err == nil {
		i.tokens.Delete(id)
	}
}

// Issue makes a token known and returns its text: that of Record.
func (i *Index) Issue(namespace, name string, issued time.Time, edits ...Edit) (text string) {
	i.t.Helper()
	rec, text := Record(i.t, namespace, name, issued, edits...)
	i.Put(rec)
	return text
}

// Lookup implements verify.Index.
func (i *Index) Lookup(id token.ID) *verify.Token {
	found, ok := i.tokens.Load(id)
	if !ok {
		return nil
	}
	return found.(*verify.Token) //nolint:forcetypeassert // nothing else is put in
}

// Decider decides about the tokens, by this clock.
func (i *Index) Decider(now clock.PassiveClock) *verify.Decider {
	return &verify.Decider{
		Index: i, Clock: now, DefaultAudience: DefaultAudience,
		Fresh: func(time.Time) error { return nil },
	}
}

// Spy is a Verifier that notes what it is asked and answers. Not for concurrent
// use.
type Spy struct {
	verify.Verifier

	// Asked are the requests, and Answered the verdicts, the first first.
	Asked    []verify.Request
	Answered []verify.Verdict
}

// Verify implements verify.Verifier.
func (s *Spy) Verify(ctx context.Context, request verify.Request) (verify.Verdict, error) {
	verdict, err := s.Verifier.Verify(ctx, request)
	s.Asked, s.Answered = append(s.Asked, request), append(s.Answered, verdict)
	return verdict, err
}
