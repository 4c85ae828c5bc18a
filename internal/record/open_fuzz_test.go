package record

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// FuzzOpen: no record that the API server could hand out makes Open or LifetimeOf
// panic, and the only ones that open are those that were sealed.
func FuzzOpen(f *testing.F) {
	bySeal := map[string]*v1alpha1.TokenRecord{}
	opener := vectorNamed(f, fullVector).opener()
	for _, v := range readVectors(f) {
		rec := v.sealed(f)
		bySeal[rec.Spec.Seal] = rec
		text, err := json.Marshal(rec)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, text := range []string{
		"{}", `{"spec":{"keyID":"k1","issuedAt":"9999-12-31T23:59:59Z","maxAgeSeconds":9223372036854775807}}`,
		`{"spec":{"keyID":"k1","allowedCIDRs":["","::/0"],"creator":{}},"status":{"revokedAt":"x","lastUsedAt":"0000-01-01T00:00:00Z"}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var rec v1alpha1.TokenRecord
		if json.Unmarshal(text, &rec) != nil {
			return
		}
		if life, err := LifetimeOf(&rec); err != nil && life != (Lifetime{hard: longAgo}) {
			t.Errorf("a lifetime beside the error %v", err)
		}
		opened, err := opener.Open(&rec)
		if err != nil {
			if !errors.Is(err, ErrKeyUnknown) && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrSealBroken) && !errors.Is(err, ErrReplayed) {
				t.Errorf("unknown error %v", err)
			}
			if opened != (Sealed{}) {
				t.Error("refused, and gave something")
			}
			return
		}
		original := bySeal[rec.Spec.Seal]
		if original == nil || encodingOf(t, opener, &rec) != encodingOf(t, opener, original) {
			t.Errorf("opens: %+v", rec)
		}
	})
}

func encodingOf(t *testing.T, opener Opener, rec *v1alpha1.TokenRecord) string {
	t.Helper()
	encoded, err := canonical(&rec.Spec, place{opener.ClusterID, rec.Namespace, rec.Name})
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

func TestTheZeroSealedIsOfNoKey(t *testing.T) {
	v := vectorNamed(t, fullVector)
	opened, err := v.opener().Open(v.sealed(t))
	if err != nil {
		t.Fatal(err)
	}
	if !opened.With(v.key()) || opened.With(Key{1}) || (Sealed{}).With(Key{}) || (Sealed{}).With(v.key()) {
		t.Error("sealed with another key")
	}
	if decoy := Decoy(); decoy.Verify(v.secretDigest()) || decoy.With(v.key()) {
		t.Error("the decoy verifies")
	}
	if size := reflect.TypeFor[Sealed]().Size(); size != 72 {
		t.Errorf("%d bytes", size)
	}
}
