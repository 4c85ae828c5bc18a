package metrics_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/audit"
	"github.com/accesstoken-dev/accesstoken-operator/internal/clockoffset"
	"github.com/accesstoken-dev/accesstoken-operator/internal/keys"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lastused"
	"github.com/accesstoken-dev/accesstoken-operator/internal/metrics"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/securityevents"
	"github.com/accesstoken-dev/accesstoken-operator/internal/store"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// describer is a Registerer that keeps what is registered.
type describer struct{ descs []*prometheus.Desc }

func (d *describer) Register(collector prometheus.Collector) error {
	ch := make(chan *prometheus.Desc)
	go func() {
		collector.Describe(ch)
		close(ch)
	}()
	for desc := range ch {
		d.descs = append(d.descs, desc)
	}
	return nil
}

func (d *describer) MustRegister(collectors ...prometheus.Collector) {
	for _, collector := range collectors {
		_ = d.Register(collector)
	}
}

func (d *describer) Unregister(prometheus.Collector) bool { return false }

var described = regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)

// registered are the metrics of both programs by name, with their labels.
func registered(t *testing.T) map[string]string {
	t.Helper()
	all := &describer{}
	_, lifecycleErr := metrics.NewLifecycle(all)
	_, verificationErr := metrics.NewVerification(all)
	_, auditErr := metrics.NewAudit(all)
	_, unverifiedErr := metrics.NewUnverified(all)
	_, eventsErr := metrics.NewSecurityEvents(all, securityevents.Results())
	for _, err := range []error{lifecycleErr, verificationErr, auditErr, unverifiedErr, eventsErr} {
		if err != nil {
			t.Fatal(err)
		}
	}
	number := func() int { return 0 }
	all.MustRegister(
		metrics.NewTokens(reader{}), metrics.NewQuotas(reader{}), clockoffset.New(clock.RealClock{}).Collector(), keys.NewRing().Collector(),
		metrics.NewVerifierState(metrics.VerifierState{
			Tokens: number, UsesPending: number, UsesOverdue: number,
			Refused:   func() map[store.Refusal]int { return nil },
			Staleness: func() (time.Duration, bool) { return 0, false },
		}),
	)
	found := map[string]string{}
	for _, desc := range all.descs {
		parts := described.FindStringSubmatch(desc.String())
		if parts == nil {
			t.Fatalf("cannot read %s", desc)
		}
		found[parts[1]] = parts[2]
	}
	return found
}

func document(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// cells are those of a row of a table, without the marks of code.
func cells(row string) []string {
	parts := strings.Split(strings.Trim(strings.TrimSpace(row), "|"), "|")
	for i := range parts {
		parts[i] = strings.TrimSpace(strings.ReplaceAll(parts[i], "`", ""))
	}
	return parts
}

func TestTheDocumentListsEveryMetric(t *testing.T) {
	_, table, _ := strings.Cut(document(t), "## The table")
	table, _, _ = strings.Cut(table, "## Values of labels")
	listed := map[string]string{}
	for row := range strings.Lines(table) {
		if parts := cells(row); strings.HasPrefix(parts[0], "accesstoken_") {
			listed[parts[0]] = strings.ReplaceAll(parts[3], " ", "")
		}
	}
	want := registered(t)
	for name, labels := range want {
		if got, ok := listed[name]; !ok || got != labels {
			t.Errorf("%s with the labels %q is listed: %v, with %q", name, labels, ok, got)
		}
	}
	for name := range listed {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is listed, and there is none", name)
		}
	}
}

func TestTheDocumentListsEveryValueOfALabel(t *testing.T) {
	_, table, _ := strings.Cut(document(t), "## Values of labels")
	table, _, _ = strings.Cut(table, "## Alerts")
	listed := map[string][]string{}
	words := regexp.MustCompile("`([^`]+)`")
	for row := range strings.Lines(table) {
		if parts := strings.Split(row, "|"); len(parts) == 5 {
			for _, word := range words.FindAllStringSubmatch(parts[3], -1) {
				key := cells(row)[0] + " " + cells(row)[1]
				listed[key] = append(listed[key], word[1])
			}
		}
	}
	// Whoever holds a token revokes it at a verifier, which counts no ends.
	ends := slices.DeleteFunc(constants(t, "../../api/v1alpha1", "EndReason"), func(reason string) bool {
		return reason == string(v1alpha1.EndReasonRevokedByHolder)
	})
	for key, want := range map[string][]string{
		"accesstoken_issued_total cause":           constants(t, "../lifecycle", "Cause"),
		"accesstoken_ended_total reason":           append(ends, v1alpha1.ReasonExpired),
		"accesstoken_audit_lost_lines_total cause": texts(audit.Losses()),
		"of the verifier protocol":                 append(texts(verify.Protocols()), "Other"),
		"accesstoken_verifications_total reason":   append(append([]string{"active", "inactive", "error"}, texts(verify.Reasons())...), "Other", "NotReady", "Stale", "Failed"),
		"accesstoken_refused_records reason":       texts(store.Refusals()),
		"accesstoken_use_writes_total outcome":     texts(lastused.Outcomes()),
		"accesstoken_security_events_total result": texts(securityevents.Results()),
	} {
		got := listed[key]
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: listed %v, want %v", key, got, want)
		}
	}
}

// constants are the values of the constants of a type in the source of its package.
func constants(t *testing.T, folder, name string) (values []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(node ast.Node) bool {
			spec, ok := node.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if typed, ok := spec.Type.(*ast.Ident); !ok || typed.Name != name {
				return false
			}
			for _, value := range spec.Values {
				if literal, ok := value.(*ast.BasicLit); ok {
					values = append(values, strings.Trim(literal.Value, `"`))
				}
			}
			return false
		})
	}
	if len(values) == 0 {
		t.Fatalf("%s has no constants of type %s", folder, name)
	}
	return values
}

func texts[T ~string](all []T) []string {
	var found []string
	for _, each := range all {
		found = append(found, string(each))
	}
	return found
}
