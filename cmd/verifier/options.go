package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/store"
)

// options are what the flags say.
type options struct {
	kubeconfig        string
	namespace         string
	configFile        string
	configuration     config.Verifier
	address           string
	webhookAddress    string
	extAuthzAddress   string
	certFile          string
	keyFile           string
	clientCAFile      string
	clientNames       []string
	metricsAddress    string
	metricsSecure     bool
	healthAddress     string
	maxStaleness      time.Duration
	writesPerSecond   float64
	logLevel          slog.Level
	pprofAddress      string
	showVersionAndEnd bool
}

const (
	defaultNamespace = "accesstoken-system"

	// none is the address of what is not served.
	none = "0"
)

// parseOptions reads the command line and the configuration file. Every problem
// is reported at once, each with the flag that it is about.
func parseOptions(arguments []string, environment func(string) string, output io.Writer) (options, error) {
	o := options{namespace: environment("POD_NAMESPACE")}
	if o.namespace == "" {
		o.namespace = defaultNamespace
	}
	flags := flag.NewFlagSet("verifier", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig to reach the cluster with; empty means the one that kubectl would use, or the account of the pod")
	flags.StringVar(&o.namespace, "namespace", o.namespace, "namespace of the operator, where its key Secret is (default from POD_NAMESPACE)")
	flags.StringVar(&o.configFile, "config", "", "configuration file, a VerifierConfiguration; empty means all defaults")
	flags.StringVar(&o.address, "bind-address", ":8443", "address of introspection, revocation and forward auth over HTTPS, 0 for none")
	flags.StringVar(&o.webhookAddress, "webhook-bind-address", ":9443", "address of the webhooks for kube-apiserver over HTTPS with client certificates, 0 for none")
	flags.StringVar(&o.extAuthzAddress, "ext-authz-bind-address", ":9444", "address of Envoy's ext_authz over gRPC with TLS, 0 for none")
	flags.StringVar(&o.certFile, "tls-cert-file", "", "certificate to serve with, in PEM; read anew when it changes")
	flags.StringVar(&o.keyFile, "tls-private-key-file", "", "key of that certificate, in PEM")
	flags.StringVar(&o.clientCAFile, "client-ca-file", "", "certificate authorities of the clients that may call the webhooks, in PEM; read anew when it changes")
	flags.Func("client-name", "common name that a webhook client's certificate must have; may be given more than once, none means any of the authorities' clients", func(name string) error {
		if strings.TrimSpace(name) == "" {
			return errors.New("it is empty")
		}
		o.clientNames = append(o.clientNames, name)
		return nil
	})
	flags.StringVar(&o.metricsAddress, "metrics-bind-address", ":8445", "address of the metrics endpoint, 0 for none")
	flags.BoolVar(&o.metricsSecure, "metrics-secure", true, "serve metrics over TLS and to those only whom RBAC allows get on /metrics")
	flags.StringVar(&o.healthAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz, 0 for none")
	flags.DurationVar(&o.maxStaleness, "max-staleness", store.DefaultMaxStaleness, "how long answers go on after nothing was heard from the API server any more; then \"could not check\"")
	flags.Float64Var(&o.writesPerSecond, "use-writes-per-second", 50, "how many uses of tokens are written to the API server a second at most")
	flags.TextVar(&o.logLevel, "log-level", slog.LevelInfo, "DEBUG, INFO, WARN or ERROR")
	flags.StringVar(&o.pprofAddress, "pprof-bind-address", "", "address of the profiler, for development; empty means none")
	flags.BoolVar(&o.showVersionAndEnd, "version", false, "print the version and end")
	if err := flags.Parse(arguments); err != nil {
		return o, err
	}
	if o.showVersionAndEnd {
		return o, nil
	}
	err := o.validate(flags.Args())
	o.configuration = config.Default()
	if o.configFile != "" {
		var configErr error
		o.configuration, configErr = config.Load(o.configFile)
		err = errors.Join(err, configErr)
	}
	return o, err
}

// leastStaleness is longer than the API server may be silent while all is well:
// it sends a bookmark each minute.
const leastStaleness = 2 * time.Minute

func (o options) validate(rest []string) error {
	var problems []error
	problem := func(format string, arguments ...any) { problems = append(problems, fmt.Errorf(format, arguments...)) }
	if len(rest) > 0 {
		problem("unexpected argument %q: everything is a flag", rest[0])
	}
	if o.namespace == "" {
		problem("--namespace: it is empty, name the namespace of the operator")
	}
	if o.address == none && o.webhookAddress == none && o.extAuthzAddress == none {
		problem("--bind-address, --webhook-bind-address, --ext-authz-bind-address: all are 0, so nobody could ask anything")
	}
	if o.certFile == "" || o.keyFile == "" {
		problem("--tls-cert-file, --tls-private-key-file: tokens are taken over TLS only, name a certificate and its key")
	}
	if o.webhookAddress != none && o.clientCAFile == "" {
		problem("--client-ca-file: the webhooks are for kube-apiserver only, name the authority of its client certificate, or set --webhook-bind-address=0")
	}
	if o.maxStaleness < leastStaleness {
		problem("--max-staleness: %s is less than %s, within which the API server may be silent while all is well", o.maxStaleness, leastStaleness)
	}
	if o.writesPerSecond <= 0 {
		problem("--use-writes-per-second: %g is not more than 0", o.writesPerSecond)
	}
	for _, file := range []struct{ flag, path string }{
		{"--kubeconfig", o.kubeconfig}, {"--tls-cert-file", o.certFile},
		{"--tls-private-key-file", o.keyFile}, {"--client-ca-file", o.clientCAFile},
	} {
		if file.path == "" {
			continue
		}
		if _, err := os.Stat(file.path); err != nil {
			problem("%s: %w", file.flag, err)
		}
	}
	return errors.Join(problems...)
}
