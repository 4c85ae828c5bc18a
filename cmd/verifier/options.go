package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/program"
	"github.com/accesstoken-dev/accesstoken-operator/internal/store"
)

// options are what the flags say.
type options struct {
	program.Options
	configFile      string
	configuration   config.Verifier
	address         string
	webhookAddress  string
	extAuthzAddress string
	certFile        string
	keyFile         string
	clientCAFile    string
	clientNames     []string
	maxStaleness    time.Duration
	writesPerSecond float64
}

// parseOptions reads the command line and the configuration file. Every problem
// is reported at once, each with the flag that it is about.
func parseOptions(arguments []string, environment func(string) string, output io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("verifier", flag.ContinueOnError)
	o.Register(flags, environment, ":8445")
	flags.StringVar(&o.configFile, "config", "", "configuration file, a VerifierConfiguration; empty means all defaults")
	flags.StringVar(&o.address, "bind-address", ":8443", "address of introspection, revocation and forward auth over HTTPS, 0 for none")
	flags.StringVar(&o.webhookAddress, "webhook-bind-address", ":9443", "address of the webhooks for kube-apiserver over HTTPS with client certificates, 0 for none")
	flags.StringVar(&o.extAuthzAddress, "ext-authz-bind-address", ":9444", "address of Envoy's ext_authz over gRPC with TLS, 0 for none")
	flags.StringVar(&o.certFile, "tls-cert-file", "", "certificate to serve with, in PEM; read anew when it changes; required")
	flags.StringVar(&o.keyFile, "tls-private-key-file", "", "key of that certificate, in PEM; required")
	flags.StringVar(&o.clientCAFile, "client-ca-file", "", "certificate authorities of the clients that may call the webhooks, in PEM; read anew when it changes; required unless --webhook-bind-address is 0")
	flags.Func("client-name", "common name that a webhook client's certificate must have; may be given more than once, none means any of the authorities' clients", func(name string) error {
		if strings.TrimSpace(name) == "" {
			return errors.New("it is empty")
		}
		o.clientNames = append(o.clientNames, name)
		return nil
	})
	flags.DurationVar(&o.maxStaleness, "max-staleness", store.DefaultMaxStaleness, "how long answers go on after nothing was heard from the API server any more; then \"could not check\"")
	flags.Float64Var(&o.writesPerSecond, "use-writes-per-second", 50, "how many uses of tokens are written to the API server a second at most")
	if err := program.Parse(flags, arguments, output); err != nil || o.ShowVersion {
		return o, err
	}
	err := o.validate()
	o.configuration = config.Default()
	if o.configFile != "" {
		var configErr error
		if o.configuration, configErr = config.Load(o.configFile); configErr != nil {
			err = errors.Join(err, fmt.Errorf("--config: %w", configErr))
		}
		if len(o.configuration.SecurityEvents.Issuers) > 0 && o.address == program.None {
			err = errors.Join(err, errors.New("--bind-address: it is 0, so nobody could send security events: give an address, or remove securityEvents from the configuration"))
		}
	}
	return o, err
}

// leastStaleness is longer than the API server may be silent while all is well:
// it sends a bookmark each minute. Tests lower it.
var leastStaleness = 2 * time.Minute

func (o options) validate() error {
	problems := o.Problems()
	problem := func(format string, arguments ...any) { problems = append(problems, fmt.Errorf(format, arguments...)) }
	if o.address == program.None && o.webhookAddress == program.None && o.extAuthzAddress == program.None {
		problem("--bind-address, --webhook-bind-address, --ext-authz-bind-address: all are 0, so nobody could ask anything")
	}
	if o.certFile == "" || o.keyFile == "" {
		problem("--tls-cert-file, --tls-private-key-file: tokens are taken over TLS only, name a certificate and its key")
	}
	if o.maxStaleness < leastStaleness {
		problem("--max-staleness: %s is less than %s, within which the API server may be silent while all is well", o.maxStaleness, leastStaleness)
	}
	if o.writesPerSecond <= 0 {
		problem("--use-writes-per-second: %g is not more than 0", o.writesPerSecond)
	}
	for _, file := range []struct{ flag, path string }{
		{"--tls-cert-file", o.certFile}, {"--tls-private-key-file", o.keyFile},
	} {
		problems = append(problems, program.CheckFile(file.flag, file.path)...)
	}
	for _, address := range []struct{ flag, value string }{
		{"--bind-address", o.address}, {"--webhook-bind-address", o.webhookAddress}, {"--ext-authz-bind-address", o.extAuthzAddress},
	} {
		problems = append(problems, program.CheckAddress(address.flag, address.value)...)
	}
	return errors.Join(append(problems, o.checkClientCA()...)...)
}

// checkClientCA says what is wrong with the authority of webhook clients. One that
// nobody asks for may be missing: config/verifier names it in any case.
func (o options) checkClientCA() []error {
	if o.webhookAddress == program.None {
		return nil
	}
	const unless = "or set --webhook-bind-address=0 where kube-apiserver is not to ask"
	if o.clientCAFile == "" {
		return []error{errors.New("--client-ca-file: the webhooks are for kube-apiserver only, name the authority of its client certificate, " + unless)}
	}
	problems := program.CheckFile("--client-ca-file", o.clientCAFile)
	for i, problem := range problems {
		problems[i] = fmt.Errorf("%w: put the authority of kube-apiserver's client certificate there, %s", problem, unless)
	}
	return problems
}
