package program

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
)

// None is the address of what is not served.
const None = "0"

// defaultNamespace is where config/ installs.
const defaultNamespace = "accesstoken-system"

// Options are the flags that all programs have.
type Options struct {
	// Kubeconfig is the file to reach the cluster with; empty means what kubectl
	// would use, or the account of the pod.
	Kubeconfig string

	// Namespace is the operator's own. The default is POD_NAMESPACE.
	Namespace string

	// MetricsAddress is where metrics are served: over TLS and to those whom RBAC
	// lets read them, if MetricsSecure.
	MetricsAddress string
	MetricsSecure  bool

	// HealthAddress is where probes are answered.
	HealthAddress string

	// PprofAddress is where the profiler is, empty for none.
	PprofAddress string

	// LogLevel is what is logged.
	LogLevel slog.Level

	// ShowVersion says to print the version and end.
	ShowVersion bool
}

// Register adds the flags. The environment gives defaults; metricsAddress is
// another in each program, so that two can run on one host.
func (o *Options) Register(flags *flag.FlagSet, environment func(string) string, metricsAddress string) {
	o.Namespace = environment("POD_NAMESPACE")
	if o.Namespace == "" {
		o.Namespace = defaultNamespace
	}
	flags.StringVar(&o.Kubeconfig, "kubeconfig", "", "kubeconfig to reach the cluster with; empty means the one that kubectl would use, or the account of the pod")
	flags.StringVar(&o.Namespace, "namespace", o.Namespace, "namespace of the operator itself, where its key Secret is (default from POD_NAMESPACE)")
	flags.StringVar(&o.MetricsAddress, "metrics-bind-address", metricsAddress, "address of the metrics endpoint, 0 for none")
	flags.BoolVar(&o.MetricsSecure, "metrics-secure", true, "serve metrics over TLS and to those only whom RBAC allows get on /metrics")
	flags.StringVar(&o.HealthAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz, 0 for none")
	flags.StringVar(&o.PprofAddress, "pprof-bind-address", "", "address of the profiler, for development; empty means none")
	flags.TextVar(&o.LogLevel, "log-level", slog.LevelInfo, "DEBUG, INFO, WARN or ERROR")
	flags.BoolVar(&o.ShowVersion, "version", false, "print the version and end")
}

// Problems are what is wrong with the flags that all programs have, each with the
// flag that it is about.
func (o *Options) Problems() []error {
	var problems []error
	if o.Namespace == "" {
		problems = append(problems, errors.New("--namespace: it is empty, name the namespace of the operator"))
	}
	return append(problems, CheckFile("--kubeconfig", o.Kubeconfig)...)
}

// CheckFile says what is wrong with a flag that names a file, if it does.
func CheckFile(name, path string) []error {
	if path == "" {
		return nil
	}
	if _, err := os.Stat(path); err != nil {
		return []error{fmt.Errorf("%s: %w", name, err)}
	}
	return nil
}

// Parse reads the command line. Everything is a flag. For --help it lists them
// and returns flag.ErrHelp.
func Parse(flags *flag.FlagSet, arguments []string, output io.Writer) error {
	// By itself it writes an error and then every flag: the caller writes the
	// error, once.
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	switch err := flags.Parse(arguments); {
	case errors.Is(err, flag.ErrHelp):
		usage(flags, output)
		return err
	case err != nil:
		return fmt.Errorf("%w; --help lists the flags", err)
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q: everything is a flag; --help lists them", flags.Arg(0))
	}
	return nil
}

// usage lists the flags as they are written in the documents, with two dashes.
func usage(flags *flag.FlagSet, output io.Writer) {
	_, _ = fmt.Fprintf(output, "Usage of %s:\n", flags.Name())
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
