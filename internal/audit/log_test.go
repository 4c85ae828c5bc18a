package audit_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/audit"
	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 123456789, time.UTC)

// testLog is a Log in a file, with a clock.
type testLog struct {
	*audit.Log
	t      testing.TB
	path   string
	clock  *clocktesting.FakePassiveClock
	reopen chan os.Signal
	lost   map[audit.Loss]*atomic.Int64
	errors bytes.Buffer // to be read after Close
}

func open(t testing.TB, path string) *testLog {
	t.Helper()
	l := &testLog{t: t, path: path, clock: clocktesting.NewFakePassiveClock(noon), reopen: make(chan os.Signal), lost: map[audit.Loss]*atomic.Int64{}}
	for _, loss := range audit.Losses() {
		l.lost[loss] = &atomic.Int64{}
	}
	var err error
	l.Log, err = audit.Open(audit.Options{
		Path: path, Reopen: l.reopen, Clock: l.clock,
		Lost:   func(loss audit.Loss) { l.lost[loss].Add(1) },
		Errors: funcr.New(func(_, line string) { fmt.Fprintln(&l.errors, line) }, funcr.Options{}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func openNew(t testing.TB) *testLog {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "audit.log"))
}

// lines closes the log and returns what was written.
func (l *testLog) lines() []map[string]any {
	l.t.Helper()
	if err := l.Close(); err != nil {
		l.t.Error(err)
	}
	return read(l.t, l.path)
}

func read(t testing.TB, path string) []map[string]any {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var all []map[string]any
	for line := range bytes.Lines(content) {
		var fields map[string]any
		if err := json.Unmarshal(line, &fields); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, fields)
	}
	return all
}

// answering is a Verifier that answers this.
func answering(verdict verify.Verdict, err error) verify.Verifier {
	return verify.Func(func(context.Context, verify.Request) (verify.Verdict, error) { return verdict, err })
}

func someToken(t testing.TB) (string, *verify.Token) {
	t.Helper()
	scopes := mint.Scopes("deploy:shop", "read:registry")
	rec, presented := mint.Record(t, "ci", "deploy-shop", noon, mint.OwnedBy("2f0e5bd6-0000-4000-8000-000000000001"), scopes, func(rec *v1alpha1.TokenRecord) {
		rec.Spec.Creator = &v1alpha1.Creator{Username: "ann@example.com"}
	})
	return presented, mint.Token(t, rec)
}

func request(presented string) verify.Request {
	return verify.Request{
		Token: presented, Protocol: verify.ProtocolForwardAuth, ClientIP: netip.MustParseAddr("192.0.2.7"),
		UserAgent: "git/2.47.3", Host: "git.example.com", Method: "GET", Path: "/shop.git/info/refs?service=git-upload-pack",
		Asker: "git", Audiences: []string{"https://git.example.com"},
	}
}

func TestAcceptedRequestsAreWrittenAsOftenAsSaid(t *testing.T) {
	presented, made := someToken(t)
	for accepted, want := range map[config.Accepted]int{
		config.AcceptedSampled: 2 * 3, // protocols and minutes
		config.AcceptedAll:     2 * 3 * 60,
		config.AcceptedNone:    0,
	} {
		l := openNew(t)
		_, again := someToken(t)
		around := l.Around(answering(verify.Verdict{Token: again}, nil), accepted)
		for second := range 3 * 60 {
			l.clock.SetTime(noon.Truncate(time.Minute).Add(time.Duration(second) * time.Second))
			for _, protocol := range []verify.Protocol{verify.ProtocolForwardAuth, verify.ProtocolExtAuthz} {
				r := request(presented)
				r.Protocol = protocol
				if verdict, err := around.Verify(t.Context(), r); err != nil || verdict.Token != again {
					t.Fatal(verdict, err)
				}
				r.Probe = true
				_, _ = around.Verify(t.Context(), r)
			}
		}
		lines := l.lines()
		if len(lines) != want {
			t.Errorf("%s: %d lines, want %d", accepted, len(lines), want)
		}
		for _, line := range lines {
			if line["event.action"] != string(audit.TokenAccepted) || line["accesstoken.id"] != made.ID() {
				t.Fatalf("%v", line)
			}
		}
	}
}

func TestRefusalsSayWhyAndWhose(t *testing.T) {
	presented, made := someToken(t)
	ended := []verify.Reason{verify.ReasonExpired, verify.ReasonRevoked, verify.ReasonOwnerGone, verify.ReasonNamespaceGone, verify.ReasonSubjectGone}
	unproven := []verify.Reason{verify.ReasonMalformed, verify.ReasonUnknown, verify.ReasonWrongSecret}
	l := openNew(t)
	for _, reason := range verify.Reasons() {
		verdict := verify.Verdict{Reason: reason, Token: made}
		if slices.Contains(unproven, reason) {
			verdict.Token = nil
		}
		r := request(presented)
		if reason == verify.ReasonMalformed {
			r.Token = presented + "x"
		}
		if got, err := l.Around(answering(verdict, nil), config.AcceptedNone).Verify(t.Context(), r); got != verdict || err != nil {
			t.Errorf("answered %v, %v", got, err)
		}
	}
	lines := l.lines()
	for i, reason := range verify.Reasons() {
		action, subject, id := audit.TokenRefused, any(made.Subject()), any(made.ID())
		if slices.Contains(ended, reason) {
			action = audit.TokenUsedAfterEnd
		}
		if slices.Contains(unproven, reason) {
			subject = nil
		}
		if reason == verify.ReasonMalformed {
			id = nil
		}
		line := lines[i]
		if line["event.action"] != string(action) || line["event.outcome"] != "failure" || line["event.reason"] != string(reason) ||
			line["user.name"] != subject || line["accesstoken.id"] != id || line["source.ip"] != "192.0.2.7" {
			t.Errorf("%s: %v", reason, line)
		}
	}
}

func TestWhatCouldNotBeCheckedIsNoEvent(t *testing.T) {
	l := openNew(t)
	around := l.Around(answering(verify.Verdict{}, verify.ErrStale), config.AcceptedAll)
	if _, err := around.Verify(t.Context(), request("kat_x")); !errors.Is(err, verify.ErrStale) {
		t.Error(err)
	}
	if lines := l.lines(); len(lines) != 0 {
		t.Errorf("%v", lines)
	}
}

func TestAFloodOfGuessesIsBoundedAndCounted(t *testing.T) {
	presented, made := someToken(t)
	l := openNew(t)
	guess := l.Around(answering(verify.Verdict{Reason: verify.ReasonUnknown}, nil), config.AcceptedSampled)
	expired := l.Around(answering(verify.Verdict{Reason: verify.ReasonExpired, Token: made}, nil), config.AcceptedSampled)
	const flood = 100_000
	for range flood {
		_, _ = guess.Verify(t.Context(), request(presented))
	}
	_, _ = expired.Verify(t.Context(), request(presented))
	l.clock.SetTime(noon.Add(time.Second))
	_, _ = guess.Verify(t.Context(), request(presented))
	lines := l.lines()
	if len(lines) != 102 || l.lost[audit.LossRate].Load() != flood-100 {
		t.Fatalf("%d lines, %d lost", len(lines), l.lost[audit.LossRate].Load())
	}
	if lines[100]["event.action"] != string(audit.TokenUsedAfterEnd) || lines[100]["accesstoken.left_out"] != nil {
		t.Errorf("guesses hid a real token: %v", lines[100])
	}
	if lines[101]["accesstoken.left_out"] != float64(flood-100) {
		t.Errorf("%v", lines[101])
	}
}

func TestAFloodOfDenialsIsBoundedAndCounted(t *testing.T) {
	_, made := someToken(t)
	l := openNew(t)
	const flood = 2_000
	for range flood {
		l.Denied(audit.OfToken(made), "list", "/api/v1/secrets")
	}
	l.clock.SetTime(noon.Add(time.Second))
	l.Denied(audit.OfToken(made), "list", "/api/v1/secrets?token=planted")
	lines := l.lines()
	if len(lines) != 1001 || l.lost[audit.LossRate].Load() != flood-1000 {
		t.Fatalf("%d lines, %d lost", len(lines), l.lost[audit.LossRate].Load())
	}
	last := lines[1000]
	if last["accesstoken.left_out"] != float64(flood-1000) || last["url.path"] != "/api/v1/secrets" {
		t.Errorf("%v", last)
	}
}

func TestACancelledRequestIsWritten(t *testing.T) {
	presented, made := someToken(t)
	l := openNew(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Around(answering(verify.Verdict{Token: made}, nil), config.AcceptedAll).Verify(ctx, request(presented)); err != nil {
		t.Error(err)
	}
	if lines := l.lines(); len(lines) != 1 {
		t.Errorf("%v", lines)
	}
}

func TestNoTokenGetsIntoALine(t *testing.T) {
	_, made := someToken(t)
	rapid.Check(t, func(rt *rapid.T) {
		generated, err := token.Generate(made.ID(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		secret := generated.Reveal()
		hostile := rapid.Custom(func(rt *rapid.T) string {
			around := rapid.StringN(0, 40, 120)
			return around.Draw(rt, "before") + secret + around.Draw(rt, "after")
		})
		l := openNew(t)
		verdict := rapid.SampledFrom([]verify.Verdict{{Token: made}, {Reason: verify.ReasonUnknown}, {Reason: verify.ReasonRevoked, Token: made}}).Draw(rt, "verdict")
		_, _ = l.Around(answering(verdict, nil), config.AcceptedAll).Verify(t.Context(), verify.Request{
			Token: secret, Protocol: verify.ProtocolExtAuthz,
			UserAgent: hostile.Draw(rt, "agent"), Host: hostile.Draw(rt, "host"), Path: hostile.Draw(rt, "path"), Method: hostile.Draw(rt, "method"),
			Asker: hostile.Draw(rt, "asker"), Audiences: []string{hostile.Draw(rt, "audience")},
		})
		l.Revoked(audit.Token{ID: made.ID(), Name: hostile.Draw(rt, "name"), Creator: hostile.Draw(rt, "creator"), Scopes: []string{hostile.Draw(rt, "scope")}}, hostile.Draw(rt, "reason"))
		if lines := l.lines(); len(lines) != 2 {
			rt.Fatalf("%d lines", len(lines))
		}
		content, err := os.ReadFile(l.path)
		if err != nil {
			t.Fatal(err)
		}
		if token.In(string(content)) || strings.Contains(string(content), secret[21:40]) {
			rt.Fatalf("a token is in %s", content)
		}
	})
}

func TestTheFileIsNobodyElsesToRead(t *testing.T) {
	l := openNew(t)
	l.Expired(audit.Token{ID: "one"})
	l.lines()
	info, err := os.Stat(l.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestAFileThatCannotBeOpenedIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "audit.log")
	if _, err := audit.Open(audit.Options{Path: path}); err == nil || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
}

func TestAFileThatWasMovedAwayIsOpenedAnew(t *testing.T) {
	g := gomega.NewWithT(t)
	l := openNew(t)
	await := func(path, id string) {
		g.Eventually(func() []map[string]any { return read(t, path) }).Should(gomega.ContainElement(gomega.HaveKeyWithValue("accesstoken.id", id)))
	}
	l.Expired(audit.Token{ID: "one"})
	await(l.path, "one")
	g.Expect(os.Rename(l.path, l.path+".1")).To(gomega.Succeed())
	l.Expired(audit.Token{ID: "two"})
	await(l.path+".1", "two")
	l.reopen <- syscall.SIGHUP
	l.Expired(audit.Token{ID: "three"})
	await(l.path, "three")

	t.Run("and written on where that does not work", func(*testing.T) {
		folder := filepath.Dir(l.path)
		g.Expect(os.Rename(folder, folder+"-moved")).To(gomega.Succeed())
		l.reopen <- syscall.SIGHUP
		l.Expired(audit.Token{ID: "four"})
		await(filepath.Join(folder+"-moved", "audit.log"), "four")
		g.Expect(l.Close()).To(gomega.Succeed())
		g.Expect(l.errors.String()).To(gomega.ContainSubstring("opened anew"))
	})
}

func TestLinesThatTheDiskDoesNotTakeAreCounted(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Fatal("this test needs /dev/full:", err)
	}
	l := open(t, "/dev/full")
	for range 5 {
		l.Expired(audit.Token{ID: "one"})
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if l.lost[audit.LossWrite].Load() != 5 || strings.Count(l.errors.String(), "not written") != 1 {
		t.Errorf("%d lost, said %q", l.lost[audit.LossWrite].Load(), l.errors.String())
	}
}

func TestNobodyWaitsForTheFile(t *testing.T) {
	presented, made := someToken(t)
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(path, os.O_RDWR, 0) // it does not read
	if err != nil {
		t.Fatal(err)
	}
	l := open(t, path)
	around := l.Around(answering(verify.Verdict{Token: made}, nil), config.AcceptedAll)
	for l.lost[audit.LossQueue].Load() == 0 {
		if _, err := around.Verify(t.Context(), request(presented)); err != nil {
			t.Fatal(err)
		}
	}
	drained := make(chan error)
	go func() {
		_, err := io.Copy(io.Discard, reader)
		drained <- err
	}()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
	if err := <-drained; !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}

func TestAfterTheEndLinesAreCounted(t *testing.T) {
	l := openNew(t)
	for range 1000 {
		l.Issued(audit.Token{ID: "one"}, 1, "First")
	}
	if lines := l.lines(); len(lines) != 1000 {
		t.Errorf("%d lines", len(lines))
	}
	l.Issued(audit.Token{ID: "one"}, 1, "First")
	if err := l.Close(); err != nil || l.lost[audit.LossQueue].Load() != 1 {
		t.Errorf("%v, %d lost", err, l.lost[audit.LossQueue].Load())
	}
}

func TestWithoutALogNothingIsWritten(t *testing.T) {
	var l *audit.Log
	_, made := someToken(t)
	l.Revoked(audit.Token{ID: "one"}, "Revoked")
	verdict, err := l.Around(answering(verify.Verdict{Token: made}, nil), config.AcceptedAll).Verify(t.Context(), verify.Request{})
	if err != nil || verdict.Token != made || l.Close() != nil {
		t.Error(verdict, err)
	}
}

func TestAnAcceptedRequestThatIsNotSampledCostsNothing(t *testing.T) {
	presented, made := someToken(t)
	l := openNew(t)
	around := l.Around(answering(verify.Verdict{Token: made}, nil), config.AcceptedSampled)
	r := request(presented)
	if n := testing.AllocsPerRun(1000, func() { _, _ = around.Verify(t.Context(), r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	l.lines()
}
