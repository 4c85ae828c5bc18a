package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"time"
)

//go:embed demo/*.yaml
var manifests embed.FS

// demo takes the tour and returns the first thing that did not hold.
func demo(ctx context.Context) error {
	s := newScreen(os.Stdout)
	begin := time.Now()
	c, err := startCluster(ctx, "", func(what string) { s.line(what) })
	if ctx.Err() != nil && c == nil {
		return errInterrupted
	}
	if err != nil {
		return err
	}
	s.line(fmt.Sprintf("ready after %s", time.Since(begin).Round(100*time.Millisecond)))
	err = tourOf(ctx, c, s)
	if ctx.Err() != nil {
		// Whatever went wrong since did so because of that.
		if stopErr := c.stop(); stopErr != nil {
			return stopErr
		}
		return errInterrupted
	}
	if died := c.died(); died != nil {
		err = errors.Join(err, died)
	} else if err != nil {
		err = fmt.Errorf("%w\nlast lines of the manager:\n%s", err, mask(c.operator.Tail()))
	}
	if err = errors.Join(err, c.stop()); err != nil {
		return err
	}
	s.line(s.paint(bold, fmt.Sprintf("\nEverything held, in %s.", time.Since(begin).Round(time.Second))) +
		" Try it yourself with `make up`.")
	return nil
}

func tourOf(ctx context.Context, c *cluster, s *screen) error {
	folder, err := unpack(c.controlPlane.Dir())
	if err != nil {
		return err
	}
	t := &tour{
		shell: newShell(ctx, s, folder, c.controlPlane.KubectlPath(), c.controlPlane.Kubeconfig()),
		state: c.controlPlane.Dir(),
	}
	for i, stop := range t.stops() {
		s.title(i+1, stop.title)
		stop.visit()
		if t.err != nil {
			return fmt.Errorf("step %d, %s: %w", i+1, stop.title, t.err)
		}
	}
	return nil
}

// unpack writes the manifests of the tour where its commands run.
func unpack(dir string) (string, error) {
	folder := filepath.Join(dir, "demo")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", fmt.Errorf("folder of the tour: %w", err)
	}
	entries, err := manifests.ReadDir("demo")
	if err != nil {
		return "", fmt.Errorf("manifests of the tour: %w", err)
	}
	for _, entry := range entries {
		content, err := manifests.ReadFile(path.Join("demo", entry.Name()))
		if err != nil {
			return "", fmt.Errorf("manifests of the tour: %w", err)
		}
		if err := os.WriteFile(filepath.Join(folder, entry.Name()), content, 0o600); err != nil {
			return "", fmt.Errorf("manifests of the tour: %w", err)
		}
	}
	return folder, nil
}
