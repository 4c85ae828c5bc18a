package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

func main() {
	commands := map[string]func([]string) error{answerCommand: answer, askCommand: ask}
	if len(os.Args) > 1 && commands[os.Args[1]] != nil {
		if err := commands[os.Args[1]](os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	o, err := parseOptions(os.Args[1:], os.Stderr)
	if errors.Is(err, errHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run does the selected measurements, one after the other, and prints the table
// of all of them at the end, also when one could not be finished.
func run(ctx context.Context, o options) (err error) {
	b, err := newBench(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()

	var failed []error
	for _, m := range measurements {
		if !o.selected(m.name) {
			continue
		}
		results := &results{}
		measureErr := m.run(ctx, b, results)
		if measureErr != nil {
			failed = append(failed, fmt.Errorf("measure %s: %w", m.name, measureErr))
		}
		b.results = append(b.results, results.rows...)
		failed = append(failed, results.wrong()...)
		if err := writeJSON(o.folder, m.name, results.rows); err != nil {
			return err
		}
		if ctx.Err() != nil {
			break
		}
	}
	b.printTable(os.Stdout)
	return errors.Join(failed...)
}
