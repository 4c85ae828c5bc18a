package program

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"regexp"
	"strconv"
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
	flags.Var((*level)(&o.LogLevel), "log-level", "DEBUG, INFO, WARN or ERROR")
	flags.BoolVar(&o.ShowVersion, "version", false, "print the version and end")
}

// Problems are what is wrong with the flags that all programs have, each with the
// flag that it is about.
func (o *Options) Problems() []error {
	var problems []error
	if o.Namespace == "" {
		problems = append(problems, errors.New("--namespace: it is empty, name the namespace of the operator"))
	}
	for _, address := range []struct{ flag, value string }{
		{"--metrics-bind-address", o.MetricsAddress}, {"--health-probe-bind-address", o.HealthAddress}, {"--pprof-bind-address", o.PprofAddress},
	} {
		if address.value != "" {
			problems = append(problems, CheckAddress(address.flag, address.value)...)
		}
	}
	return append(problems, CheckFile("--kubeconfig", o.Kubeconfig)...)
}

// CheckAddress says what is wrong with a flag that names an address to listen at, or
// None.
func CheckAddress(name, address string) []error {
	if address == None {
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return []error{fmt.Errorf("%s: %q is no address to listen at: write HOST:PORT, or :PORT for all addresses, or %s for none", name, address, None)}
	}
	return nil
}

// level is a slog.Level as a flag, whose error says what there is.
type level slog.Level

// String implements flag.Value.
func (l *level) String() string { return slog.Level(*l).String() }

// Set implements flag.Value.
func (l *level) Set(text string) error {
	if (*slog.Level)(l).UnmarshalText([]byte(text)) != nil {
		return errors.New("it is no level: use DEBUG, INFO, WARN or ERROR")
	}
	return nil
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
		return fmt.Errorf("%s; --help lists the flags", twoDashes.ReplaceAllString(err.Error(), "$1 --$2"))
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q: everything is a flag; --help lists them", flags.Arg(0))
	}
	return nil
}

// twoDashes finds flags that package flag writes with one.
var twoDashes = regexp.MustCompile(`(flag|defined:|argument:) -([a-z])`)

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
