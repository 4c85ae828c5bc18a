package tokens

import (
	"context"
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// DefaultAudience is that of tokens which name no audience.
const DefaultAudience = "accesstoken.dev"

// Namespace is where all tokens are.
const Namespace = "shop"

const (
	keyID     = "test"
	clusterID = "5d6d6ab7-0000-4000-8000-000000000001"
)

var key = record.Key{1, 2, 3}

// Issuer holds the tokens that it issued. Issue before anybody verifies.
type Issuer struct {
	now       time.Time
	namespace *verify.Namespace
	index     index
}

type index map[token.ID]*verify.Token

// Lookup implements verify.Index.
func (i index) Lookup(id token.ID) *verify.Token { return i[id] }

// New makes an Issuer without tokens. What it issues is issued now.
func New(now time.Time) *Issuer {
	i := &Issuer{now: now.Truncate(time.Second), namespace: verify.NewNamespace(Namespace), index: index{}}
	i.namespace.SetState(verify.StateLive)
	return i
}

// Issue issues a token for an AccessToken of this name and returns its text.
// The spec says what differs from a token that is its own principal and ends an
// hour after its issue.
func (i *Issuer) Issue(tb testing.TB, name string, spec v1alpha1.TokenRecordSpec) string {
	tb.Helper()
	rec := i.record(name, spec)
	plaintext, err := token.Generate(rec.Name, rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	if err := record.Seal(rec, keyID, key, clusterID, plaintext.SecretDigest()); err != nil {
		tb.Fatal(err)
	}
	sealed, err := record.Opener{Keys: record.KeySet{keyID: key}, ClusterID: clusterID}.Open(rec)
	if err != nil {
		tb.Fatal(err)
	}
	owner := verify.NewOwner(rec.Spec.AccessTokenUID, name, i.namespace)
	owner.SetState(verify.StateLive)
	issued, err := verify.NewToken(rec, sealed, owner, nil)
	if err != nil {
		tb.Fatal(err)
	}
	i.index[issued.Key()] = issued
	return plaintext.Reveal()
}

func (i *Issuer) record(name string, spec v1alpha1.TokenRecordSpec) *v1alpha1.TokenRecord {
	hour := int64(time.Hour / time.Second)
	spec.Origin, spec.AccessTokenName, spec.Revision = v1alpha1.OriginDeclared, name, 1
	spec.AccessTokenUID = fmt.Sprintf("5d6d6ab7-0000-4000-8000-%012d", 100+len(i.index))
	if spec.Subject.Name == "" {
		spec.Subject = v1alpha1.Subject{
			Kind: v1alpha1.SubjectKindAccessToken, Name: v1alpha1.PrincipalPrefix + Namespace + ":" + name, UID: spec.AccessTokenUID,
			Groups: []string{"accesstokens", "accesstokens:" + Namespace},
		}
	}
	if spec.IssuedAt == "" {
		spec.IssuedAt = v1alpha1.NewTimestamp(i.now)
	}
	if spec.MaxAgeSeconds == nil {
		spec.MaxAgeSeconds = &hour
	}
	issued, err := spec.IssuedAt.Parse()
	if err != nil {
		issued = i.now // Seal says what is wrong with it
	}
	return &v1alpha1.TokenRecord{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: Namespace, Name: token.DeclaredID(spec.AccessTokenUID, 1),
			ResourceVersion: "1", CreationTimestamp: metav1.NewTime(issued),
		},
		Spec: spec,
	}
}

// Verifier decides about the tokens, by this clock.
func (i *Issuer) Verifier(clock clock.PassiveClock) verify.Verifier {
	return &verify.Decider{
		Index: i.index, Clock: clock, DefaultAudience: DefaultAudience,
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
