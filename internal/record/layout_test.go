package record

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// row is a line of the table of tags in docs/token-format.md.
type row struct {
	tag   tag
	field string
	kind  string // text, number, instant, list, sorted list; or reserved
}

var rowPattern = regexp.MustCompile("(?m)^\\| `0x([0-9a-f]{2})` \\| `([^`]+)` \\| ([a-z ]+) \\|")

func documentation(t testing.TB) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/token-format.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

func documentedLayout(t testing.TB) []row {
	t.Helper()
	var rows []row
	for _, match := range rowPattern.FindAllStringSubmatch(documentation(t), -1) {
		number, err := strconv.ParseUint(match[1], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row{tag(number), match[2], match[3]})
	}
	if len(rows) == 0 {
		t.Fatal("docs/token-format.md has no table of tags")
	}
	return rows
}

// tags are all that tags.go declares.
var tags = map[tag]string{
	tagClusterID:          "cluster ID",
	tagNamespace:          "metadata.namespace",
	tagName:               "metadata.name",
	tagAccessTokenName:    "spec.accessTokenName",
	tagAccessTokenUID:     "spec.accessTokenUID",
	tagRevision:           "spec.revision",
	tagOrigin:             "spec.origin",
	tagFamily:             "spec.family",
	tagSubjectKind:        "spec.subject.kind",
	tagSubjectName:        "spec.subject.name",
	tagSubjectUID:         "spec.subject.uid",
	tagSubjectGroups:      "spec.subject.groups",
	tagSubjectOnRecreate:  "spec.subject.onRecreate",
	tagScopes:             "spec.scopes",
	tagAudiences:          "spec.audiences",
	tagAllowedCIDRs:       "spec.allowedCIDRs",
	tagIssuedAt:           "spec.issuedAt",
	tagMaxAgeSeconds:      "spec.maxAgeSeconds",
	tagNotAfter:           "spec.notAfter",
	tagExtendWhenUsed:     "spec.extendWhenUsed",
	tagMaxLifetimeSeconds: "spec.maxLifetimeSeconds",
	tagCreatorUsername:    "spec.creator.username",
	tagCreatorUID:         "spec.creator.uid",
	tagCreatorChecked:     "spec.creator.checked",

	tagCreatorGroupsDigest: "spec.creator.groupsDigest",
	tagKeyID:               "spec.keyID",
}

func TestTheDocumentedTagsAreThoseOfTheCode(t *testing.T) {
	documented := map[tag]string{}
	var reserved []tag
	last := tag(0)
	for _, r := range documentedLayout(t) {
		if r.tag <= last {
			t.Errorf("0x%02x after 0x%02x: tags ascend", r.tag, last)
		}
		last = r.tag
		documented[r.tag] = r.field
		if r.kind == "reserved" {
			reserved = append(reserved, r.tag)
		}
	}
	if !maps.Equal(documented, tags) {
		t.Errorf("documented %v, declared %v", documented, tags)
	}

	v := vectorNamed(t, fullVector)
	rec := v.sealed(t)
	encoded, err := canonical(&rec.Spec, place{v.ClusterID, rec.Namespace, rec.Name})
	if err != nil {
		t.Fatal(err)
	}
	fields, err := split(encoded)
	if err != nil {
		t.Fatal(err)
	}
	for tag := range tags {
		written := slices.ContainsFunc(fields, func(f field) bool { return f.tag == tag })
		if written == slices.Contains(reserved, tag) {
			t.Errorf("0x%02x %s: written %v, reserved %v", byte(tag), tags[tag], written, !written)
		}
	}
	if len(fields) != len(tags)-len(reserved) {
		t.Errorf("%d fields written, want %d", len(fields), len(tags)-len(reserved))
	}
}

func TestTheDocumentationShowsTheKnownAnswers(t *testing.T) {
	page := documentation(t)
	v := vectorNamed(t, minimalVector)
	for what, want := range map[string]string{
		"key": v.Key, "secret": v.Secret, "digest of the encoding": v.CanonicalDigest, "seal": v.Seal, "hash": v.Hash,
		"cluster ID": v.ClusterID,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("docs/token-format.md lacks the %s %s", what, want)
		}
	}
}

// naiveCanonical builds the encoding of a vector from the JSON of its record
// and the documented table.
func naiveCanonical(t *testing.T, v vector) []byte {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(v.Record))
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		t.Fatal(err)
	}
	object["cluster ID"] = v.ClusterID
	object["spec"].(map[string]any)["keyID"] = v.KeyID

	out := bytes.NewBuffer([]byte{1})
	for _, r := range documentedLayout(t) {
		value := lookUp(object, r.field)
		if value == nil || r.kind == "reserved" {
			continue
		}
		encoded := naiveValue(t, r.kind, value)
		out.WriteByte(byte(r.tag))
		naiveWrite(out, uint32(len(encoded)), encoded)
	}
	return out.Bytes()
}

func lookUp(object map[string]any, path string) any {
	var value any = object
	for _, name := range strings.Split(path, ".") {
		inner, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = inner[name]
	}
	return value
}

func naiveValue(t *testing.T, kind string, value any) []byte {
	t.Helper()
	var out bytes.Buffer
	switch kind {
	case "text":
		out.WriteString(value.(string))
	case "number":
		number, err := value.(json.Number).Int64()
		if err != nil {
			t.Fatal(err)
		}
		naiveWrite(&out, number)
	case "flag":
		if value == true {
			naiveWrite(&out, int64(1))
		}
	case "instant":
		at, err := time.Parse(time.RFC3339, value.(string))
		if err != nil {
			t.Fatal(err)
		}
		naiveWrite(&out, at.Unix())
	case "list", "sorted list":
		var items []string
		for _, item := range value.([]any) {
			items = append(items, fmt.Sprint(item))
		}
		if kind == "sorted list" {
			slices.Sort(items)
		}
		naiveWrite(&out, uint32(len(items)))
		for _, item := range items {
			naiveWrite(&out, uint32(len(item)), []byte(item))
		}
	default:
		t.Fatalf("docs/token-format.md has an unknown kind %q", kind)
	}
	return out.Bytes()
}

func naiveWrite(out *bytes.Buffer, values ...any) {
	for _, value := range values {
		_ = binary.Write(out, binary.BigEndian, value)
	}
}
