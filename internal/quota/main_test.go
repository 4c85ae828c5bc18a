package quota

import (
	"flag"
	"os"
	"testing"
)

// TestMain has rapid try more and longer sequences than it does by default: it
// takes a dozen steps in the right order for two managers to be at odds. Its flags
// on the command line still count.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{"rapid.checks": "3000", "rapid.steps": "100"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
