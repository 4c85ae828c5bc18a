package program_test

import (
	"bytes"
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"

	"github.com/accesstoken-dev/accesstoken-operator/internal/program"
)

// parse reads the flags that all programs have, in an environment with one
// variable.
func parse(podNamespace string, arguments ...string) (o program.Options, output string, err error) {
	environment := func(name string) string {
		if name == "POD_NAMESPACE" {
			return podNamespace
		}
		return ""
	}
	flags := flag.NewFlagSet("program", flag.ContinueOnError)
	o.Register(flags, environment, ":8443")
	var written bytes.Buffer
	if err = program.Parse(flags, arguments, &written); err == nil {
		err = errors.Join(o.Problems()...)
	}
	return o, written.String(), err
}

func TestOptionsHaveSafeDefaults(t *testing.T) {
	got, _, err := parse("")
	want := program.Options{
		Namespace: "accesstoken-system", MetricsAddress: ":8443", MetricsSecure: true, HealthAddress: ":8081", LogLevel: slog.LevelInfo,
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v, options (-want +got):\n%s", err, diff)
	}
}

func TestOptionsAreRead(t *testing.T) {
	kubeconfig := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(kubeconfig, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got, _, err := parse("elsewhere", "--kubeconfig="+kubeconfig, "--metrics-bind-address=0", "--metrics-secure=false",
		"--health-probe-bind-address=127.0.0.1:1", "--log-level=DEBUG", "--pprof-bind-address=:6060", "--version")
	want := program.Options{
		Kubeconfig: kubeconfig, Namespace: "elsewhere", MetricsAddress: "0", HealthAddress: "127.0.0.1:1",
		LogLevel: slog.LevelDebug, PprofAddress: ":6060", ShowVersion: true,
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v, options (-want +got):\n%s", err, diff)
	}
	if got, _, err := parse("elsewhere", "--namespace=here"); got.Namespace != "here" || err != nil {
		t.Errorf("namespace %q, %v, want that of the flag", got.Namespace, err)
	}
}

func TestEachMistakeIsNamedAndNothingElseIsWritten(t *testing.T) {
	for name, test := range map[string]struct{ argument, want string }{
		"no namespace":            {"--namespace=", "--namespace: it is empty"},
		"a kubeconfig that isn't": {"--kubeconfig=/does/not/exist", "--kubeconfig: stat /does/not/exist"},
		"a level that isn't":      {"--log-level=LOUD", `invalid value "LOUD" for flag --log-level: it is no level: use DEBUG, INFO, WARN or ERROR`},
		"that of metrics isn't":   {"--metrics-bind-address=:http", `--metrics-bind-address: ":http" is no address`},
		"that of probes isn't":    {"--health-probe-bind-address=8081", `--health-probe-bind-address: "8081" is no address`},
		"that of profiles isn't":  {"--pprof-bind-address=x", `--pprof-bind-address: "x" is no address`},
		"a port that is too high": {"--metrics-bind-address=:99999", `--metrics-bind-address: ":99999" is no address to listen at: write HOST:PORT`},
		"an unknown flag":         {"--no-such-flag", "not defined: --no-such-flag; --help lists the flags"},
		"something that is none":  {"surplus", `unexpected argument "surplus": everything is a flag`},
	} {
		_, output, err := parse("", test.argument)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
		if output != "" {
			t.Errorf("%s: wrote %q, though Main prints the error", name, output)
		}
	}
}

func TestHelpListsTheFlagsAsTheyAreWritten(t *testing.T) {
	g := gomega.NewWithT(t)
	_, output, err := parse("", "--help")
	g.Expect(errors.Is(err, flag.ErrHelp)).To(gomega.BeTrue())
	g.Expect(output).To(gomega.HavePrefix("Usage of program:\n"))
	g.Expect(output).To(gomega.MatchRegexp(`(?m)^  --version\n    \tprint the version and end$`))
	g.Expect(output).To(gomega.MatchRegexp(`(?m)^  --metrics-bind-address string\n    \t.*\(default :8443\)$`))
	g.Expect(output).To(gomega.MatchRegexp(`(?m)^  --log-level value\n.*\(default INFO\)$`))
}
