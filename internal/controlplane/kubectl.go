package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/assets"
)

// KubectlPath is the path of the kubectl that belongs to the control plane.
func (cp *ControlPlane) KubectlPath() string { return cp.assets[assets.Kubectl] }

// Kubectl runs kubectl as administrator and returns what it wrote to standard
// output and standard error, also when it fails.
func (cp *ControlPlane) Kubectl(ctx context.Context, args ...string) (string, error) {
	return cp.kubectl(ctx, nil, args...)
}

func (cp *ControlPlane) kubectl(ctx context.Context, input io.Reader, args ...string) (string, error) {
	// The parent-death signal comes when the forking thread ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, cp.KubectlPath(), args...)
	cmd.Stdin = input
	cmd.Env = append(os.Environ(),
		"KUBECONFIG="+cp.adminKubeconfig(),
		"KUBECACHEDIR="+filepath.Join(cp.dir, "kubectl-cache"),
		"KUBECTL_KUBERC=false", // a person's own aliases and defaults do not belong here
	)
	cmd.SysProcAttr = childAttributes()
	output, err := cmd.CombinedOutput()
	if err != nil {
		return string(output), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(output))
	}
	return string(output), nil
}

// Install applies the kustomize folder server-side and is idempotent. Resource
// definitions come first and are waited for: an admission policy whose types are
// missing refuses everything. Policies take effect about a second after Install
// returned.
func (cp *ControlPlane) Install(ctx context.Context, folder string) error {
	cp.options.Progress("installing " + filepath.Base(folder))
	built, err := cp.Kubectl(ctx, "kustomize", folder)
	if err != nil {
		return err
	}
	definitions, others, err := splitDefinitions([]byte(built))
	if err != nil {
		return fmt.Errorf("read kustomize output of %s: %w", folder, err)
	}
	if len(definitions) > 0 {
		if err := cp.apply(ctx, definitions); err != nil {
			return err
		}
		_, err := cp.kubectl(ctx, bytes.NewReader(definitions), "wait", "--for=condition=Established", "--timeout=60s", "-f", "-")
		if err != nil {
			return err
		}
	}
	if len(others) == 0 {
		return nil
	}
	return cp.apply(ctx, others)
}

func (cp *ControlPlane) apply(ctx context.Context, manifests []byte) error {
	_, err := cp.kubectl(ctx, bytes.NewReader(manifests), "apply", "--server-side", "--force-conflicts", "-f", "-")
	return err
}

// splitDefinitions parts a stream of YAML documents into custom resource
// definitions and the rest, each again a stream.
func splitDefinitions(stream []byte) (definitions, others []byte, err error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(stream), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return definitions, others, nil
		}
		if err != nil {
			return nil, nil, err
		}
		document, err := object.MarshalJSON()
		if err != nil {
			return nil, nil, err
		}
		document = append([]byte("---\n"), document...)
		if object.GetKind() == "CustomResourceDefinition" {
			definitions = append(definitions, document...)
		} else {
			others = append(others, document...)
		}
	}
}
