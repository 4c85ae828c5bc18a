package testenv

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
)

// startTimeout bounds start and installation on a machine that is busy with
// other test binaries.
const startTimeout = 3 * time.Minute

// T is what is needed of a *testing.T or of ginkgo's GinkgoT().
type T interface {
	Helper()
	Name() string
	Context() context.Context
	Fatalf(format string, args ...any)
}

// M is what is needed of a *testing.M.
type M interface{ Run() int }

// running is set by Run before any test runs, and never changed.
var running *controlplane.ControlPlane

// Run starts a control plane with the configuration for development installed, runs the tests, stops
// it, and returns the exit status for os.Exit.
func Run(m M) int { return RunWith(m, controlplane.Options{}) }

// RunWith is Run on a control plane that is started in another way.
func RunWith(m M, options controlplane.Options) int {
	cp, err := Start(options)
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	running = cp
	code := m.Run()
	if err := cp.Err(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := cp.Stop(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// Start starts a control plane in a temporary folder and installs the
// configuration for development. It returns when the policies in it bind the
// manager's account.
func Start(options controlplane.Options) (*controlplane.ControlPlane, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	cp, err := controlplane.Start(ctx, options)
	if err != nil {
		return nil, err
	}
	if err := operator.InstallDev(ctx, cp); err != nil {
		_ = cp.Stop() // the first error says more
		return nil, err
	}
	return cp, nil
}

// ControlPlane is the one that Run started.
func ControlPlane(t T) *controlplane.ControlPlane {
	t.Helper()
	if running == nil {
		t.Fatalf("no control plane: call testenv.Run in TestMain")
	}
	return running
}

// Config returns an administrator's configuration.
func Config(t T) *rest.Config {
	t.Helper()
	return ControlPlane(t).Config()
}

// ManagerConfig returns a configuration with the rights of the manager's
// account.
func ManagerConfig(t T) *rest.Config {
	t.Helper()
	config, err := ControlPlane(t).ServiceAccountConfig(t.Context(), operator.Namespace, operator.Account)
	if err != nil {
		t.Fatalf("configuration of the manager's account: %v", err)
	}
	return config
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// Namespace creates a namespace and returns its name, which begins with the name
// of the test and is unique. It is not removed: the control plane goes with the
// test binary.
func Namespace(t T) string {
	t.Helper()
	clients, err := kubernetes.NewForConfig(Config(t))
	if err != nil {
		t.Fatalf("client of the control plane: %v", err)
	}
	prefix := notInNames.ReplaceAllString(strings.ToLower(t.Name()), "-")
	prefix = strings.Trim(prefix[:min(len(prefix), 40)], "-") + "-"
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "t-" + prefix}}
	created, err := clients.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("create namespace: %v", err)
	}
	return created.Name
}
