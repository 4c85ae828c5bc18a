package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/assets"
)

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
	told, err := summarize(c, root, dir)
	if err != nil {
		return errors.Join(err, c.stop())
	}
	fmt.Print(told)
	err = c.wait(ctx)
	fmt.Println("\nstopping")
	return errors.Join(err, c.stop())
}
