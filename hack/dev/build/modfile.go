package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/assets"
)

// goMod is the part of `go mod edit -json` that is read here.
type goMod struct {
	Go      string
	Require []struct{ Path, Version string }
	Replace []struct {
		Old, New struct{ Path, Version string }
	}
}

// moduleFile returns the go.mod to build another version than the pinned one
// with, written into folder, and "" for the pinned one. Everything in it follows
// from that version's own go.mod: the modules of the pinned one would lift its
// dependencies to versions that it was never built with.
func moduleFile(ctx context.Context, version, folder string) (string, error) {
	pinned, err := assets.PinnedVersion()
	if err != nil || version == pinned {
		return "", err
	}
	upstream, err := upstreamModule(ctx, version)
	if err != nil {
		return "", fmt.Errorf("modules of Kubernetes %s: %w", version, err)
	}
	etcd := upstream.versionOf("go.etcd.io/etcd/client/v3")
	if etcd == "" {
		return "", fmt.Errorf("go.mod of Kubernetes %s requires no etcd client", version)
	}
	var text strings.Builder
	_, _ = fmt.Fprintf(&text, "module controlplane\n\ngo %s\n\n", upstream.Go)
	_, _ = fmt.Fprintf(&text, "require (\n\tk8s.io/kubernetes v%s\n\tgo.etcd.io/etcd/server/v3 %s\n)\n\nreplace (\n", version, etcd)
	for _, replace := range upstream.Replace {
		if strings.HasPrefix(replace.New.Path, "./staging/") { // published as v0.MINOR.PATCH
			_, _ = fmt.Fprintf(&text, "\t%[1]s => %[1]s v0%[2]s\n", replace.Old.Path, strings.TrimPrefix(version, "1"))
		}
	}
	text.WriteString(")\n")
	path := filepath.Join(folder, "go.mod")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		return "", fmt.Errorf("go.mod for Kubernetes %s: %w", version, err)
	}
	return path, nil
}

func upstreamModule(ctx context.Context, version string) (*goMod, error) {
	answer, err := controlPlaneGo(ctx, "mod", "download", "-json", "k8s.io/kubernetes@v"+version)
	if err != nil {
		return nil, err
	}
	var downloaded struct{ GoMod string }
	if err := json.Unmarshal(answer, &downloaded); err != nil {
		return nil, fmt.Errorf("read answer of go mod download: %w", err)
	}
	content, err := controlPlaneGo(ctx, "mod", "edit", "-json", downloaded.GoMod)
	if err != nil {
		return nil, err
	}
	module := &goMod{}
	if err := json.Unmarshal(content, module); err != nil {
		return nil, fmt.Errorf("read go.mod: %w", err)
	}
	return module, nil
}

func (m *goMod) versionOf(path string) string {
	for _, require := range m.Require {
		if require.Path == path {
			return require.Version
		}
	}
	return ""
}
