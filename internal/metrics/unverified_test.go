package metrics_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/accesstoken-dev/accesstoken-operator/internal/credential"
	"github.com/accesstoken-dev/accesstoken-operator/internal/gateway"
	"github.com/accesstoken-dev/accesstoken-operator/internal/metrics"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

func TestRequestsThatCarryNoTokenAreCountedByReason(t *testing.T) {
	registry := prometheus.NewRegistry()
	count, err := metrics.NewUnverified(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, refusal := range []error{
		credential.ErrMissing, credential.ErrMissing, fmt.Errorf("wrapped: %w", credential.ErrMisplaced), gateway.ErrUnknownPolicy,
		errors.New("something of a client's own"),
	} {
		count(verify.ProtocolForwardAuth, refusal)
	}
	const name = "accesstoken_unverified_requests_total"
	want := `
		# TYPE ` + name + ` counter
		` + name + `{protocol="ForwardAuth",reason="Misplaced"} 1
		` + name + `{protocol="ForwardAuth",reason="Missing"} 2
		` + name + `{protocol="ForwardAuth",reason="Other"} 1
		` + name + `{protocol="ForwardAuth",reason="UnknownPolicy"} 1
	`
	if err := testutil.GatherAndCompare(registry, strings.NewReader("# HELP "+name+" "+help(t, registry, name)+want), name); err != nil {
		t.Error(err)
	}
}

// help is what a metric says of itself.
func help(t *testing.T, registry *prometheus.Registry, name string) string {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetHelp()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return ""
}
