package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"syscall"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/assets"
)

const usage = `usage: build controlplane            etcd, kube-apiserver, kube-controller-manager, kubectl
       build tool FOLDER PACKAGE   a tool that the module in FOLDER pins, into bin/
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 1 && args[0] == "controlplane":
		err = controlPlane(ctx)
	case len(args) == 3 && args[0] == "tool":
		err = tool(ctx, args[1], args[2])
	default:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

// tool builds a development tool into bin/ of the clone.
func tool(ctx context.Context, module, name string) error {
	root, err := assets.ModuleRoot()
	if err != nil {
		return err
	}
	target := filepath.Join(root, "bin", path.Base(name))
	return withProgress("building "+path.Base(name), func() error {
		_, err := goCommand(ctx, filepath.Join(root, module), "build", "-buildvcs=false", "-ldflags=-s -w", "-o", target, name)
		return err
	})
}
