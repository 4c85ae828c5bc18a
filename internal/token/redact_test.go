package token

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// holder keeps a value where a printer cannot call its methods.
type holder[T any] struct{ inner T }

// shown holds it where an encoder can reach it.
type shown[T any] struct{ Token T }

func prints[T any](t *testing.T, value T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, verb := range "vsdqxXbcoOUeEfFgGtTwp" {
		for _, flags := range []string{"", "+", "#", " ", "-90", "090", ".3", "+#"} {
			format := "%" + flags + string(verb)
			out[format] = fmt.Sprintf(format, value)
			out["pointer "+format] = fmt.Sprintf(format, &value)
			out["held "+format] = fmt.Sprintf(format, holder[T]{value})
			out["pointer held "+format] = fmt.Sprintf(format, &holder[*T]{&value})
			out["in a slice "+format] = fmt.Sprintf(format, []T{value})
			out["in a map "+format] = fmt.Sprintf(format, map[string]any{"k": value})
		}
	}
	out["error"] = fmt.Errorf("publish %v: %s", value, any(value)).Error()
	out["Sprint"] = fmt.Sprintln(value, &value)

	for name, encode := range map[string]func(any) ([]byte, error){"json": json.Marshal, "xml": xml.Marshal} {
		for kind, v := range map[string]any{"value": value, "pointer": &value, "field": shown[T]{value}, "held": holder[T]{value}} {
			text, err := encode(v)
			if err != nil {
				t.Fatal(err)
			}
			out[name+" "+kind] = string(text)
		}
	}
	var log bytes.Buffer
	for _, logger := range []*slog.Logger{
		slog.New(slog.NewJSONHandler(&log, nil)), slog.New(slog.NewTextHandler(&log, nil)),
	} {
		logger.Info("made", "value", value, "pointer", &value, "field", shown[T]{value}, "held", holder[T]{value})
	}
	out["slog"] = log.String()
	return out
}

func TestNothingThatPrintsShowsASecret(t *testing.T) {
	made, err := Generate(someID, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	read, err := Parse(made.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	secret := made.Reveal()[len(Prefix)+secretStart:]
	forms := []string{
		secret[:12], secret[len(secret)-12:], // a part is enough
		hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret))),
		base64.StdEncoding.EncodeToString([]byte(secret))[:16],
		strings.Trim(fmt.Sprint([]byte(secret)), "[]")[:24],
	}
	for name, all := range map[string]map[string]string{"Plaintext": prints(t, made), "Presented": prints(t, read)} {
		for how, text := range all {
			for _, form := range forms {
				if strings.Contains(text, form) {
					t.Errorf("%s, %s: shows the secret: %s", name, how, text)
				}
			}
		}
		want := "kat_" + someID + "_[redacted]"
		for _, how := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "pointer %v", "in a slice %v", "error", "json value", "json field", "xml field", "slog"} {
			if !strings.Contains(all[how], want) {
				t.Errorf("%s, %s: %q, want %q in it", name, how, all[how], want)
			}
		}
	}
	if made.String() != read.String() || made.GoString() != read.GoString() {
		t.Errorf("%s and %s, want the same", made.String(), read.String())
	}
}

func TestZeroValuesPrintAndRevealNothing(t *testing.T) {
	if got := fmt.Sprint(Plaintext{}, Presented{}); got != "kat_[redacted] kat_[redacted]" {
		t.Errorf("printed %q", got)
	}
	if (Plaintext{}).Reveal() != "" || (Presented{}).ID() != "" {
		t.Error("a zero value has a text or an ID")
	}
}

func TestNoErrorRepeatsWhatWasPresented(t *testing.T) {
	for _, v := range readVectors(t).Broken {
		_, err := Parse(v.Token)
		if err == nil {
			t.Fatalf("%s: accepted", v.Name)
		}
		for start := 0; start+6 <= len(v.Token); start++ {
			if part := v.Token[start : start+6]; strings.Contains(err.Error(), part) {
				t.Errorf("%s: the error %q repeats %q", v.Name, err, part)
			}
		}
	}
}
