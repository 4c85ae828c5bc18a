package operator

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAConfigurationThatAPersonChangedIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "verifier.yaml")
	for _, step := range []struct {
		shipped string
		keep    bool
		want    string
	}{{"first", true, "first"}, {"longer than the first", true, "first"}, {"new", false, "new"}} {
		if err := writeConfig(path, step.shipped, step.keep); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != step.want {
			t.Errorf("%s, keep %v: %q, %v, want %q", step.shipped, step.keep, got, err, step.want)
		}
	}
}
