package operator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/assets"
)

const (
	readyTimeout  = time.Minute
	answerTimeout = 2 * time.Second
	pollInterval  = 50 * time.Millisecond
)

// Options say how the manager is run.
type Options struct {
	// Program is the path of the manager. Empty means bin/manager of the clone.
	Program string

	// Args are further arguments; a later one wins.
	Args []string
}

// Operator is a running manager.
type Operator struct {
	*controlplane.Process
	metricsAddress string
}

// Start runs the manager and returns when it says that it is ready. Its files
// are in the state folder of the control plane: the log in logs/manager.log, and
// manager.kubeconfig.
func Start(ctx context.Context, cp *controlplane.ControlPlane, options Options) (*Operator, error) {
	program, err := programAt(options.Program, "manager")
	if err != nil {
		return nil, err
	}
	config, err := cp.ServiceAccountConfig(ctx, Namespace, Account)
	if err != nil {
		return nil, err
	}
	kubeconfig := filepath.Join(cp.Dir(), "manager.kubeconfig")
	if err := controlplane.WriteKubeconfig(config, kubeconfig); err != nil {
		return nil, err
	}
	addresses, err := keptAddresses(ctx, filepath.Join(cp.Dir(), "manager.addresses"), 2)
	if err != nil {
		return nil, err
	}
	health, metrics := addresses[0], addresses[1]
	args := append([]string{
		"--kubeconfig=" + kubeconfig,
		"--namespace=" + Namespace,
		"--leader-elect=false", // nobody else leads here, and a killed leader's Lease takes 15 s to run out
		"--health-probe-bind-address=" + health,
		"--metrics-bind-address=" + metrics,
		"--metrics-secure=false", // loopback, and for development only
	}, options.Args...)
	process, err := controlplane.StartProcess("manager", program, args, nil, cp.Dir(), filepath.Join(cp.Dir(), "logs", "manager.log"))
	if err != nil {
		return nil, err
	}
	o := &Operator{Process: process, metricsAddress: metrics}
	if err := waitReady(ctx, o.Process, "http://"+health+"/readyz"); err != nil {
		return nil, errors.Join(err, o.Stop())
	}
	return o, nil
}

// MetricsURL is where the manager's metrics are, in the text format of
// Prometheus.
func (o *Operator) MetricsURL() string { return "http://" + o.metricsAddress + "/metrics" }

// programAt is the path of a program: the one given, or else bin/NAME of the
// clone.
func programAt(given, name string) (string, error) {
	if given != "" {
		return given, nil
	}
	root, err := assets.ModuleRoot()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, "bin", name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("no program %s: run `make build`", path)
	}
	return path, nil
}

// waitReady waits until a process says that it is ready.
func waitReady(ctx context.Context, process *controlplane.Process, url string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	client := &http.Client{Timeout: answerTimeout}
	defer client.CloseIdleConnections()
	var last error
	err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(ctx context.Context) (bool, error) {
		select {
		case <-process.Done():
			return false, process.Err()
		default:
		}
		last = ready(ctx, client, url)
		return last == nil, nil
	})
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("wait for %s: %w (last answer: %w); its log is %s", process.Name(), err, last, process.Log())
	}
	return err
}

func ready(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"?verbose", nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return nil
}

// keptAddresses returns n loopback addresses: those of the last start, which the
// file holds, while they are free, so that what somebody has noted or scrapes
// stays right; else free ones.
func keptAddresses(ctx context.Context, file string, n int) ([]string, error) {
	if content, err := os.ReadFile(file); err == nil {
		if kept := strings.Fields(string(content)); len(kept) == n && areFree(ctx, kept) {
			return kept, nil
		}
	}
	free, err := freeAddresses(ctx, n)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, []byte(strings.Join(free, "\n")+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("keep the addresses: %w", err)
	}
	return free, nil
}

func areFree(ctx context.Context, addresses []string) bool {
	for _, address := range addresses {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return false
		}
		_ = listener.Close()
	}
	return true
}

// freeAddresses returns n free loopback addresses. All are held until all are
// known, else two could be the same.
func freeAddresses(ctx context.Context, n int) ([]string, error) {
	addresses := make([]string, n)
	for i := range addresses {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer func() { _ = listener.Close() }()
		addresses[i] = listener.Addr().String()
	}
	return addresses, nil
}
