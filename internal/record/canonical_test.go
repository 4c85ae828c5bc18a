package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// The decoder below exists to show that there can be one: where everything can
// be read back, no two records encode alike. It accepts canonical encodings
// only.

type field struct {
	tag   tag
	value []byte
}

// split reads the version and the fields, whose tags have to ascend.
func split(encoded []byte) ([]field, error) {
	if len(encoded) == 0 || encoded[0] != 1 {
		return nil, errors.New("unknown version")
	}
	var fields []field
	last := tag(0)
	for rest := encoded[1:]; len(rest) > 0; {
		t := tag(rest[0])
		if t <= last {
			return nil, fmt.Errorf("tag 0x%02x after 0x%02x", byte(t), byte(last))
		}
		last = t
		value, after, err := counted(rest[1:])
		if err != nil {
			return nil, err
		}
		fields, rest = append(fields, field{t, value}), after
	}
	return fields, nil
}

func counted(in []byte) (value, rest []byte, err error) {
	if len(in) < 4 || uint64(binary.BigEndian.Uint32(in)) > uint64(len(in)-4) {
		return nil, nil, errors.New("cut short")
	}
	end := 4 + binary.BigEndian.Uint32(in)
	return in[4:end], in[end:], nil
}

func decode(encoded []byte) (spec v1alpha1.TokenRecordSpec, at place, err error) {
	fields, err := split(encoded)
	if err != nil {
		return spec, at, err
	}
	for _, f := range fields {
		if err := decodeField(&spec, &at, f); err != nil {
			return spec, at, fmt.Errorf("tag 0x%02x: %w", byte(f.tag), err)
		}
	}
	return spec, at, nil
}

func decodeField(spec *v1alpha1.TokenRecordSpec, at *place, f field) error {
	texts := map[tag]*string{
		tagClusterID: &at.clusterID, tagNamespace: &at.namespace, tagName: &at.name,
		tagAccessTokenName: &spec.AccessTokenName, tagAccessTokenUID: &spec.AccessTokenUID,
		tagOrigin:      (*string)(&spec.Origin),
		tagSubjectKind: (*string)(&spec.Subject.Kind), tagSubjectName: &spec.Subject.Name, tagSubjectUID: &spec.Subject.UID,
		tagKeyID: &spec.KeyID,
	}
	instants := map[tag]*v1alpha1.Timestamp{tagIssuedAt: &spec.IssuedAt, tagNotAfter: &spec.NotAfter}
	lists := map[tag]*[]string{tagSubjectGroups: &spec.Subject.Groups, tagScopes: &spec.Scopes, tagAudiences: &spec.Audiences}
	var err error
	switch {
	case texts[f.tag] != nil:
		return decodeText(f.value, texts[f.tag])
	case instants[f.tag] != nil:
		return decodeInstant(f.value, instants[f.tag])
	case lists[f.tag] != nil:
		*lists[f.tag], err = decodeList[string](f.value)
		return err
	}
	switch f.tag {
	case tagRevision:
		if spec.Revision, err = decodeNumber(f.value); err == nil && spec.Revision == 0 {
			err = errors.New("an absent number is written")
		}
	case tagMaxAgeSeconds:
		var age int64
		age, err = decodeNumber(f.value)
		spec.MaxAgeSeconds = &age
	case tagExtendWhenUsed:
		var one int64
		if one, err = decodeNumber(f.value); err == nil && one != 1 {
			err = errors.New("an absent flag is written")
		}
		spec.ExtendWhenUsed = true
	case tagAllowedCIDRs:
		if spec.AllowedCIDRs, err = decodeList[v1alpha1.CIDR](f.value); err == nil && !slices.IsSorted(spec.AllowedCIDRs) {
			err = errors.New("not sorted")
		}
	case tagCreatorUsername:
		spec.Creator = &v1alpha1.Creator{Username: string(f.value)}
	case tagCreatorUID:
		if spec.Creator == nil {
			return errors.New("no user name before it")
		}
		return decodeText(f.value, &spec.Creator.UID)
	case tagCreatorChecked:
		if spec.Creator == nil {
			return errors.New("no user name before it")
		}
		var checked string
		err = decodeText(f.value, &checked)
		spec.Creator.Checked = v1alpha1.CreatorCheck(checked)
	case tagCreatorGroupsDigest:
		if spec.Creator == nil {
			return errors.New("no user name before it")
		}
		return decodeText(f.value, &spec.Creator.GroupsDigest)
	default:
		err = errors.New("unknown")
	}
	return err
}

func decodeText(value []byte, to *string) error {
	if len(value) == 0 {
		return errors.New("an absent text is written")
	}
	*to = string(value)
	return nil
}

func decodeNumber(value []byte) (int64, error) {
	if len(value) != 8 {
		return 0, errors.New("not eight bytes")
	}
	return int64(binary.BigEndian.Uint64(value)), nil
}

func decodeInstant(value []byte, to *v1alpha1.Timestamp) error {
	seconds, err := decodeNumber(value)
	if err != nil {
		return err
	}
	*to = v1alpha1.NewTimestamp(time.Unix(seconds, 0))
	if at, err := to.Parse(); err != nil || at.Unix() != seconds {
		return errors.New("not an instant that can be written")
	}
	return nil
}

func decodeList[T ~string](value []byte) ([]T, error) {
	if len(value) < 4 {
		return nil, errors.New("cut short")
	}
	count, rest := binary.BigEndian.Uint32(value), value[4:]
	items := []T{}
	for len(rest) > 0 {
		var item []byte
		var err error
		if item, rest, err = counted(rest); err != nil {
			return nil, err
		}
		items = append(items, T(item))
	}
	if uint64(len(items)) != uint64(count) {
		return nil, errors.New("the count does not fit")
	}
	return items, nil
}

// anyList draws an absent, an empty or a filled list.
func anyList[T ~string](t *rapid.T, label string) []T {
	item := rapid.Map(rapid.String(), func(text string) T { return T(text) })
	return rapid.OneOf(rapid.Just([]T(nil)), rapid.SliceOfN(item, 0, 4)).Draw(t, label)
}

func anyInstant(t *rapid.T, label string) v1alpha1.Timestamp {
	instant := rapid.Map(rapid.Int64Range(-62167219200, lastSecond), func(seconds int64) v1alpha1.Timestamp {
		return v1alpha1.NewTimestamp(time.Unix(seconds, 0))
	})
	return rapid.OneOf(rapid.Just(v1alpha1.Timestamp("")), instant).Draw(t, label)
}

// anyRecord draws what the types can hold, whether it makes sense or not.
func anyRecord(t *rapid.T) (v1alpha1.TokenRecordSpec, place) {
	text := func(label string) string { return rapid.String().Draw(t, label) }
	spec := v1alpha1.TokenRecordSpec{
		AccessTokenName: text("accessTokenName"),
		AccessTokenUID:  text("accessTokenUID"),
		Revision:        rapid.Int64().Draw(t, "revision"),
		Origin:          v1alpha1.Origin(text("origin")),
		Subject: v1alpha1.Subject{
			Kind: v1alpha1.SubjectKind(text("kind")), Name: text("subject"), UID: text("uid"), Groups: anyList[string](t, "groups"),
		},
		Scopes:        anyList[string](t, "scopes"),
		Audiences:     anyList[string](t, "audiences"),
		AllowedCIDRs:  anyList[v1alpha1.CIDR](t, "allowedCIDRs"),
		IssuedAt:      anyInstant(t, "issuedAt"),
		MaxAgeSeconds: rapid.Ptr(rapid.Int64(), true).Draw(t, "maxAgeSeconds"),
		NotAfter:      anyInstant(t, "notAfter"),

		ExtendWhenUsed: rapid.Bool().Draw(t, "extendWhenUsed"),
		KeyID:          text("keyID"),
	}
	if rapid.Bool().Draw(t, "creator") {
		spec.Creator = &v1alpha1.Creator{Username: text("username"), UID: text("creator uid"), Checked: v1alpha1.CreatorCheck(text("checked")), GroupsDigest: text("groups digest")}
	}
	return spec, place{text("cluster"), text("namespace"), text("name")}
}

func checkReadsBack(t *rapid.T) {
	spec, at := anyRecord(t)
	written := slices.Clone(spec.AllowedCIDRs)
	encoded, err := canonical(&spec, at)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(written, spec.AllowedCIDRs) {
		t.Error("encoding sorted the networks of the record itself")
	}
	gotSpec, gotPlace, err := decode(encoded)
	if err != nil {
		t.Fatalf("%x: %v", encoded, err)
	}
	slices.Sort(spec.AllowedCIDRs)
	if !reflect.DeepEqual(gotSpec, spec) || gotPlace != at {
		t.Fatalf("read back %+v at %+v, want %+v at %+v", gotSpec, gotPlace, spec, at)
	}
}

func TestEveryEncodingReadsBack(t *testing.T) { rapid.Check(t, checkReadsBack) }

func FuzzEncodingReadsBack(f *testing.F) { f.Fuzz(rapid.MakeFuzz(checkReadsBack)) }

// FuzzDecode: whatever reads as an encoding is the only one of its record.
func FuzzDecode(f *testing.F) {
	for _, v := range readVectors(f) {
		f.Add(mustHex(v.Canonical))
	}
	f.Fuzz(func(t *testing.T, encoded []byte) {
		spec, at, err := decode(encoded)
		if err != nil {
			return
		}
		again, err := canonical(&spec, at)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again, encoded) {
			t.Errorf("%x and %x read as the same record", encoded, again)
		}
	})
}

func TestTheOrderOfNetworksDoesNotMatter(t *testing.T) {
	v := vectorNamed(t, "networks out of order, scopes in their order")
	rec := v.sealed(t)
	slices.Reverse(rec.Spec.AllowedCIDRs)
	if _, err := v.opener().Open(rec); err != nil {
		t.Error(err)
	}
	slices.Reverse(rec.Spec.Scopes)
	if _, err := v.opener().Open(rec); !errors.Is(err, ErrSealBroken) {
		t.Errorf("scopes in another order: error %v, want %v", err, ErrSealBroken)
	}
}

func TestInstantsHaveOneEncodingOnly(t *testing.T) {
	for _, text := range []v1alpha1.Timestamp{
		"2026-11-24T09:00:00.0Z", "2026-11-24T09:00:00.5Z", "2026-11-24T09:00:00+00:00", "2026-11-24T09:00:60Z",
		"2026-11-24", "2026-11-24T24:00:00Z", "2026-02-30T09:00:00Z", "x",
	} {
		for name, spec := range map[string]v1alpha1.TokenRecordSpec{
			"issuedAt": {IssuedAt: text}, "notAfter": {NotAfter: text},
		} {
			if _, err := canonical(&spec, place{}); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s %s: error %v, want %v", name, text, err, ErrMalformed)
			}
		}
	}
}
