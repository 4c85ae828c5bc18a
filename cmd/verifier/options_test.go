package main

import (
	"bytes"
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"

	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/program"
)

// environment is an environment of these variables only.
func environment(variables map[string]string) func(string) string {
	return func(name string) string { return variables[name] }
}

// file writes a file with this content.
func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// parse reads arguments after those that are always needed.
func parse(t *testing.T, arguments ...string) (options, error) {
	t.Helper()
	there := file(t, "")
	needed := []string{"--tls-cert-file=" + there, "--tls-private-key-file=" + there, "--client-ca-file=" + there}
	return parseOptions(append(needed, arguments...), environment(nil), &bytes.Buffer{})
}

func TestOptionsHaveSafeDefaults(t *testing.T) {
	got, err := parse(t)
	if err != nil {
		t.Fatal(err)
	}
	got.certFile, got.keyFile, got.clientCAFile = "", "", ""
	want := options{
		Options: program.Options{
			Namespace: "accesstoken-system", MetricsAddress: ":8445", MetricsSecure: true, HealthAddress: ":8081", LogLevel: slog.LevelInfo,
		},
		configuration: config.Default(),
		address:       ":8443", webhookAddress: ":9443", extAuthzAddress: ":9444",
		maxStaleness: 5 * time.Minute, writesPerSecond: 50,
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(options{})); diff != "" {
		t.Error(diff)
	}
}

func TestOptionsAreRead(t *testing.T) {
	configured := file(t, "apiVersion: "+config.APIVersion+"\nkind: "+config.Kind+"\ndefaultAudience: shop\n")
	got, err := parse(t, "--config="+configured, "--bind-address=:1", "--webhook-bind-address=0", "--ext-authz-bind-address=:2", "--client-ca-file=",
		"--client-name=kube-apiserver", "--client-name=other", "--max-staleness=2m", "--use-writes-per-second=0.5")
	if err != nil {
		t.Fatal(err)
	}
	if got.configuration.DefaultAudience != "shop" {
		t.Errorf("default audience %q", got.configuration.DefaultAudience)
	}
	got.certFile, got.keyFile, got.configFile, got.Options, got.configuration = "", "", "", program.Options{}, config.Verifier{}
	want := options{
		address: ":1", webhookAddress: "0", extAuthzAddress: ":2", clientNames: []string{"kube-apiserver", "other"},
		maxStaleness: 2 * time.Minute, writesPerSecond: 0.5,
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(options{})); diff != "" {
		t.Error(diff)
	}
}

func TestEachMistakeIsNamed(t *testing.T) {
	for name, test := range map[string]struct {
		arguments []string
		want      string
	}{
		"nothing to serve": {
			[]string{"--bind-address=0", "--webhook-bind-address=0", "--ext-authz-bind-address=0"},
			"--bind-address, --webhook-bind-address, --ext-authz-bind-address: all are 0, so nobody could ask anything",
		},
		"no certificate":           {[]string{"--tls-cert-file="}, "--tls-cert-file, --tls-private-key-file: tokens are taken over TLS only"},
		"no key":                   {[]string{"--tls-private-key-file="}, "--tls-cert-file, --tls-private-key-file: tokens are taken over TLS only"},
		"a certificate that isn't": {[]string{"--tls-cert-file=/does/not/exist"}, "--tls-cert-file: stat /does/not/exist"},
		"a key that isn't":         {[]string{"--tls-private-key-file=/does/not/exist"}, "--tls-private-key-file: stat /does/not/exist"},
		"no client authority":      {[]string{"--client-ca-file="}, "--client-ca-file: the webhooks are for kube-apiserver only"},
		"an authority that isn't":  {[]string{"--client-ca-file=/does/not/exist"}, "--client-ca-file: stat /does/not/exist: no such file or directory: put the authority of kube-apiserver's client certificate there, or set --webhook-bind-address=0"},
		"a client without a name":  {[]string{"--client-name= "}, "client-name: it is empty"},
		"too little staleness":     {[]string{"--max-staleness=1m59s"}, "--max-staleness: 1m59s is less than 2m0s"},
		"no writes":                {[]string{"--use-writes-per-second=0"}, "--use-writes-per-second: 0 is not more than 0"},
		"less than no writes":      {[]string{"--use-writes-per-second=-1"}, "--use-writes-per-second: -1 is not more than 0"},
		"no number":                {[]string{"--use-writes-per-second=many"}, "use-writes-per-second"},
		"an address that isn't":    {[]string{"--bind-address=foo"}, `--bind-address: "foo" is no address to listen at: write HOST:PORT`},
		"a webhook's that isn't":   {[]string{"--webhook-bind-address=127.0.0.1"}, `--webhook-bind-address: "127.0.0.1" is no address`},
		"Envoy's that isn't":       {[]string{"--ext-authz-bind-address=:99999"}, `--ext-authz-bind-address: ":99999" is no address`},
		"no configuration there":   {[]string{"--config=/does/not/exist"}, "--config: read configuration: open /does/not/exist"},
		"an empty configuration":   {[]string{"--config=" + file(t, "")}, "it is empty: begin with apiVersion: " + config.APIVersion},
		"a field that isn't":       {[]string{"--config=" + file(t, "apiVersion: "+config.APIVersion+"\nkind: "+config.Kind+"\naudit: {pathe: x}\n")}, `unknown field "audit.pathe"`},
		"a field with a mistake":   {[]string{"--config=" + file(t, "apiVersion: "+config.APIVersion+"\nkind: "+config.Kind+"\npolicies: [{name: shop}, {name: Shop}]\n")}, `policies[1].name: "Shop" is no name`},
	} {
		if _, err := parse(t, test.arguments...); err == nil || !bytes.Contains([]byte(err.Error()), []byte(test.want)) {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
}

func TestAnAuthorityThatNobodyAsksForMayBeMissing(t *testing.T) {
	if _, err := parse(t, "--webhook-bind-address=0", "--client-ca-file=/does/not/exist"); err != nil {
		t.Errorf("with the webhooks off: %v", err)
	}
}

func TestEveryMistakeIsReportedAtOnce(t *testing.T) {
	g := gomega.NewWithT(t)
	_, err := parse(t, "--max-staleness=1s", "--use-writes-per-second=0", "--config="+file(t, "kind: Other"), "--namespace=")
	for _, problem := range []string{"--max-staleness: 1s", "--use-writes-per-second: 0", "apiVersion, kind: ", "--namespace: it is empty"} {
		g.Expect(err).To(gomega.MatchError(gomega.ContainSubstring(problem)))
	}
}

func TestHelpListsTheFlags(t *testing.T) {
	g := gomega.NewWithT(t)
	var output bytes.Buffer
	_, err := parseOptions([]string{"--help"}, environment(nil), &output)
	g.Expect(errors.Is(err, flag.ErrHelp)).To(gomega.BeTrue())
	for _, name := range []string{"bind-address", "webhook-bind-address", "ext-authz-bind-address", "tls-cert-file", "client-name", "max-staleness", "config", "version"} {
		g.Expect(output.String()).To(gomega.MatchRegexp(`(?m)^  --` + name + `\b.*\n    \t`))
	}
	for _, required := range []string{"tls-cert-file", "tls-private-key-file", "client-ca-file"} {
		g.Expect(output.String()).To(gomega.MatchRegexp(`(?m)^  --` + required + ` string\n.*; required`))
	}
	g.Expect(output.String()).To(gomega.MatchRegexp(`(?m)^  --max-staleness duration\n.*\(default 5m0s\)$`))
}
