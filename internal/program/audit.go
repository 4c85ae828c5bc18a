package program

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/accesstoken-dev/accesstoken-operator/internal/audit"
	"github.com/accesstoken-dev/accesstoken-operator/internal/metrics"
)

// OpenAuditLog opens the audit log of this path, and anew whenever the process
// gets SIGHUP. What is lost is counted in the registry and logged. It has to be
// closed when all that writes to it has ended.
func OpenAuditLog(path string, registry prometheus.Registerer, log logr.Logger) (*audit.Log, error) {
	lost, err := metrics.NewAudit(registry)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	return audit.Open(audit.Options{Path: path, Reopen: hangup, Clock: clock.RealClock{}, Lost: lost, Errors: log.WithName("audit")})
}
