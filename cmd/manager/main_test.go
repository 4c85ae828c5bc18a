package main

import (
	"os"
	"testing"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// asManager in the environment makes this test binary the manager: what the
// tests start as a child process is the code under test, and nothing has to be
// built first.
const asManager = "ACCESSTOKEN_TEST_AS_MANAGER"

func TestMain(m *testing.M) {
	if os.Getenv(asManager) != "" {
		main()
		return
	}
	ctrl.SetLogger(logr.Discard()) // that of the tests' own clients
	os.Exit(testenv.Run(m))
}
