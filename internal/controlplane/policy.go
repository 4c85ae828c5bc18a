package controlplane

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
)

// WaitRefused repeats probe, a dry-run write that a validating admission policy
// must refuse, until it is refused. Policies take effect about a second after
// their creation. The error says what probe returned last; a refusal by RBAC
// does not count.
func WaitRefused(ctx context.Context, probe func(context.Context) error) error {
	last := errors.New("not tried")
	err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(ctx context.Context) (bool, error) {
		answer := probe(ctx)
		switch {
		case answer == nil:
			last = errors.New("it was accepted")
		case ctx.Err() == nil: // a probe that our own deadline cut says nothing
			last = answer
		}
		return refusedByPolicy(last), nil
	})
	if err != nil {
		return fmt.Errorf("wait for an admission policy to refuse the probe: %w (last answer: %w)", err, last)
	}
	return nil
}

func refusedByPolicy(err error) bool {
	return apierrors.ReasonForError(err) != "" && strings.Contains(err.Error(), "ValidatingAdmissionPolicy")
}
