package operator

import (
	"net"
	"path/filepath"
	"slices"
	"testing"
)

func TestAddressesAreKeptWhileTheyAreFree(t *testing.T) {
	file := filepath.Join(t.TempDir(), "addresses")
	choose := func() []string {
		t.Helper()
		addresses, err := keptAddresses(t.Context(), file, 2)
		if err != nil {
			t.Fatal(err)
		}
		return addresses
	}
	first := choose()
	if again := choose(); !slices.Equal(again, first) {
		t.Errorf("the second start has %v, want %v as the first", again, first)
	}
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", first[1])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	other := choose()
	if slices.Contains(other, first[1]) {
		t.Errorf("%v has an address that somebody else listens at", other)
	}
	if again := choose(); !slices.Equal(again, other) {
		t.Errorf("the next start has %v, want %v", again, other)
	}
}
