package mint

import (
	"crypto/sha256"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

// KeyID names Key.
const KeyID = "20261124t090000z-test"

// ClusterID is that of no cluster.
const ClusterID = "0c6f5b1e-4d1c-4f0e-9f43-0f5b3f9f6f01"

// Key is what records are sealed with.
var Key = record.Key(sha256.Sum256([]byte("a key of tests")))

// Mint seals records.
type Mint struct {
	KeyID     string
	Key       record.Key
	ClusterID string
}

// Default seals with Key, in no cluster.
func Default() Mint { return Mint{KeyID: KeyID, Key: Key, ClusterID: ClusterID} }

// Opener opens what the mint sealed.
func (m Mint) Opener() record.Opener {
	return record.Opener{Keys: record.KeySet{m.KeyID: m.Key}, ClusterID: m.ClusterID}
}

// T is what is needed of a *testing.T, a *testing.B or of ginkgo's GinkgoT().
type T interface {
	Helper()
	Fatalf(format string, args ...any)
}

// UID is that of the AccessToken of this name, where a test makes none.
func UID(namespace, name string) types.UID {
	sum := sha256.Sum256([]byte(namespace + "/" + name))
	return types.UID(fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16]))
}

// Unsealed is the record of a token that is its own principal, never expires, may
// be used for everything and from everywhere, was issued at this moment and
// created with it.
func Unsealed(namespace, name string, uid types.UID, revision int64, issued time.Time) *v1alpha1.TokenRecord {
	return &v1alpha1.TokenRecord{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "TokenRecord"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: token.DeclaredID(string(uid), revision), ResourceVersion: "1",
			CreationTimestamp: metav1.NewTime(issued.Truncate(time.Second)),
		},
		Spec: v1alpha1.TokenRecordSpec{
			AccessTokenName: name, AccessTokenUID: string(uid), Revision: revision, Origin: v1alpha1.OriginDeclared,
			Subject: v1alpha1.Subject{
				Kind: v1alpha1.SubjectKindAccessToken, Name: "accesstoken:" + namespace + ":" + name, UID: string(uid),
				Groups: []string{"accesstokens", "accesstokens:" + namespace},
			},
			IssuedAt: v1alpha1.NewTimestamp(issued),
		},
	}
}

// Seal seals a record and returns the text of its token, which is the same
// whenever the ID is.
func (m Mint) Seal(t T, rec *v1alpha1.TokenRecord) (text string) {
	t.Helper()
	made, err := token.Generate(rec.Name, mathrand.NewChaCha8(sha256.Sum256([]byte(rec.Name))))
	if err != nil {
		t.Fatalf("generate token: %v", err)
	}
	if err := record.Seal(rec, m.KeyID, m.Key, m.ClusterID, made.SecretDigest()); err != nil {
		t.Fatalf("seal record: %v", err)
	}
	return made.Reveal()
}

// Unissued is a well-formed token of this ID that nobody issued: one with another
// secret, where the Default mint made one.
func Unissued(t T, id string) (text string) {
	t.Helper()
	made, err := token.Generate(id, mathrand.NewChaCha8(sha256.Sum256([]byte("another than that of "+id))))
	if err != nil {
		t.Fatalf("generate token: %v", err)
	}
	return made.Reveal()
}

// Declared is the record of the first token of an AccessToken at the API server, as
// the manager creates it, and its token. The edits are made before it is sealed.
func (m Mint) Declared(t T, declared *v1alpha1.AccessToken, issued time.Time, edits ...Edit) (rec *v1alpha1.TokenRecord, text string) {
	t.Helper()
	rec = Unsealed(declared.Namespace, declared.Name, declared.UID, 1, issued)
	for _, edit := range edits {
		edit(rec)
	}
	text = m.Seal(t, rec)
	rec.ResourceVersion, rec.CreationTimestamp = "", metav1.Time{}
	return rec, text
}

// Record is a record of the Default mint and its token. The edits are made before
// it is sealed.
func Record(t T, namespace, name string, issued time.Time, edits ...Edit) (rec *v1alpha1.TokenRecord, text string) {
	t.Helper()
	rec = Unsealed(namespace, name, UID(namespace, name), 1, issued)
	for _, edit := range edits {
		edit(rec)
	}
	return rec, Default().Seal(t, rec)
}
