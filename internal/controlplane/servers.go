package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/assets"
)

// Files in the state folder. The servers run in it, so that these names are
// also good in their arguments.
const (
	auditLogFile          = "audit.log"
	auditPolicyFile       = "audit-policy.yaml"
	portFile              = "port"
	adminKubeconfig       = "admin.kubeconfig"
	personsKubeconfig     = "kubeconfig"
	controllersKubeconfig = "controller-manager.kubeconfig"

	// etcd listens on a socket in the state folder, which is private to its
	// owner: it needs neither a port nor TLS. Its URL parser wants host:port,
	// and the socket file has that name.
	etcdClients = "unix://etcd-client:0"
	etcdPeers   = "unix://etcd-peer:0"
)

const (
	// portAttempts bounds how often another port is tried: between its choice
	// and its use another program may take it.
	portAttempts = 5

	// readyTimeout is for a machine that is busy with other things.
	readyTimeout = 2 * time.Minute
	pollInterval = 50 * time.Millisecond

	// answerTimeout is short because another program on our port may take the
	// connection and never answer.
	answerTimeout = time.Second
)

var errPortTaken = errors.New("port is taken by another program")

func (cp *ControlPlane) startEtcd() error {
	cp.options.Progress("starting etcd")
	return cp.startServer(assets.Etcd, []string{
		"--name=controlplane",
		"--data-dir=etcd",
		"--listen-client-urls=" + etcdClients,
		"--advertise-client-urls=" + etcdClients,
		"--listen-peer-urls=" + etcdPeers,
		"--initial-advertise-peer-urls=http://localhost:2380", // never dialled: one member
		"--initial-cluster=controlplane=http://localhost:2380",
		"--unsafe-no-fsync",
		"--log-level=warn",
	})
}

// startAPIServer starts kube-apiserver on the port of the last start, or on a
// free one, and waits until it is ready.
func (cp *ControlPlane) startAPIServer(ctx context.Context) error {
	port := cp.lastPort()
	for attempt := 1; ; attempt++ {
		if port == 0 {
			free, err := freePort(ctx)
			if err != nil {
				return err
			}
			port = free
		}
		err := cp.tryAPIServer(ctx, port)
		if !errors.Is(err, errPortTaken) || attempt == portAttempts {
			return err
		}
		cp.options.Progress(fmt.Sprintf("port %d is taken by another program, trying another one", port))
		port = 0
	}
}

func (cp *ControlPlane) tryAPIServer(ctx context.Context, port int) error {
	cp.port = port
	if err := cp.writeConfigs(); err != nil {
		return err
	}
	cp.options.Progress("starting kube-apiserver")
	p, err := cp.launch(assets.APIServer, cp.apiServerArgs())
	if err != nil {
		return err
	}
	if err := cp.waitReady(ctx, p); err != nil {
		return errors.Join(err, p.kill())
	}
	cp.add(p)
	return writeFile(filepath.Join(cp.dir, portFile), []byte(strconv.Itoa(port)))
}

func (cp *ControlPlane) apiServerArgs() []string {
	args := []string{
		"--etcd-servers=" + etcdClients,
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(cp.port),
		"--tls-cert-file=" + cp.pki.certFile("apiserver"),
		"--tls-private-key-file=" + cp.pki.keyFile("apiserver"),
		"--client-ca-file=" + cp.pki.certFile("ca"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + cp.pki.keyFile("service-account"),
		"--service-account-signing-key-file=" + cp.pki.keyFile("service-account"),
		"--service-cluster-ip-range=10.0.0.0/24",
		"--endpoint-reconciler-type=none", // the server is not reachable from pods
		"--audit-policy-file=" + auditPolicyFile,
		"--audit-log-path=" + auditLogFile,
		"--profiling=false",
	}
	if cp.temporary {
		args = append(args, "--audit-log-maxsize=0") // one file, so that a search of it sees everything
	} else {
		args = append(args, "--audit-log-maxsize=100", "--audit-log-maxbackup=2")
	}
	args = append(args, cp.authorizationArgs()...)
	return append(args, cp.options.APIServerArgs...)
}

// startControllerManager starts the controllers that the operator leans on:
// garbage collection, namespaces, service accounts and aggregated roles, and
// those of the workloads that it restarts. The others only take CPU time here.
func (cp *ControlPlane) startControllerManager() error {
	cp.options.Progress("starting kube-controller-manager")
	controllers := []string{
		"garbage-collector-controller", "namespace-controller", "resourcequota-controller",
		"serviceaccount-controller", "root-ca-certificate-publisher-controller",
		"clusterrole-aggregation-controller", "validatingadmissionpolicy-status-controller",
		"deployment-controller", "replicaset-controller", "statefulset-controller", "daemonset-controller",
	}
	return cp.startServer(assets.ControllerManager, []string{
		"--kubeconfig=" + controllersKubeconfig,
		"--controllers=" + strings.Join(controllers, ","),
		"--service-account-private-key-file=" + cp.pki.keyFile("service-account"),
		"--root-ca-file=" + cp.pki.certFile("ca"),
		"--use-service-account-credentials=true",
		"--leader-elect=false",
		"--secure-port=0", // nobody asks it anything
		"--profiling=false",
	})
}

// startServer starts a server and keeps it.
func (cp *ControlPlane) startServer(name string, args []string) error {
	p, err := cp.launch(name, args)
	if err == nil {
		cp.add(p)
	}
	return err
}

func (cp *ControlPlane) launch(name string, args []string) (*Process, error) {
	return StartProcess(name, cp.assets[name], args, nil, cp.dir, filepath.Join(cp.dir, "logs", name+".log"))
}

// waitReady polls until the API server says that it is ready, and stops early
// when it or an earlier server dies.
func (cp *ControlPlane) waitReady(ctx context.Context, p *Process) error {
	client, err := rest.HTTPClientFor(cp.admin)
	if err != nil {
		return fmt.Errorf("client of the API server: %w", err)
	}
	defer client.CloseIdleConnections()
	client.Timeout = answerTimeout
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	var last error
	err = wait.PollUntilContextCancel(ctx, pollInterval, false, func(ctx context.Context) (bool, error) {
		select {
		case <-p.Done():
			return false, cp.apiServerEnded(p)
		case <-cp.Done():
			return false, cp.Err()
		default:
		}
		last = get(ctx, client, cp.admin.Host+"/readyz")
		return last == nil, nil
	})
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("wait for kube-apiserver: %w (last answer: %w); its last lines in %s:\n%s", err, last, p.Log(), p.Tail())
	}
	return err
}

// apiServerEnded tells a port that was taken from all other reasons.
func (cp *ControlPlane) apiServerEnded(p *Process) error {
	if strings.Contains(p.Tail(), "bind: address already in use") {
		return fmt.Errorf("listen on 127.0.0.1:%d: %w", cp.port, errPortTaken)
	}
	return p.Err()
}

// lastPort returns the port of the last start with this folder, 0 if none.
func (cp *ControlPlane) lastPort() int {
	content, err := os.ReadFile(filepath.Join(cp.dir, portFile))
	if err != nil {
		return 0
	}
	port, err := strconv.Atoi(string(content))
	if err != nil {
		return 0
	}
	return port
}

func freePort(ctx context.Context) (int, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.Join(fmt.Errorf("find a free port: %s is no TCP address", listener.Addr()), listener.Close())
	}
	return address.Port, listener.Close()
}
