package main

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/assets"
)

var packages = map[string]string{
	assets.Etcd:              "go.etcd.io/etcd/server/v3",
	assets.APIServer:         "k8s.io/kubernetes/cmd/kube-apiserver",
	assets.ControllerManager: "k8s.io/kubernetes/cmd/kube-controller-manager",
	assets.Kubectl:           "k8s.io/kubernetes/cmd/kubectl",
}

// build compiles one program into folder, without a C compiler.
func build(ctx context.Context, module, version, name, folder string) error {
	args := []string{"build", "-buildvcs=false", "-ldflags=" + linkerFlags(version)}
	if module != "" {
		args = append(args, "-modfile="+module, "-mod=mod")
	}
	args = append(args, "-o", filepath.Join(folder, name), packages[name])
	_, err := controlPlaneGo(ctx, args...)
	return err
}

// linkerFlags tell the programs their version. Without them the API server calls
// itself v0.0.0-master and `kubectl version` fails.
func linkerFlags(version string) string {
	const variable = " -X k8s.io/component-base/version."
	parts := strings.SplitN(version, ".", 3)
	return "-s -w" + variable + "gitVersion=v" + version + variable + "gitMajor=" + parts[0] + variable + "gitMinor=" + parts[1]
}

// controlPlaneGo runs the go command in the module that pins the programs.
func controlPlaneGo(ctx context.Context, args ...string) ([]byte, error) {
	folder, err := assets.ModuleFolder()
	if err != nil {
		return nil, err
	}
	return goCommand(ctx, folder, args...)
}
