//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

const (
	startTimeout = 2 * time.Minute
	patience     = 30 * time.Second
	pollInterval = 50 * time.Millisecond
)

// wall is the clock of the consumers.
var wall clock.PassiveClock = clock.RealClock{}

// Set by TestMain and never changed.
var (
	cluster    client.Client
	forge      *server
	verifier   *operator.Verifier
	verifierCA string // path of the authority of its certificate
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	cp, err := testenv.Start(controlplane.Options{Verifier: &controlplane.Verifier{}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code, err := runOn(cp, m)
	if err = errors.Join(err, cp.Stop()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func runOn(cp *controlplane.ControlPlane, m *testing.M) (code int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	manager, err := operator.Start(ctx, cp, operator.Options{})
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, manager.Stop()) }()
	verifierCA = cp.Verifier().ClientCAFile // one authority signs both sides
	if verifier, err = operator.StartVerifier(ctx, cp, operator.VerifierOptions{}); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, verifier.Stop()) }()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return 1, err
	}
	if cluster, err = client.New(cp.Config(), client.Options{Scheme: scheme}); err != nil {
		return 1, err
	}
	if forge, err = newServer(ctx, cluster); err != nil {
		return 1, err
	}
	defer forge.Close()
	return m.Run(), nil
}
