package token

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

// vectors are known answers, made by another implementation than this one.
// They never change: a token that was issued must stay readable.
type vectors struct {
	IDs []struct {
		UID      string `json:"uid"`
		Revision int64  `json:"revision"`
		ID       string `json:"id"`
	} `json:"ids"`
	Tokens []struct {
		Name         string `json:"name"`
		Token        string `json:"token"`
		ID           string `json:"id"`
		Secret       string `json:"secret"`
		Checksum     string `json:"checksum"`
		SecretDigest string `json:"secretDigest"`
	} `json:"tokens"`
	Broken []struct {
		Name  string `json:"name"`
		Token string `json:"token"`
		Error string `json:"error"`
	} `json:"broken"`
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.IDs) == 0 || len(v.Tokens) == 0 || len(v.Broken) == 0 {
		t.Fatal("testdata/vectors.json lacks a part")
	}
	return v
}

func TestDeclaredIDGivesTheKnownAnswers(t *testing.T) {
	for _, v := range readVectors(t).IDs {
		if got := DeclaredID(v.UID, v.Revision); got != v.ID {
			t.Errorf("DeclaredID(%q, %d) = %s, want %s", v.UID, v.Revision, got, v.ID)
		}
		if !ValidID(v.ID) {
			t.Errorf("ValidID(%q) = false", v.ID)
		}
	}
}

func TestParseReadsTheKnownTokens(t *testing.T) {
	for _, v := range readVectors(t).Tokens {
		t.Run(v.Name, func(t *testing.T) {
			p, err := Parse(v.Token)
			if err != nil {
				t.Fatal(err)
			}
			if p.ID() != v.ID {
				t.Errorf("ID() = %s, want %s", p.ID(), v.ID)
			}
			if digest := p.SecretDigest(); hex.EncodeToString(digest[:]) != v.SecretDigest {
				t.Errorf("SecretDigest() = %x, want %s", digest, v.SecretDigest)
			}
		})
	}
}

func TestGenerateWritesTheKnownTokens(t *testing.T) {
	for _, v := range readVectors(t).Tokens {
		t.Run(v.Name, func(t *testing.T) {
			p, err := Generate(v.ID, sourceOf(v.Secret))
			if err != nil {
				t.Fatal(err)
			}
			if p.Reveal() != v.Token {
				t.Errorf("Reveal() = %s, want %s", p.Reveal(), v.Token)
			}
			if p.ID() != v.ID {
				t.Errorf("ID() = %s, want %s", p.ID(), v.ID)
			}
			if digest := p.SecretDigest(); hex.EncodeToString(digest[:]) != v.SecretDigest {
				t.Errorf("SecretDigest() = %x, want %s", digest, v.SecretDigest)
			}
			sum := checksum(v.Token[:len(v.Token)-ChecksumLength])
			if string(sum[:]) != v.Checksum {
				t.Errorf("checksum = %s, want %s", sum, v.Checksum)
			}
		})
	}
}

func TestParseRefusesTheKnownBrokenTokens(t *testing.T) {
	sentinels := map[string]error{
		"length": ErrLength, "prefix": ErrPrefix, "alphabet": ErrAlphabet, "checksum": ErrChecksum,
	}
	seen := map[string]bool{}
	for _, v := range readVectors(t).Broken {
		seen[v.Error] = true
		t.Run(v.Name, func(t *testing.T) {
			p, err := Parse(v.Token)
			if want := sentinels[v.Error]; want == nil || err != want {
				t.Errorf("error = %v, want %v", err, want)
			}
			if p != (Presented{}) {
				t.Error("a refused token gave something")
			}
		})
	}
	if len(seen) != len(sentinels) {
		t.Errorf("errors covered: %v, want all of %v", seen, sentinels)
	}
}
