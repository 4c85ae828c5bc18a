package main

import (
	"context"
	"os"

	"github.com/go-logr/logr"

	"github.com/accesstoken-dev/accesstoken-operator/internal/program"
)

func main() {
	o, err := parseOptions(os.Args[1:], os.Getenv, os.Stderr)
	os.Exit(program.Main("verifier", o.Options, err, os.Stdout, os.Stderr, func(ctx context.Context, log logr.Logger) error {
		return run(ctx, o, log)
	}))
}
