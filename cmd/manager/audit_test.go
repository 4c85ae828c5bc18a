package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// managerUser is whom the API server sees in every manager.
const managerUser = "system:serviceaccount:" + operator.Namespace + ":" + operator.Account

// request is one line of the API server's audit log, as far as tests read it.
type request struct {
	Stage      string
	Verb       string
	RequestURI string
	User       struct{ Username string }
	ObjectRef  struct{ Resource, Subresource, Namespace, Name string }
}

// String is what a failed test shows.
func (r request) String() string { return r.Verb + " " + r.RequestURI }

func (r request) dryRun() bool { return strings.Contains(r.RequestURI, "dryRun=All") }

func (r request) lease() bool { return r.ObjectRef.Resource == "leases" }

func (r request) writes() bool {
	switch r.Verb {
	case "create", "update", "patch", "delete", "deletecollection":
		return !r.dryRun()
	}
	return false
}

// auditMark is how much there is in the audit log.
func auditMark(t *testing.T) int64 {
	t.Helper()
	info, err := os.Stat(testenv.ControlPlane(t).AuditLog())
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// managerRequests are the requests of all managers since a mark, each once: a
// watch when it begins, any other when it was answered.
func managerRequests(t *testing.T, mark int64) []request {
	t.Helper()
	content, err := os.ReadFile(testenv.ControlPlane(t).AuditLog())
	if err != nil {
		t.Fatal(err)
	}
	var found []request
	for line := range bytes.Lines(content[mark:]) {
		if !bytes.HasSuffix(line, []byte("\n")) || !bytes.Contains(line, []byte(managerUser)) {
			continue
		}
		var r request
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("audit log: %v", err)
		}
		begins, answered := r.Stage == "ResponseStarted", r.Stage == "ResponseComplete"
		if r.User.Username == managerUser && (r.Verb == "watch" && begins || r.Verb != "watch" && answered) {
			found = append(found, r)
		}
	}
	return found
}

// keep returns the requests that all of the predicates hold for.
func keep(requests []request, predicates ...func(request) bool) []request {
	var kept []request
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

func not(predicate func(request) bool) func(request) bool {
	return func(r request) bool { return !predicate(r) }
}
