package record

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNothingThatPrintsShowsAKey(t *testing.T) {
	key := Key([]byte("these are thirty-two key bytes!!"))
	printed := map[string]string{"String": key.String(), "GoString": key.GoString()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "% x", "%#x", "%b", "%o", "%c", "%U", "%t"} {
		printed[verb] = fmt.Sprintf(verb, key)
		printed["pointer "+verb] = fmt.Sprintf(verb, &key)
		printed["set "+verb] = fmt.Sprintf(verb, KeySet{"k1": key})
		printed["field "+verb] = fmt.Sprintf(verb, struct{ Key Key }{key})
	}
	text, err := json.Marshal(map[string]any{"key": key, "set": KeySet{"k1": key}})
	if err != nil {
		t.Fatal(err)
	}
	printed["json"] = string(text)
	if text, err = key.MarshalText(); err != nil {
		t.Fatal(err)
	}
	printed["text"] = string(text)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("", "key", key)
	slog.New(slog.NewTextHandler(&log, nil)).Info("", "key", key)
	printed["slog"] = log.String()

	for how, text := range printed {
		if !strings.Contains(text, redactedKey) {
			t.Errorf("%s: %q lacks the redaction", how, text)
		}
		for _, form := range []string{"thirty", hex.EncodeToString([]byte("thirty")), "116 104 105"} {
			if strings.Contains(strings.ToLower(text), form) {
				t.Errorf("%s: %q shows the key", how, text)
			}
		}
	}
}

func TestHMACAgreesWithTheLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := Key(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key"))
		label := rapid.String().Draw(t, "label")
		first := rapid.SliceOf(rapid.Byte()).Draw(t, "first")
		second := rapid.SliceOf(rapid.Byte()).Draw(t, "second")
		library := hmac.New(sha256.New, key[:])
		library.Write([]byte(label))
		library.Write(first)
		library.Write(second)
		if got := newMACKey(key).mac(label, first, second); !hmac.Equal(got[:], library.Sum(nil)) {
			t.Fatalf("got %x", got)
		}
	})
}
