package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

// Exit statuses.
const (
	succeeded = 0
	failed    = 1
	misused   = 2
)

// Main runs a program whose options were parsed with the outcome parsed, until a
// signal ends it, and returns its exit status. It writes what is wrong at the
// start to errorOutput, in plain words, and logs there in JSON from then on.
func Main(name string, o Options, parsed error, output, errorOutput io.Writer, run func(context.Context, logr.Logger) error) int {
	switch {
	case errors.Is(parsed, flag.ErrHelp):
		return succeeded
	case parsed != nil:
		_, _ = fmt.Fprintf(errorOutput, "%s: %v\n", name, parsed)
		return misused
	case o.ShowVersion:
		_, _ = fmt.Fprintln(output, Version())
		return succeeded
	}
	log := logr.FromSlogHandler(quiet{slog.NewJSONHandler(errorOutput, &slog.HandlerOptions{Level: o.LogLevel})})
	ctrl.SetLogger(log)
	klog.SetLogger(log)
	if err := run(ctrl.SetupSignalHandler(), log); err != nil {
		log.Error(err, name+" ends")
		return failed
	}
	return succeeded
}

// Version is that of the module, as the Go toolchain stamped it.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
