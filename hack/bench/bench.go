package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/assets"
)

// bench is one run of this program.
type bench struct {
	options
	root    string // of the module
	scratch string // a temporary folder
	manager string // the program
	self    string // this program
	results []row
	started time.Time
}

// newBench builds the manager as it is in the tree.
func newBench(ctx context.Context, o options) (*bench, error) {
	root, err := assets.ModuleRoot()
	if err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "accesstoken-bench-")
	if err != nil {
		return nil, fmt.Errorf("temporary folder: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("path of this program: %w", err)
	}
	b := &bench{options: o, root: root, self: self, scratch: scratch, manager: filepath.Join(scratch, "manager"), started: time.Now()}
	if err := os.MkdirAll(o.folder, 0o750); err != nil {
		return nil, errors.Join(fmt.Errorf("folder of the results: %w", err), b.close())
	}
	if err := b.build(ctx, "manager", b.manager); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

// build builds a program of cmd as it is in the tree.
func (b *bench) build(ctx context.Context, name, path string) error {
	b.say("building the %s", name)
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "./cmd/"+name)
	build.Dir = b.root
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the %s: %w\n%s", name, err, output)
	}
	return nil
}

func (b *bench) close() error { return os.RemoveAll(b.scratch) }

// say tells what is going on, and how long the run has taken.
func (b *bench) say(format string, arguments ...any) {
	elapsed := time.Since(b.started).Round(time.Second)
	_, _ = fmt.Fprintf(os.Stderr, "%6s  %s\n", elapsed, fmt.Sprintf(format, arguments...))
}
