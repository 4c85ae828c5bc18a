package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/assets"
)

// howTo names paths in full: they are pasted into another terminal.
const howTo = `
Up. In another terminal:

  export KUBECONFIG=%s
  export PATH=%s:$PATH
  kubectl apply -k %s
  kubectl get accesstokens -A -o wide
  kubectl explain accesstoken.spec

Logs      %s
Audit     %s
Metrics   %s
Verifier  %s, certificate authority %s

Here maxAge may be as short as 2s and rotation.interval 1s; in production 10m
and 1m, which is what kubectl explain says.

Ctrl-C stops it; objects and ports are kept in %s.
`

// up runs until it is interrupted, which is no error, or a part dies, which is.
func up(ctx context.Context) error {
	root, err := assets.ModuleRoot()
	if err != nil {
		return err
	}
	dir := filepath.Join(root, ".dev")
	c, err := startCluster(ctx, dir, func(what string) { fmt.Println(what) })
	if ctx.Err() != nil && c == nil {
		fmt.Println("interrupted, everything is stopped")
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Printf(howTo,
		c.controlPlane.Kubeconfig(), filepath.Dir(c.controlPlane.KubectlPath()), filepath.Join(root, "config", "samples"),
		filepath.Join(dir, "logs"), c.controlPlane.AuditLog(), c.operator.MetricsURL(),
		c.verifier.URL(), filepath.Join(dir, "pki", "ca.crt"), dir)
	err = c.wait(ctx)
	fmt.Println("\nstopping")
	return errors.Join(err, c.stop())
}
