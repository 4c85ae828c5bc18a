package assets

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindTakesTheUsersFolderFirstAndTheCacheForTheRest(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	cache, err := CacheFolder()
	if err != nil {
		t.Fatal(err)
	}
	own := t.TempDir()
	fill(t, own, Etcd, APIServer, Kubectl)
	fill(t, cache, Names()...)
	found, err := Find(own)
	if err != nil {
		t.Fatal(err)
	}
	want := Set{
		Etcd:              filepath.Join(own, Etcd),
		APIServer:         filepath.Join(own, APIServer),
		ControllerManager: filepath.Join(cache, ControllerManager),
		Kubectl:           filepath.Join(own, Kubectl),
	}
	for name, path := range want {
		if found[name] != path {
			t.Errorf("%s = %s, want %s", name, found[name], path)
		}
	}
}

func TestAFileThatCannotBeRunIsNoProgram(t *testing.T) {
	folder := t.TempDir()
	fill(t, folder, Names()...)
	if err := os.Chmod(filepath.Join(folder, Etcd), 0o600); err != nil {
		t.Fatal(err)
	}
	if missing := Missing(folder); len(missing) != 1 || missing[0] != Etcd {
		t.Errorf("Missing() = %v, want etcd", missing)
	}
}

func TestCacheFolderIsNamedByTheVersion(t *testing.T) {
	base := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", base)
	t.Setenv(EnvVersion, "1.34.4")
	folder, err := CacheFolder()
	if err != nil || !strings.HasPrefix(folder, filepath.Join(base, "accesstoken-operator", "controlplane", "1.34.4-")) {
		t.Errorf("CacheFolder() = %q, %v", folder, err)
	}
	t.Setenv(EnvVersion, "")
	pinned, err := PinnedVersion()
	if err != nil {
		t.Fatal(err)
	}
	if folder, err = CacheFolder(); err != nil || !strings.Contains(folder, "/"+pinned+"-") {
		t.Errorf("CacheFolder() = %q, %v, want the pinned version %s in it", folder, err, pinned)
	}
}

func TestAVersionThatIsNoneIsRefused(t *testing.T) {
	for _, value := range []string{"latest", "1.34", "../1.34.4"} {
		t.Setenv(EnvVersion, value)
		if version, err := Version(); err == nil {
			t.Errorf("Version() with %s=%q = %q, want an error", EnvVersion, value, version)
		}
	}
}

func fill(t *testing.T, folder string, names ...string) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
}
