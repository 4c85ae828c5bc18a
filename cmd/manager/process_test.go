package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/child"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// How long tests wait, and how often they look.
const (
	soon   = child.Soon
	later  = child.Later
	aWhile = child.AWhile
	often  = 50 * time.Millisecond
	seldom = time.Second
)

// manager is a running child process.
type manager struct {
	*controlplane.Process
	health  string
	metrics string
}

// managerLogs are those of every manager so far.
var managerLogs []string

// startManager starts a manager with the rights of its service account, does not
// wait, and stops it when the test ends. It serves metrics as in production.
func startManager(t *testing.T, args ...string) *manager {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cp := testenv.ControlPlane(t)
	name := fmt.Sprintf("manager-%d", len(managerLogs)+1)
	kubeconfig := filepath.Join(cp.Dir(), name+".kubeconfig")
	if err := controlplane.WriteKubeconfig(testenv.ManagerConfig(t), kubeconfig); err != nil {
		t.Fatal(err)
	}
	m := &manager{health: freeAddress(t), metrics: freeAddress(t)}
	all := append([]string{
		"--kubeconfig=" + kubeconfig,
		"--namespace=" + operator.Namespace,
		"--leader-elect=false",
		"--log-level=DEBUG",
		"--health-probe-bind-address=" + m.health,
		"--metrics-bind-address=" + m.metrics,
	}, args...)
	log := filepath.Join(cp.Dir(), "logs", name+".log")
	m.Process, err = controlplane.StartProcess(name, program, all, []string{asManager + "=1"}, cp.Dir(), log)
	if err != nil {
		t.Fatal(err)
	}
	managerLogs = append(managerLogs, log)
	t.Cleanup(func() {
		if err := m.Stop(); err != nil {
			t.Errorf("stop %s: %v", name, err)
		}
	})
	return m
}

// readyManager starts a manager and waits until it is ready.
func readyManager(t *testing.T, args ...string) *manager {
	t.Helper()
	m := startManager(t, args...)
	m.awaitReady(t)
	return m
}

func (m *manager) awaitReady(t *testing.T) {
	t.Helper()
	g := gomega.NewWithT(t)
	g.Eventually(func(g gomega.Gomega) {
		select {
		case <-m.Done():
			gomega.StopTrying("the manager ended").Wrap(m.Err()).Now()
		default:
		}
		status, body := m.probe(t, "/readyz")
		g.Expect(status).To(gomega.Equal(http.StatusOK), body)
	}).WithTimeout(later).WithPolling(often).Should(gomega.Succeed())
}

// probe asks a health endpoint; status is 0 while nobody answers.
func (m *manager) probe(t *testing.T, path string) (status int, body string) {
	t.Helper()
	return child.Get(t, http.DefaultClient, "http://"+m.health+path, "")
}

// scrape asks the metrics endpoint with a bearer token, which may be empty.
func (m *manager) scrape(t *testing.T, bearer string) (status int, body string) {
	t.Helper()
	insecure := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // it signs its own certificate
	defer insecure.CloseIdleConnections()
	return child.Get(t, &http.Client{Transport: insecure}, "https://"+m.metrics+"/metrics", bearer)
}

// kill ends the process as a crash does, without a word to anybody.
func (m *manager) kill(t *testing.T) {
	t.Helper()
	child.Kill(t, m.Process)
}

// logged is what the manager wrote so far, from a mark on.
func (m *manager) logged(t *testing.T, mark int) []byte {
	t.Helper()
	return child.Logged(t, m.Process, mark)
}

// errorsLogged are the lines of level ERROR from a mark on.
func (m *manager) errorsLogged(t *testing.T, mark int) []string {
	t.Helper()
	var found []string
	for line := range bytes.Lines(m.logged(t, mark)) {
		if bytes.Contains(line, []byte(`"level":"ERROR"`)) {
			found = append(found, string(line))
		}
	}
	return found
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}
