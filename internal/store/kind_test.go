package store_test

import (
	"strings"
	"testing"

	"github.com/accesstoken-dev/accesstoken-operator/internal/store"
)

func TestEveryKindHasAName(t *testing.T) {
	seen := map[string]bool{}
	for _, kind := range store.Kinds() {
		if name := kind.String(); strings.HasPrefix(name, "kind ") || seen[name] {
			t.Errorf("%d is called %q", kind, name)
		}
		seen[kind.String()] = true
	}
	if len(seen) == 0 {
		t.Error("there are none")
	}
}
