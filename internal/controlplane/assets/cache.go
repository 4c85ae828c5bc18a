package assets

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// EnvVersion is the environment variable that asks for another Kubernetes
// version than the pinned one, for example 1.34.4.
const EnvVersion = "KUBERNETES"

const (
	modulePath = "github.com/accesstoken-dev/accesstoken-operator"

	// recipe is part of the cache key. Raise it when the way of building
	// changes although go.mod and go.sum do not.
	recipe = "2"
)

var (
	pinnedVersion  = regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes v(\d+\.\d+\.\d+)\b`)
	allowedVersion = regexp.MustCompile(`^\d+\.\d+\.\d+$`)
)

// ModuleRoot returns the folder of the operator's go.mod, searched from the
// working directory upwards: tests run in the folder of their package.
func ModuleRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("working directory: %w", err)
	}
	for folder := start; ; folder = filepath.Dir(folder) {
		content, err := os.ReadFile(filepath.Join(folder, "go.mod"))
		if err == nil && strings.HasPrefix(string(content), "module "+modulePath+"\n") {
			return folder, nil
		}
		if folder == filepath.Dir(folder) {
			return "", fmt.Errorf("no go.mod of %s in %s or above: run this inside a clone of it", modulePath, start)
		}
	}
}

// ModuleFolder returns the folder of the module that pins the programs.
func ModuleFolder() (string, error) {
	root, err := ModuleRoot()
	if err != nil {
		return "", err
	}
	return filepath.Join(root, "hack", "controlplane"), nil
}

// PinnedVersion returns the Kubernetes version in the module that pins the
// programs, without a leading v.
func PinnedVersion() (string, error) {
	module, err := ModuleFolder()
	if err != nil {
		return "", err
	}
	content, err := os.ReadFile(filepath.Join(module, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("pinned Kubernetes version: %w", err)
	}
	match := pinnedVersion.FindSubmatch(content)
	if match == nil {
		return "", fmt.Errorf("%s/go.mod requires no k8s.io/kubernetes", module)
	}
	return string(match[1]), nil
}

// Version returns the Kubernetes version to build and run, without a leading v:
// the one that EnvVersion asks for, else the pinned one.
func Version() (string, error) {
	asked := strings.TrimPrefix(os.Getenv(EnvVersion), "v")
	if asked == "" {
		return PinnedVersion()
	}
	if !allowedVersion.MatchString(asked) {
		return "", fmt.Errorf("%s=%q is no Kubernetes version: write one like 1.34.4", EnvVersion, asked)
	}
	return asked, nil
}

// CacheFolder returns the folder, outside the clone, for programs of the current
// version. Its name changes with everything that goes into the programs: the
// version, the pinned modules and the compiler.
func CacheFolder() (string, error) {
	version, err := Version()
	if err != nil {
		return "", err
	}
	module, err := ModuleFolder()
	if err != nil {
		return "", err
	}
	base, err := cacheBase()
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, _ = fmt.Fprintf(sum, "%s %s %s %s\n", recipe, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return "", fmt.Errorf("key of the control plane cache: %w", err)
		}
		_, _ = sum.Write(content)
	}
	key := hex.EncodeToString(sum.Sum(nil))[:12]
	return filepath.Join(base, "accesstoken-operator", "controlplane", version+"-"+key), nil
}

// cacheBase follows the XDG rule on every system, so that the documentation can
// name one place.
func cacheBase() (string, error) {
	if base := os.Getenv("XDG_CACHE_HOME"); filepath.IsAbs(base) {
		return base, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", errors.New("no folder for the control plane cache: set XDG_CACHE_HOME or HOME")
	}
	return filepath.Join(home, ".cache"), nil
}
