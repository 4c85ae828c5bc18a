package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
)

const usage = `usage: dev up      control plane and operator in the foreground, state in .dev/
       dev demo    a tour of the operator on a control plane of its own
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	commands := map[string]func(context.Context) error{"up": up, "demo": demo}
	if len(os.Args) != 2 || commands[os.Args[1]] == nil {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	err := commands[os.Args[1]](ctx)
	switch {
	case errors.Is(err, errInterrupted):
		fmt.Fprintln(os.Stderr, "\n"+err.Error())
		os.Exit(interruptedCode)
	case err != nil:
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

// errInterrupted says that somebody ended it before it had ended by itself.
var errInterrupted = errors.New("interrupted, everything is stopped")

// interruptedCode is what shells give for a program that SIGINT ended.
const interruptedCode = 130

// cluster is a control plane and the operator on it.
type cluster struct {
	controlPlane *controlplane.ControlPlane
	operator     *operator.Operator
}

// startCluster starts both with the state in dir, or in a temporary folder when
// dir is empty. When it fails, nothing is left running.
func startCluster(ctx context.Context, dir string, progress func(string)) (*cluster, error) {
	controlPlane, err := controlplane.Start(ctx, controlplane.Options{Dir: dir, Progress: progress})
	if err != nil {
		return nil, err
	}
	c := &cluster{controlPlane: controlPlane}
	if err := operator.InstallDev(ctx, controlPlane); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	progress("starting the manager")
	if c.operator, err = operator.Start(ctx, controlPlane, operator.Options{}); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

// died reports a part that ended by itself, nil while all run.
func (c *cluster) died() error {
	select {
	case <-c.controlPlane.Done():
		return c.controlPlane.Err()
	case <-c.operator.Done():
		return c.operator.Err()
	default:
		return nil
	}
}

// wait returns when the context ends (nil) or when a part ends by itself.
func (c *cluster) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-c.controlPlane.Done():
		return c.controlPlane.Err()
	case <-c.operator.Done():
		return c.operator.Err()
	}
}

func (c *cluster) stop() error {
	var err error
	if c.operator != nil {
		err = c.operator.Stop()
	}
	return errors.Join(err, c.controlPlane.Stop())
}
