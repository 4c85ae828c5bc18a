package main

import (
	"os"
	"testing"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// How long tests wait, on a machine that is busy with other test binaries.
const (
	// soon is for what takes a write and a watch event.
	soon = 20 * time.Second
	// often is how often a test looks.
	often = 20 * time.Millisecond
)

// startManager runs a manager until the test ends.
func startManager(t *testing.T, args ...string) *operator.Operator {
	t.Helper()
	m, err := operator.Start(t.Context(), testenv.ControlPlane(t), operator.Options{Program: managerProgram, Args: args})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(); err != nil {
			t.Errorf("stop the manager: %v", err)
		}
	})
	return m
}

// startVerifier runs a verifier until the test ends: this test binary. The first
// name is empty, for the one that kube-apiserver asks.
func startVerifier(t *testing.T, name, config string, args ...string) *operator.Verifier {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(asVerifier, "1")
	v, err := operator.StartVerifier(t.Context(), testenv.ControlPlane(t), operator.VerifierOptions{
		Name: name, Program: program, Config: config, Args: append([]string{"--log-level=DEBUG"}, args...),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Stop(); err != nil {
			t.Errorf("stop the verifier: %v", err)
		}
	})
	return v
}

func TestAVerifierIsReadyOnceThereAreKeys(t *testing.T) {
	startManager(t)
	v := startVerifier(t, "", "")
	select {
	case <-v.Done():
		t.Fatal(v.Err())
	default:
	}
}
