package operator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
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
	program, err := program(options)
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
	health, metrics, err := freeAddresses(ctx)
	if err != nil {
		return nil, err
	}
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
	if err := o.waitReady(ctx, "http://"+health+"/readyz"); err != nil {
		return nil, errors.Join(err, o.Stop())
	}
	return o, nil
}

// MetricsURL is where the manager's metrics are, in the text format of
// Prometheus.
func (o *Operator) MetricsURL() string { return "http://" + o.metricsAddress + "/metrics" }

func program(options Options) (string, error) {
	if options.Program != "" {
		return options.Program, nil
	}
	root, err := assets.ModuleRoot()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, "bin", "manager")
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("no program %s: run `make build`", path)
	}
	return path, nil
}

func (o *Operator) waitReady(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	client := &http.Client{Timeout: answerTimeout}
	defer client.CloseIdleConnections()
	var last error
	err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(ctx context.Context) (bool, error) {
		select {
		case <-o.Done():
			return false, o.Err()
		default:
		}
		last = ready(ctx, client, url)
		return last == nil, nil
	})
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("wait for the manager: %w (last answer: %w); its log is %s", err, last, o.Log())
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

// freeAddresses returns two free loopback addresses. Both are held until both
// are known, else they could be the same.
func freeAddresses(ctx context.Context) (first, second string, err error) {
	var addresses [2]string
	for i := range addresses {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", fmt.Errorf("find a free port: %w", err)
		}
		defer func() { _ = listener.Close() }()
		addresses[i] = listener.Addr().String()
	}
	return addresses[0], addresses[1], nil
}
