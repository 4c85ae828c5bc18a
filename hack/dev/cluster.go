package main

import (
	"context"
	_ "embed"
	"errors"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
)

// verifierConfig is how the verifier is configured here.
//
//go:embed verifier.yaml
var verifierConfig string

// cluster is a control plane and the operator on it.
type cluster struct {
	controlPlane *controlplane.ControlPlane
	operator     *operator.Operator
	verifier     *operator.Verifier
}

// startCluster starts all of it with the state in dir, or in a temporary folder
// when dir is empty. When it fails, nothing is left running.
func startCluster(ctx context.Context, dir string, progress func(string)) (*cluster, error) {
	controlPlane, err := controlplane.Start(ctx, controlplane.Options{Dir: dir, Progress: progress, Verifier: &controlplane.Verifier{}})
	if err != nil {
		return nil, err
	}
	c := &cluster{controlPlane: controlPlane}
	if err := c.startOperator(ctx, progress); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

func (c *cluster) startOperator(ctx context.Context, progress func(string)) (err error) {
	if err := operator.InstallDev(ctx, c.controlPlane); err != nil {
		return err
	}
	progress("starting the manager")
	if c.operator, err = operator.Start(ctx, c.controlPlane, operator.Options{Args: []string{"--audit-log=" + managerAudit}}); err != nil {
		return err
	}
	progress("starting the verifier")
	c.verifier, err = operator.StartVerifier(ctx, c.controlPlane, operator.VerifierOptions{Config: verifierConfig, KeepConfig: true})
	return err
}

// died reports a part that ended by itself, nil while all run.
func (c *cluster) died() error {
	select {
	case <-c.controlPlane.Done():
		return c.controlPlane.Err()
	case <-c.operator.Done():
		return c.operator.Err()
	case <-c.verifier.Done():
		return c.verifier.Err()
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
	case <-c.verifier.Done():
		return c.verifier.Err()
	}
}

func (c *cluster) stop() error {
	var errs []error
	if c.verifier != nil {
		errs = append(errs, c.verifier.Stop())
	}
	if c.operator != nil {
		errs = append(errs, c.operator.Stop())
	}
	return errors.Join(append(errs, c.controlPlane.Stop())...)
}
