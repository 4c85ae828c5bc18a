package operator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane"
)

// VerifierAccount is the verifier's, in Namespace.
const VerifierAccount = "accesstoken-verifier"

// VerifierOptions say how a verifier is run.
type VerifierOptions struct {
	// Name tells several of them apart. Empty means verifier. Only one can take the
	// address at which kube-apiserver asks: the one of the empty name.
	Name string

	// Program is the path of the verifier. Empty means bin/verifier of the clone.
	Program string

	// Config is its configuration, a VerifierConfiguration in YAML. Empty means all
	// defaults.
	Config string

	// KeepConfig leaves the configuration of an earlier start as it is, which a person
	// may have changed.
	KeepConfig bool

	// Args are further arguments; a later one wins.
	Args []string
}

// Verifier is a running verifier.
type Verifier struct {
	*controlplane.Process
	addresses verifierAddresses
	config    string
}

type verifierAddresses struct{ health, metrics, https, extAuthz, webhooks string }

// StartVerifier runs a verifier beside a control plane that was started with
// controlplane.Options.Verifier, and returns when it says that it is ready, which
// it is once a manager has made the keys. Its files are in the state folder of
// the control plane: logs/NAME.log, NAME.kubeconfig, NAME.addresses and NAME.yaml.
func StartVerifier(ctx context.Context, cp *controlplane.ControlPlane, options VerifierOptions) (*Verifier, error) {
	name := options.Name
	if name == "" {
		name = "verifier"
	}
	program, err := programAt(options.Program, "verifier")
	if err != nil {
		return nil, err
	}
	config, err := cp.ServiceAccountConfig(ctx, Namespace, VerifierAccount)
	if err != nil {
		return nil, err
	}
	file := func(suffix string) string { return filepath.Join(cp.Dir(), name+suffix) }
	if err := controlplane.WriteKubeconfig(config, file(".kubeconfig")); err != nil {
		return nil, err
	}
	v := &Verifier{}
	if v.addresses, err = chooseAddresses(ctx, cp, file(".addresses"), options.Name == ""); err != nil {
		return nil, err
	}
	endpoint := cp.Verifier()
	args := []string{
		"--kubeconfig=" + file(".kubeconfig"),
		"--namespace=" + Namespace,
		"--tls-cert-file=" + endpoint.CertFile,
		"--tls-private-key-file=" + endpoint.KeyFile,
		"--client-ca-file=" + endpoint.ClientCAFile,
		"--bind-address=" + v.addresses.https,
		"--webhook-bind-address=" + v.addresses.webhooks,
		"--ext-authz-bind-address=" + v.addresses.extAuthz,
		"--health-probe-bind-address=" + v.addresses.health,
		"--metrics-bind-address=" + v.addresses.metrics,
		"--metrics-secure=false", // loopback, and for development only
	}
	if options.Config != "" {
		if err := writeConfig(file(".yaml"), options.Config, options.KeepConfig); err != nil {
			return nil, fmt.Errorf("configuration of the verifier: %w", err)
		}
		v.config = file(".yaml")
		args = append(args, "--config="+v.config)
	}
	log := filepath.Join(cp.Dir(), "logs", name+".log")
	if v.Process, err = controlplane.StartProcess(name, program, append(args, options.Args...), nil, cp.Dir(), log); err != nil {
		return nil, err
	}
	if err := waitReady(ctx, v.Process, "http://"+v.addresses.health+"/readyz"); err != nil {
		return nil, errors.Join(err, v.Stop())
	}
	return v, nil
}

func writeConfig(path, content string, keep bool) error {
	flags := os.O_CREATE | os.O_WRONLY | os.O_TRUNC
	if keep {
		flags = os.O_CREATE | os.O_WRONLY | os.O_EXCL
	}
	file, err := os.OpenFile(path, flags, 0o600)
	if keep && errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = file.WriteString(content)
	return errors.Join(err, file.Close())
}

func chooseAddresses(ctx context.Context, cp *controlplane.ControlPlane, file string, forAPIServer bool) (verifierAddresses, error) {
	kept, err := keptAddresses(ctx, file, 5)
	if err != nil {
		return verifierAddresses{}, err
	}
	a := verifierAddresses{health: kept[0], metrics: kept[1], https: kept[2], extAuthz: kept[3], webhooks: kept[4]}
	if forAPIServer {
		a.webhooks = cp.Verifier().Address
	}
	return a, nil
}

// Config is the path of the configuration file, empty when there is none.
func (v *Verifier) Config() string { return v.config }

// URL is where introspection, revocation and forward auth are.
func (v *Verifier) URL() string { return "https://" + v.addresses.https }

// WebhooksURL is where kube-apiserver asks, with a client certificate.
func (v *Verifier) WebhooksURL() string { return "https://" + v.addresses.webhooks }

// HealthURL is where the probes are.
func (v *Verifier) HealthURL() string { return "http://" + v.addresses.health }

// ExtAuthzAddress is where ext_authz is, host:port.
func (v *Verifier) ExtAuthzAddress() string { return v.addresses.extAuthz }

// MetricsURL is where the verifier's metrics are, in the text format of
// Prometheus.
func (v *Verifier) MetricsURL() string { return "http://" + v.addresses.metrics + "/metrics" }
