package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/assets"
)

// controlPlane builds what neither the user's own folder nor the cache holds.
func controlPlane(ctx context.Context) error {
	version, err := assets.Version()
	if err != nil {
		return err
	}
	cache, err := assets.CacheFolder()
	if err != nil {
		return err
	}
	provided := os.Getenv(assets.EnvFolder)
	missing := slices.DeleteFunc(assets.Missing(cache), func(name string) bool {
		return !slices.Contains(assets.Missing(provided), name)
	})
	if len(missing) == 0 {
		fmt.Printf("control plane %s is up to date in %s\n", version, place(cache, provided))
		return nil
	}
	return buildAll(ctx, version, cache, missing)
}

// buildAll builds in a folder beside the cache and moves each program over when
// it is whole, so that an interrupted build leaves no half program behind and
// the next one goes on from there.
func buildAll(ctx context.Context, version, cache string, names []string) error {
	if err := os.MkdirAll(cache, 0o750); err != nil {
		return fmt.Errorf("cache folder: %w", err)
	}
	work, err := os.MkdirTemp(filepath.Dir(cache), ".building-")
	if err != nil {
		return fmt.Errorf("folder to build in: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }()

	module, err := moduleFile(ctx, version, work)
	if err != nil {
		return err
	}
	fmt.Printf("building Kubernetes %s into %s: about six minutes the first time, then nothing\n", version, cache)
	total := begin()
	for i, name := range names {
		label := fmt.Sprintf("[%d/%d] %s", i+1, len(names), name)
		err := withProgress(label, func() error { return build(ctx, module, version, name, work) })
		if err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(work, name), filepath.Join(cache, name)); err != nil {
			return fmt.Errorf("keep %s: %w", name, err)
		}
	}
	fmt.Printf("control plane %s is ready after %s\n", version, total.elapsed())
	return nil
}

func place(cache, provided string) string {
	switch {
	case provided == "":
		return cache
	case len(assets.Missing(provided)) == 0:
		return provided
	default:
		return provided + " and " + cache
	}
}
