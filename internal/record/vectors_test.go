package record

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// vector is a known answer, made by another implementation than this one. They
// never change: a record that was sealed must keep opening.
type vector struct {
	Name            string          `json:"name"`
	ClusterID       string          `json:"clusterID"`
	KeyID           string          `json:"keyID"`
	Key             string          `json:"key"`
	Secret          string          `json:"secret"`
	Record          json.RawMessage `json:"record"`
	Canonical       string          `json:"canonical"`
	CanonicalDigest string          `json:"canonicalDigest"`
	Seal            string          `json:"seal"`
	Hash            string          `json:"hash"`
}

func readVectors(t testing.TB) []vector {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("testdata/vectors.json is empty")
	}
	return all
}

func vectorNamed(t testing.TB, name string) vector {
	t.Helper()
	for _, v := range readVectors(t) {
		if v.Name == name {
			return v
		}
	}
	t.Fatalf("there is no vector %q", name)
	return vector{}
}

const (
	minimalVector = "only what is required"
	fullVector    = "every field"
)

func (v vector) key() Key             { return Key(mustHex(v.Key)) }
func (v vector) keys() KeySet         { return KeySet{v.KeyID: v.key()} }
func (v vector) opener() Opener       { return Opener{Keys: v.keys(), ClusterID: v.ClusterID} }
func (v vector) secretDigest() digest { return sha256.Sum256([]byte(v.Secret)) }

// unsealed returns the record as it is before Seal.
func (v vector) unsealed(t testing.TB) *v1alpha1.TokenRecord {
	t.Helper()
	var rec v1alpha1.TokenRecord
	decoder := json.NewDecoder(bytes.NewReader(v.Record))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&rec); err != nil {
		t.Fatal(err)
	}
	return &rec
}

// sealed returns the record as the API server hands it out, created in the
// second of its issue.
func (v vector) sealed(t testing.TB) *v1alpha1.TokenRecord {
	t.Helper()
	rec := v.unsealed(t)
	if err := Seal(rec, v.KeyID, v.key(), v.ClusterID, v.secretDigest()); err != nil {
		t.Fatal(err)
	}
	rec.CreationTimestamp = metav1.NewTime(issuedAt(t, rec))
	text, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	var stored v1alpha1.TokenRecord
	if err := json.Unmarshal(text, &stored); err != nil {
		t.Fatal(err)
	}
	return &stored
}

func issuedAt(t testing.TB, rec *v1alpha1.TokenRecord) time.Time {
	t.Helper()
	at, err := rec.Spec.IssuedAt.Parse()
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func mustHex(text string) []byte {
	value, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return value
}

func TestSealGivesTheKnownAnswers(t *testing.T) {
	for _, v := range readVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			rec := v.sealed(t)
			at := place{v.ClusterID, rec.Namespace, rec.Name}
			encoded, err := canonical(&rec.Spec, at)
			if err != nil {
				t.Fatal(err)
			}
			sum, err := canonicalDigest(&rec.Spec, at)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				what, want, got string
			}{
				{"canonical encoding", v.Canonical, hex.EncodeToString(encoded)},
				{"its digest", v.CanonicalDigest, hex.EncodeToString(sum[:])},
				{"seal", v.Seal, rec.Spec.Seal},
				{"hash", v.Hash, rec.Spec.Hash},
			} {
				if c.got != c.want {
					t.Errorf("%s = %s, want %s", c.what, c.got, c.want)
				}
			}
			if rec.Spec.KeyID != v.KeyID {
				t.Errorf("spec.keyID = %s, want %s", rec.Spec.KeyID, v.KeyID)
			}
		})
	}
}

func TestTheKnownRecordsOpenAndVerifyTheirTokenOnly(t *testing.T) {
	for _, v := range readVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			rec := v.sealed(t)
			sealed, err := v.opener().Open(rec)
			if err != nil {
				t.Fatal(err)
			}
			if !sealed.Verify(v.secretDigest()) {
				t.Error("does not verify its own token")
			}
			for bit := range 8 * sha256.Size {
				other := v.secretDigest()
				other[bit/8] ^= 1 << (bit % 8)
				if sealed.Verify(other) {
					t.Errorf("verifies a digest that differs in bit %d", bit)
				}
			}
		})
	}
}

// TestANaiveImplementationAgrees holds the vectors and the documented layout
// against each other by code that shares nothing with the package: it walks the
// JSON of the record along the table of the documentation.
func TestANaiveImplementationAgrees(t *testing.T) {
	for _, v := range readVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			encoded := naiveCanonical(t, v)
			if got := hex.EncodeToString(encoded); got != v.Canonical {
				t.Fatalf("canonical encoding = %s, want %s", got, v.Canonical)
			}
			sum := sha256.Sum256(encoded)
			secret := sha256.Sum256([]byte(v.Secret))
			if got := naiveHMAC(v, "accesstoken.dev/seal/v1\x00", sum[:]); got != v.Seal {
				t.Errorf("seal = %s, want %s", got, v.Seal)
			}
			if got := naiveHMAC(v, "accesstoken.dev/token/v1\x00", sum[:], secret[:]); got != v.Hash {
				t.Errorf("hash = %s, want %s", got, v.Hash)
			}
		})
	}
}

func naiveHMAC(v vector, label string, parts ...[]byte) string {
	mac := hmac.New(sha256.New, mustHex(v.Key))
	mac.Write([]byte(label))
	for _, part := range parts {
		mac.Write(part)
	}
	return hex.EncodeToString(mac.Sum(nil))
}
