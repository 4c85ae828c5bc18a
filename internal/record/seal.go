package record

import (
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// GoodOnceTolerance is how far a record's creationTimestamp, which the API
// server sets, may lie from its sealed issuedAt to either side. It has room for
// clocks that differ and requests that are repeated; what is made from a backup
// or a copy comes later.
const GoodOnceTolerance = 5 * time.Minute

var (
	// ErrMalformed says that a record is incomplete or has a value that cannot
	// be read.
	ErrMalformed = errors.New("malformed record")

	// ErrKeyUnknown says that the key that a record was sealed with is not, or
	// no longer, there.
	ErrKeyUnknown = errors.New("key unknown")

	// ErrSealBroken says that a record is not as it was sealed: edited, or
	// copied from another namespace or cluster.
	ErrSealBroken = errors.New("seal broken")

	// ErrReplayed says that a record was not created when its token was issued:
	// it was deleted and made again, or restored from a backup.
	ErrReplayed = errors.New("record replayed")
)

// Seal sets spec.keyID, spec.hash and spec.seal of a record whose namespace,
// name and other spec fields are set. The cluster ID is the UID of the
// namespace kube-system; the digest is that of the token's secret. It fails
// with ErrMalformed, and leaves the record alone, where something is missing or
// is not written in the one canonical way: it normalises nothing.
func Seal(rec *v1alpha1.TokenRecord, keyID string, key Key, clusterID string, secretDigest [32]byte) error {
	if key == (Key{}) {
		return malformed("the key %q is all zeros", keyID)
	}
	if secretDigest == (digest{}) {
		return malformed("there is no token: the digest of its secret is all zeros")
	}
	spec := rec.Spec
	spec.KeyID = keyID
	at := place{clusterID, rec.Namespace, rec.Name}
	if err := check(&spec, at); err != nil {
		return err
	}
	sum, err := canonicalDigest(&spec, at)
	if err != nil {
		return err
	}
	keyed := newMACKey(key)
	hash, seal := keyed.hashOf(&sum, &secretDigest), keyed.sealOf(&sum)
	spec.Hash, spec.Seal = hex.EncodeToString(hash[:]), hex.EncodeToString(seal[:])
	rec.Spec = spec
	return nil
}

// Opener opens records. It may be copied, and used concurrently as far as its
// Keys may.
type Opener struct {
	// Keys are those with which records may be sealed. Required.
	Keys Keys

	// ClusterID is the UID of the namespace kube-system. Required: with another
	// one every seal is broken.
	ClusterID string

	// Tolerance is how far creation may lie from issue. Zero means
	// GoodOnceTolerance.
	Tolerance time.Duration
}

// Open checks that a record, as it was read from the API server, is what this
// project sealed for this place and is the first of its making. It fails with
// ErrKeyUnknown, ErrMalformed, ErrSealBroken or ErrReplayed, in this order. It
// does not look at the status and knows no time: see Ended.
func (o Opener) Open(rec *v1alpha1.TokenRecord) (Sealed, error) {
	key, ok := o.Keys.Key(rec.Spec.KeyID)
	if !ok {
		return Sealed{}, fmt.Errorf("%w: spec.keyID %q", ErrKeyUnknown, rec.Spec.KeyID)
	}
	sum, err := canonicalDigest(&rec.Spec, place{o.ClusterID, rec.Namespace, rec.Name})
	if err != nil {
		return Sealed{}, err
	}
	keyed := newMACKey(key)
	if seal := keyed.sealOf(&sum); subtle.ConstantTimeCompare([]byte(hex.EncodeToString(seal[:])), []byte(rec.Spec.Seal)) != 1 {
		return Sealed{}, ErrSealBroken
	}
	if err := o.checkGoodOnce(rec); err != nil {
		return Sealed{}, err
	}
	return newSealed(keyed, sum, rec.Spec.Hash), nil
}

func (o Opener) checkGoodOnce(rec *v1alpha1.TokenRecord) error {
	issued, err := rec.Spec.IssuedAt.Parse()
	if err != nil {
		return malformed("spec.issuedAt: %w", err)
	}
	tolerance := o.Tolerance
	if tolerance == 0 {
		tolerance = GoodOnceTolerance
	}
	if apart := rec.CreationTimestamp.Sub(issued).Abs(); apart > tolerance {
		return fmt.Errorf("%w: created at %s for a token issued at %s, more than %s apart",
			ErrReplayed, v1alpha1.NewTimestamp(rec.CreationTimestamp.Time), rec.Spec.IssuedAt, tolerance)
	}
	return nil
}

// Sealed is what a record that opened can verify, in 72 bytes. The zero Sealed
// verifies nothing.
type Sealed struct {
	canonical digest
	hash      digest
	key       macKey
}

// Decoy returns a Sealed that verifies nothing and takes as long over it as any
// other: for a token of which there is no record.
func Decoy() Sealed { return newSealed(newMACKey(Key{1}), digest{}, "") }

// newSealed takes an edited hash, which is no digest, for one that no token has:
// the record opens, and verifies nothing in the same time as any other.
func newSealed(key macKey, canonical digest, hashText string) Sealed {
	s := Sealed{canonical: canonical, key: key}
	if hash, err := hex.DecodeString(hashText); err == nil && len(hash) == len(s.hash) {
		s.hash = digest(hash)
	}
	return s
}

// With says that the record was sealed with this key.
func (s Sealed) With(key Key) bool { return s.key.is(key) }

// Verify reports whether a presented secret, by its digest, is the one that the
// record was sealed for. It takes the same time whatever the digest, and does
// not allocate. It does not look at ends, networks or audiences.
func (s Sealed) Verify(secretDigest [32]byte) bool {
	if s.key.absent() {
		return false
	}
	hash := s.key.hashOf(&s.canonical, &secretDigest)
	// No token has a hash of zeros: it stands for one that cannot be read.
	return equal(&hash, &s.hash) && s.hash != digest{}
}
