package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A check that does not hold within patience does not hold.
const (
	patience     = 30 * time.Second
	pollInterval = 100 * time.Millisecond
)

// shell runs commands as a person would type them. After the first failure it
// does nothing more and keeps it, so that the steps of the tour read in one go.
type shell struct {
	ctx    context.Context //nolint:containedctx // a tour is one call
	screen *screen
	folder string
	env    []string
	err    error
}

func newShell(ctx context.Context, s *screen, folder, kubectl, kubeconfig string) *shell {
	return &shell{ctx: ctx, screen: s, folder: folder, env: append(os.Environ(),
		"KUBECONFIG="+kubeconfig,
		"PATH="+filepath.Dir(kubectl)+string(os.PathListSeparator)+os.Getenv("PATH"),
		"KUBECACHEDIR="+filepath.Join(folder, "kubectl-cache"),
		"KUBECTL_KUBERC=false",
	)}
}

// run shows the command and what came back. It must succeed.
func (s *shell) run(command string) string {
	output, err := s.show(command)
	if err != nil {
		s.fail("%s: %v", command, err)
	}
	return output
}

// refused shows the command and what came back. It must fail, and say why.
func (s *shell) refused(command, why string) {
	output, err := s.show(command)
	switch {
	case s.err != nil:
	case err == nil:
		s.fail("%s was accepted, it must be refused", command)
	case !strings.Contains(output, why):
		s.fail("%s was refused, but not with %q", command, why)
	default:
		s.screen.held("refused, as it must be")
	}
}

func (s *shell) show(command string) (string, error) {
	if s.err != nil {
		return "", s.err
	}
	s.screen.command(command)
	output, err := s.quiet(command)
	s.screen.output(output)
	return output, err
}

// quiet runs a command that is not part of what is shown.
func (s *shell) quiet(command string) (string, error) {
	if s.err != nil {
		return "", s.err
	}
	cmd := exec.CommandContext(s.ctx, "/bin/sh", "-c", command)
	cmd.Dir, cmd.Env = s.folder, s.env
	output, err := cmd.CombinedOutput()
	return string(output), err
}

// expect says what was seen to hold, or fails with it.
func (s *shell) expect(holds bool, format string, args ...any) {
	switch {
	case s.err != nil:
	case !holds:
		s.fail("this does not hold: "+format, args...)
	default:
		s.screen.held(fmt.Sprintf(format, args...))
	}
}

// until repeats a command, shown once, until its output is good; then the output
// is shown.
func (s *shell) until(command string, good func(output string) bool) string {
	if s.err != nil {
		return ""
	}
	s.screen.command(command)
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		output, _ := s.quiet(command)
		if good(output) {
			s.screen.output(output)
			return output
		}
		select {
		case <-ctx.Done():
			s.screen.output(output)
			s.fail("%s: not what was expected within %s", command, patience)
			return output
		case <-ticker.C:
		}
	}
}

func (s *shell) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf(format, args...)
	}
}
