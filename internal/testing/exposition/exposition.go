package exposition

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Ours are the metrics of this project in a text of Prometheus's format, by name.
// It is an error if promlint finds anything in them.
func Ours(tb testing.TB, text string) map[string]*dto.MetricFamily {
	tb.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		tb.Fatal(err)
	}
	var ours []*dto.MetricFamily
	for name, family := range families {
		if strings.HasPrefix(name, "accesstoken_") {
			ours = append(ours, family)
		} else {
			delete(families, name)
		}
	}
	problems, err := promlint.NewWithMetricFamilies(ours).Lint()
	if err != nil || len(problems) > 0 {
		tb.Errorf("promlint: %v, %v", problems, err)
	}
	return families
}

// CheckLabels holds each label of the metrics against the closed set of its
// values, which is that of the metric and the label.
func CheckLabels(tb testing.TB, families map[string]*dto.MetricFamily, closed map[string]map[string][]string) {
	tb.Helper()
	for name, family := range families {
		for _, metric := range family.Metric {
			for _, label := range metric.Label {
				if !slices.Contains(closed[name][label.GetName()], label.GetValue()) {
					tb.Errorf("metric %s has label %s=%q", name, label.GetName(), label.GetValue())
				}
			}
		}
	}
}
