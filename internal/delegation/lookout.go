package delegation

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/accesstoken-dev/accesstoken-operator/config/policies"
)

const (
	lookInterval = time.Minute
	lookRetry    = 10 * time.Second
)

// Lookout sights the policies from the start on and once a minute, while this process
// leads. So it is known since when they are in force before anything is declared
// that asks for it: of a change that came before the first sighting nobody can tell
// whether it was one.
type Lookout struct {
	Checker *Checker
	Clock   clock.WithTicker
	Log     logr.Logger
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: the note has one
// writer.
func (l *Lookout) NeedLeaderElection() bool { return true }

// Start looks until the context ends. It logs what is wrong when that changes.
func (l *Lookout) Start(ctx context.Context) error {
	told := ""
	for {
		refusals, err := l.Checker.Sight(ctx)
		var problems []string
		for _, refusal := range refusals {
			problems = append(problems, refusal.Message)
		}
		wait := lookInterval
		if err != nil {
			wait, problems = lookRetry, append(problems, err.Error())
		}
		problem := strings.Join(problems, "; ")
		if problem != "" && problem != told && ctx.Err() == nil {
			l.Log.Info("tokens that take a right of their creator are not issued while the admission policies that ask for it are not in force", "problem", problem)
		}
		told = problem
		select {
		case <-ctx.Done():
			return nil
		case <-l.Clock.After(wait):
		}
	}
}

// Sight notes since when each policy is in force that is as this release ships it,
// and returns what is wrong with the others.
func (c *Checker) Sight(ctx context.Context) (refusals []*Refusal, err error) {
	found := map[string]metav1.Object{}
	var problems []error
	for _, load := range []func() (policies.Policy, error){policies.Creator, policies.Subject, policies.ReservedScopes, policies.WithoutExpiry} {
		_, refusal, err := c.unchanged(ctx, load, found)
		if refusal != nil {
			refusals = append(refusals, refusal)
		}
		problems = append(problems, err)
	}
	_, err = c.witness(ctx, found)
	return refusals, errors.Join(append(problems, err)...)
}
