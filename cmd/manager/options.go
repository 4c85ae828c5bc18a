package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/controllers/tokenrecord"
)

// options are what the flags say.
type options struct {
	kubeconfig        string
	namespace         string
	metricsAddress    string
	metricsSecure     bool
	healthAddress     string
	leaderElect       bool
	workers           int
	retention         time.Duration
	keyMaxAge         time.Duration
	logLevel          slog.Level
	pprofAddress      string
	showVersionAndEnd bool
}

const defaultNamespace = "accesstoken-system"

// parseOptions reads the command line. Every problem is reported at once, each
// with the flag that it is about.
func parseOptions(arguments []string, environment func(string) string, output io.Writer) (options, error) {
	o := options{namespace: environment("POD_NAMESPACE")}
	if o.namespace == "" {
		o.namespace = defaultNamespace
	}
	flags := flag.NewFlagSet("manager", flag.ContinueOnError)
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig to reach the cluster with; empty means the one that kubectl would use, or the account of the pod")
	flags.StringVar(&o.namespace, "namespace", o.namespace, "namespace of the operator itself, for its key Secret and Lease (default from POD_NAMESPACE)")
	flags.StringVar(&o.metricsAddress, "metrics-bind-address", ":8443", "address of the metrics endpoint, 0 for none")
	flags.BoolVar(&o.metricsSecure, "metrics-secure", true, "serve metrics over TLS and to those only whom RBAC allows get on /metrics")
	flags.StringVar(&o.healthAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz, 0 for none")
	flags.BoolVar(&o.leaderElect, "leader-elect", true, "act only while holding the Lease, so that several replicas can run")
	flags.IntVar(&o.workers, "workers", 16, "how many AccessTokens are worked on at once")
	flags.DurationVar(&o.retention, "record-retention", tokenrecord.DefaultRetention, "how long the record of an ended token is kept")
	flags.DurationVar(&o.keyMaxAge, "key-max-age", 365*24*time.Hour, "age at which a new key is added beside the earlier ones, 0 for never")
	flags.TextVar(&o.logLevel, "log-level", slog.LevelInfo, "DEBUG, INFO, WARN or ERROR")
	flags.StringVar(&o.pprofAddress, "pprof-bind-address", "", "address of the profiler, for development; empty means none")
	flags.BoolVar(&o.showVersionAndEnd, "version", false, "print the version and end")
	// By itself it writes an error and then every flag: the caller writes the
	// error, once.
	flags.SetOutput(io.Discard)
	switch err := flags.Parse(arguments); {
	case errors.Is(err, flag.ErrHelp):
		usage(flags, output)
		return o, err
	case err != nil:
		return o, fmt.Errorf("%w; --help lists the flags", err)
	}
	return o, o.validate(flags.Args())
}

// usage lists the flags as they are written in the documents, with two dashes.
func usage(flags *flag.FlagSet, output io.Writer) {
	_, _ = fmt.Fprintln(output, "Usage of manager:")
	flags.VisitAll(func(f *flag.Flag) {
		kind, text := flag.UnquoteUsage(f)
		line := "  --" + f.Name
		if kind != "" {
			line += " " + kind
		}
		if f.DefValue != "" && f.DefValue != "false" {
			text += " (default " + f.DefValue + ")"
		}
		_, _ = fmt.Fprintf(output, "%s\n    \t%s\n", line, text)
	})
}

func (o options) validate(rest []string) error {
	var problems []error
	if len(rest) > 0 {
		problems = append(problems, fmt.Errorf("unexpected argument %q: everything is a flag", rest[0]))
	}
	if o.namespace == "" {
		problems = append(problems, errors.New("--namespace: it is empty, name the namespace of the operator"))
	}
	if o.workers < 1 {
		problems = append(problems, fmt.Errorf("--workers: %d is not at least 1", o.workers))
	}
	if o.retention < 0 {
		problems = append(problems, fmt.Errorf("--record-retention: %s is negative", o.retention))
	}
	if o.keyMaxAge < 0 {
		problems = append(problems, fmt.Errorf("--key-max-age: %s is negative", o.keyMaxAge))
	}
	if o.kubeconfig != "" {
		if _, err := os.Stat(o.kubeconfig); err != nil {
			problems = append(problems, fmt.Errorf("--kubeconfig: %w", err))
		}
	}
	return errors.Join(problems...)
}
