package assets

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Names of the programs, as they are called in every folder that holds them.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Kubectl           = "kubectl"
)

// EnvFolder is the environment variable that names a folder of a user's own
// programs. What it lacks is taken from the cache: the archives that are made
// for this variable hold no kube-controller-manager.
const EnvFolder = "KUBEBUILDER_ASSETS"

// Names returns all programs, in the order in which they are started.
func Names() []string {
	return []string{Etcd, APIServer, ControllerManager, Kubectl}
}

// Set holds the path of each program by its name.
type Set map[string]string

// Find looks each program up in folder, when folder is not empty, and then in
// the cache. It does not search PATH: a server of an unknown version would make
// test results hard to explain. The error names every program that is missing
// and how to get it.
func Find(folder string) (Set, error) {
	folders := []string{}
	if folder != "" {
		folders = append(folders, folder)
	}
	cache, cacheErr := CacheFolder()
	if cacheErr == nil {
		folders = append(folders, cache)
	}
	found := Set{}
	var missing []error
	for _, name := range Names() {
		path, err := lookUp(name, folders)
		if err != nil {
			missing = append(missing, err)
			continue
		}
		found[name] = path
	}
	if len(missing) == 0 {
		return found, nil
	}
	return nil, fmt.Errorf("%w: run `make controlplane`, or set %s to a folder that holds them", errors.Join(append(missing, cacheErr)...), EnvFolder)
}

// Missing returns the programs that folder lacks, all of them for an empty
// folder name.
func Missing(folder string) []string {
	var missing []string
	for _, name := range Names() {
		if _, err := lookUp(name, []string{folder}); folder == "" || err != nil {
			missing = append(missing, name)
		}
	}
	return missing
}

func lookUp(name string, folders []string) (string, error) {
	for _, folder := range folders {
		path, err := filepath.Abs(filepath.Join(folder, name))
		if err != nil {
			return "", fmt.Errorf("path of %s: %w", name, err)
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("no program %s in %q", name, folders)
}
