package sealed

import (
	"crypto/rand"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

const (
	// ClusterID is what records are sealed to.
	ClusterID = "11111111-2222-3333-4444-555555555555"

	// KeyID names the key that they are sealed with.
	KeyID = "20260101t000000z-testtest"
)

// T is what is needed of a *testing.T, a *testing.B or of ginkgo's GinkgoT().
type T interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Keys holds the key.
func Keys() record.KeySet { return record.KeySet{KeyID: record.Key{1, 2, 3}} }

// Opener opens the records.
func Opener() record.Opener { return record.Opener{Keys: Keys(), ClusterID: ClusterID} }

// Token makes the first token of an AccessToken and its record, as the API server
// shows it: issued and created at an instant, with resource version 1. Changes are
// made before it is sealed; one that limits the age has to set the end too. Before
// the record is created at an API server, its ResourceVersion has to go.
func Token(t T, namespace, name, uid string, issuedAt time.Time, changes ...func(*v1alpha1.TokenRecord)) (plaintext string, rec *v1alpha1.TokenRecord) {
	t.Helper()
	made, err := token.Generate(token.DeclaredID(uid, 1), rand.Reader)
	if err != nil {
		t.Fatalf("generate token: %v", err)
	}
	rec = &v1alpha1.TokenRecord{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: made.ID(), ResourceVersion: "1", CreationTimestamp: metav1.NewTime(issuedAt.Truncate(time.Second)),
		},
		Spec: v1alpha1.TokenRecordSpec{
			AccessTokenName: name, AccessTokenUID: uid, Revision: 1, Origin: v1alpha1.OriginDeclared,
			Subject: v1alpha1.Subject{
				Kind: v1alpha1.SubjectKindAccessToken, Name: v1alpha1.PrincipalPrefix + namespace + ":" + name, UID: uid,
				Groups: []string{v1alpha1.GroupAccessTokens, v1alpha1.GroupAccessTokens + ":" + namespace},
			},
			IssuedAt: v1alpha1.NewTimestamp(issuedAt),
		},
	}
	for _, change := range changes {
		change(rec)
	}
	if err := record.Seal(rec, KeyID, Keys()[KeyID], ClusterID, made.SecretDigest()); err != nil {
		t.Fatalf("seal record: %v", err)
	}
	return made.Reveal(), rec
}

// Sliding makes use extend a token by an age, up to a hard end.
func Sliding(age, lifetime time.Duration) func(*v1alpha1.TokenRecord) {
	return func(rec *v1alpha1.TokenRecord) {
		Aging(age)(rec)
		rec.Spec.ExtendWhenUsed = true
		rec.Spec.NotAfter = endOf(rec, lifetime)
	}
}

// Aging makes a token end at an age.
func Aging(age time.Duration) func(*v1alpha1.TokenRecord) {
	return func(rec *v1alpha1.TokenRecord) {
		seconds := int64(age / time.Second)
		rec.Spec.MaxAgeSeconds = &seconds
		rec.Spec.NotAfter = endOf(rec, age)
	}
}

func endOf(rec *v1alpha1.TokenRecord, age time.Duration) v1alpha1.Timestamp {
	issued, err := rec.Spec.IssuedAt.Parse()
	if err != nil {
		return ""
	}
	return v1alpha1.NewTimestamp(issued.Add(age))
}
