package auditlog

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// Whom the API server sees in every manager and in every verifier.
const (
	Manager  = "system:serviceaccount:" + operator.Namespace + ":" + operator.Account
	Verifier = "system:serviceaccount:" + operator.Namespace + ":" + operator.VerifierAccount
)

// Request is one line of the log, as far as tests read it.
type Request struct {
	Stage      string
	Verb       string
	RequestURI string
	User       struct{ Username string }
	ObjectRef  struct{ Resource, Subresource, Namespace, Name string }
}

// String is what a failed test shows.
func (r Request) String() string { return r.Verb + " " + r.RequestURI }

// DryRun says that the request was for show.
func (r Request) DryRun() bool { return strings.Contains(r.RequestURI, "dryRun=All") }

// Lease says that it was about who leads.
func (r Request) Lease() bool { return r.ObjectRef.Resource == "leases" }

// Writes says that it changes something.
func (r Request) Writes() bool {
	switch r.Verb {
	case "create", "update", "patch", "delete", "deletecollection":
		return !r.DryRun()
	}
	return false
}

// Mark is how much there is in the log.
func Mark(t testenv.T) int64 {
	t.Helper()
	info, err := os.Stat(testenv.ControlPlane(t).AuditLog())
	if err != nil {
		t.Fatalf("%v", err)
	}
	return info.Size()
}

// Requests are those of a user since a mark, each once: a watch when it begins,
// any other when it was answered.
func Requests(t testenv.T, user string, mark int64) []Request {
	t.Helper()
	content, err := os.ReadFile(testenv.ControlPlane(t).AuditLog())
	if err != nil {
		t.Fatalf("%v", err)
	}
	var found []Request
	for line := range bytes.Lines(content[mark:]) {
		if !bytes.HasSuffix(line, []byte("\n")) || !bytes.Contains(line, []byte(user)) {
			continue
		}
		var r Request
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("audit log: %v", err)
		}
		begins, answered := r.Stage == "ResponseStarted", r.Stage == "ResponseComplete"
		if r.User.Username == user && (r.Verb == "watch" && begins || r.Verb != "watch" && answered) {
			found = append(found, r)
		}
	}
	return found
}

// Keep returns the requests that all of the predicates hold for.
func Keep(requests []Request, predicates ...func(Request) bool) []Request {
	var kept []Request
	for _, r := range requests {
		fits := true
		for _, holds := range predicates {
			fits = fits && holds(r)
		}
		if fits {
			kept = append(kept, r)
		}
	}
	return kept
}

// Not holds for what a predicate does not hold for.
func Not(predicate func(Request) bool) func(Request) bool {
	return func(r Request) bool { return !predicate(r) }
}
