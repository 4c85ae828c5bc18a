package program_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"testing"

	"github.com/go-logr/logr"
	"github.com/onsi/gomega"

	"github.com/accesstoken-dev/accesstoken-operator/internal/program"
)

func TestMainSaysOnceWhatIsWrongAndHow(t *testing.T) {
	for name, c := range map[string]struct {
		options program.Options
		parsed  error
		status  int
		output  string // a part of it
		errors  string // a part of them
	}{
		"help was asked for":        {parsed: flag.ErrHelp},
		"the flags are wrong":       {parsed: errors.New("--workers: 0 is not at least 1"), status: 2, errors: "manager: --workers: 0 is not at least 1\n"},
		"the version was asked for": {options: program.Options{ShowVersion: true}, output: program.Version() + "\n"},
	} {
		g := gomega.NewWithT(t)
		var output, problems bytes.Buffer
		status := program.Main("manager", c.options, c.parsed, &output, &problems, func(context.Context, logr.Logger) error {
			t.Errorf("%s: it ran", name)
			return nil
		})
		g.Expect(status).To(gomega.Equal(c.status), name)
		g.Expect(output.String()).To(gomega.Equal(c.output), name)
		g.Expect(problems.String()).To(gomega.Equal(c.errors), name)
	}
}

func TestAProgramThatFailsIsLoggedAndHasAStatus(t *testing.T) {
	g := gomega.NewWithT(t)
	var output, problems bytes.Buffer
	status := program.Main("manager", program.Options{}, nil, &output, &problems, func(_ context.Context, log logr.Logger) error {
		log.Info("running")
		probes := log.WithName("healthz").WithValues("of", "controller-runtime")
		probes.Info("healthz check failed", "statuses", []struct{}{{}})
		probes.Error(errors.New("so"), "healthz check failed")
		return errors.New("the API server is away")
	})
	g.Expect(status).To(gomega.Equal(1))
	g.Expect(output.String()).To(gomega.BeEmpty())
	g.Expect(problems.String()).To(gomega.And(gomega.ContainSubstring(`"msg":"running"`), gomega.ContainSubstring("the API server is away")))
	g.Expect(problems.String()).NotTo(gomega.ContainSubstring("statuses"), "probes that fail are told of otherwise")
	g.Expect(problems.String()).To(gomega.ContainSubstring(`"level":"ERROR","msg":"healthz check failed"`))
}
