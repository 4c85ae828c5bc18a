package record

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// canonicalVersion begins every encoding. Another layout gets another number,
// and other labels in mac.go.
const canonicalVersion = 0x01

// place is where a record stands.
type place struct{ clusterID, namespace, name string }

// canonicalDigest returns the SHA-256 of the canonical encoding.
func canonicalDigest(spec *v1alpha1.TokenRecordSpec, at place) (digest, error) {
	encoded, err := canonical(spec, at)
	if err != nil {
		return digest{}, err
	}
	return sha256.Sum256(encoded), nil
}

// canonical returns the encoding of everything that a record says, save hash
// and seal. Two records that differ in more than the order of their networks
// never have the same. It fails with ErrMalformed for an instant that is not in
// the form of NewTimestamp, since two ways to write one would encode alike.
func canonical(spec *v1alpha1.TokenRecordSpec, at place) ([]byte, error) {
	e := encoder{out: append(make([]byte, 0, 1024), canonicalVersion)}
	e.text(tagClusterID, at.clusterID)
	e.text(tagNamespace, at.namespace)
	e.text(tagName, at.name)

	e.text(tagAccessTokenName, spec.AccessTokenName)
	e.text(tagAccessTokenUID, spec.AccessTokenUID)
	if spec.Revision != 0 {
		e.number(tagRevision, spec.Revision)
	}
	e.text(tagOrigin, string(spec.Origin))

	e.text(tagSubjectKind, string(spec.Subject.Kind))
	e.text(tagSubjectName, spec.Subject.Name)
	e.text(tagSubjectUID, spec.Subject.UID)
	list(&e, tagSubjectGroups, spec.Subject.Groups)

	list(&e, tagScopes, spec.Scopes)
	list(&e, tagAudiences, spec.Audiences)
	list(&e, tagAllowedCIDRs, sorted(spec.AllowedCIDRs))

	e.instant(tagIssuedAt, "spec.issuedAt", spec.IssuedAt)
	if spec.MaxAgeSeconds != nil {
		e.number(tagMaxAgeSeconds, *spec.MaxAgeSeconds)
	}
	e.instant(tagNotAfter, "spec.notAfter", spec.NotAfter)
	if spec.ExtendWhenUsed {
		e.number(tagExtendWhenUsed, 1)
	}

	if spec.Creator != nil {
		// Written even when empty: that there is a creator is a fact of its own.
		e.bytes(tagCreatorUsername, spec.Creator.Username)
		e.text(tagCreatorUID, spec.Creator.UID)
		e.text(tagCreatorChecked, string(spec.Creator.Checked))
		e.text(tagCreatorGroupsDigest, spec.Creator.GroupsDigest)
	}
	e.text(tagKeyID, spec.KeyID)
	return e.out, e.err
}

// encoder appends fields, and keeps the first error.
type encoder struct {
	out []byte
	err error
}

// bytes writes a field: tag, length as four bytes, big-endian, and the value.
func (e *encoder) bytes(t tag, value string) {
	e.out = append(e.out, byte(t))
	e.out = appendCounted(e.out, value)
}

// text writes a field that is absent when empty.
func (e *encoder) text(t tag, value string) {
	if value != "" {
		e.bytes(t, value)
	}
}

// number writes eight bytes, big-endian, two's complement.
func (e *encoder) number(t tag, value int64) {
	e.out = append(e.out, byte(t), 0, 0, 0, 8)
	e.out = binary.BigEndian.AppendUint64(e.out, uint64(value)) //nolint:gosec // two's complement, as documented
}

// instant writes the seconds since 1970-01-01T00:00:00Z as a number.
func (e *encoder) instant(t tag, field string, value v1alpha1.Timestamp) {
	if value == "" {
		return
	}
	at, err := value.Parse()
	switch {
	case err != nil:
		e.fail(fmt.Errorf("%w: %s: %w", ErrMalformed, field, err))
	case v1alpha1.NewTimestamp(at) != value:
		e.fail(fmt.Errorf("%w: %s: %q is not in whole seconds", ErrMalformed, field, string(value)))
	default:
		e.number(t, at.Unix())
	}
}

func (e *encoder) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

// list writes the number of items, and each item after its length. An absent
// list writes nothing, an empty one the number 0.
func list[T ~string](e *encoder, t tag, items []T) {
	if items == nil {
		return
	}
	e.out = append(e.out, byte(t), 0, 0, 0, 0)
	start := len(e.out)
	e.out = binary.BigEndian.AppendUint32(e.out, uint32(len(items))) //nolint:gosec // objects are far below 4 GiB
	for _, item := range items {
		e.out = appendCounted(e.out, string(item))
	}
	binary.BigEndian.PutUint32(e.out[start-4:], uint32(len(e.out)-start)) //nolint:gosec // objects are far below 4 GiB
}

// appendCounted appends a length and the text. An object of the API server is
// at most a few megabytes, so that no length comes near four bytes.
func appendCounted(out []byte, text string) []byte {
	out = binary.BigEndian.AppendUint32(out, uint32(len(text))) //nolint:gosec // objects are far below 4 GiB
	return append(out, text...)
}

// sorted returns the networks in the order of their bytes, and leaves those of
// the record as they are.
func sorted(networks []v1alpha1.CIDR) []v1alpha1.CIDR {
	if slices.IsSorted(networks) {
		return networks
	}
	networks = slices.Clone(networks)
	slices.Sort(networks)
	return networks
}
