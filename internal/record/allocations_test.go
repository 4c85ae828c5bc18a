//go:build !race

package record

// The race detector makes sync.Pool forget some of what is put back, so that what
// is counted here says something only without it.

import (
	"reflect"
	"testing"
)

func TestVerifyAllocatesNothing(t *testing.T) {
	v := vectorNamed(t, fullVector)
	sealed, err := v.opener().Open(v.sealed(t))
	if err != nil {
		t.Fatal(err)
	}
	secret := v.secretDigest()
	if n := testing.AllocsPerRun(100, func() { sealed.Verify(secret) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if size := reflect.TypeFor[Sealed]().Size(); size != 72 {
		t.Errorf("Sealed has %d bytes, documented are 72", size)
	}
}
