package audit_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/internal/audit"
	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// TestTheDocumentShowsEachEventAsItIsWritten writes each event, and holds the
// lines against those of docs/audit.md.
func TestTheDocumentShowsEachEventAsItIsWritten(t *testing.T) {
	presented, made := someToken(t)
	about := audit.OfToken(made)
	const before = "hux27didnf2cbabn"
	l := openNew(t)
	ask := func(verdict verify.Verdict) {
		_, _ = l.Around(answering(verdict, nil), config.AcceptedAll).Verify(t.Context(), request(presented))
	}
	written := map[audit.Action]func(){
		audit.TokenAccepted:     func() { ask(verify.Verdict{Token: made}) },
		audit.TokenRefused:      func() { ask(verify.Verdict{Reason: verify.ReasonWrongSecret}) },
		audit.TokenUsedAfterEnd: func() { ask(verify.Verdict{Reason: verify.ReasonRevoked, Token: made}) },
		audit.TokenIssued:       func() { l.Issued(about, 1, "First") },
		audit.TokenRotated:      func() { l.Rotated(about, 2, before, "Interval") },
		audit.TokenRepaired:     func() { l.Repaired(about, 3, before, "SecretDeleted") },
		audit.TokenExpired:      func() { l.Expired(about) },
		audit.TokenRevoked:      func() { l.Revoked(about, "Revoked") },
		audit.TokenSuspended:    func() { l.Suspended(about, "Suspended") },
	}
	for _, action := range audit.Actions() {
		written[action]()
		l.clock.SetTime(l.clock.Now().Add(time.Nanosecond))
	}
	asToldByAPIServer := about
	asToldByAPIServer.Creator = ""
	l.Denied(asToldByAPIServer, "delete", "/apis/apps/v1/namespaces/shop/deployments/web")
	l.lines()
	content, err := os.ReadFile(l.path)
	if err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile("../../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	actions := append(audit.Actions(), audit.TokenRefused)
	for line := range strings.Lines(string(content)) {
		action := actions[0]
		actions = actions[1:]
		_, section, found := strings.Cut(string(document), "\n### "+string(action)+"\n")
		if !found {
			t.Errorf("no section about %s", action)
			continue
		}
		section, _, _ = strings.Cut(section, "\n#")
		if !strings.Contains(section, "```json\n"+line+"```\n") {
			t.Errorf("the section about %s does not show:\n%s", action, line)
		}
	}
	if len(actions) > 0 {
		t.Errorf("not written: %v", actions)
	}
	for _, reason := range verify.Reasons() {
		if !strings.Contains(string(document), "`"+string(reason)+"`") {
			t.Errorf("the document does not name the reason %s", reason)
		}
	}
}
