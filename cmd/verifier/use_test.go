package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/auditlog"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

const (
	// unused is after how long without use the tokens of these tests end.
	unused = 6 * time.Second
	// inUse is how often one is used that is in use.
	inUse = 100 * time.Millisecond
)

// useWrites are the writes of uses into the record of a token since a mark.
func useWrites(t *testing.T, i issued, mark int64) []auditlog.Request {
	t.Helper()
	return auditlog.Keep(auditlog.Requests(t, auditlog.Verifier, mark), auditlog.Request.Writes, func(r auditlog.Request) bool {
		return r.ObjectRef.Resource == "tokenrecords" && r.ObjectRef.Namespace == i.key.Namespace && r.ObjectRef.Name == i.id(t)
	})
}

// lastUse is that which the record of a token tells of; zero for none.
func (i issued) lastUse(t *testing.T) time.Time {
	t.Helper()
	at, err := i.record(t).Status.LastUsedAt.Parse()
	if err != nil {
		return time.Time{}
	}
	return at
}

// end is when a token ends by its record, as it is stored now.
func (i issued) end(t *testing.T) time.Time {
	t.Helper()
	life, err := record.LifetimeOf(i.record(t))
	if err != nil {
		t.Fatal(err)
	}
	end, ends := life.End(time.Now())
	if !ends {
		t.Fatalf("token %s does not end", i.key)
	}
	return end
}

// keepUsing uses a token at a verifier until an instant, and fails where it is
// refused.
func (v *process) keepUsing(t *testing.T, i issued, until time.Time) (uses int) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func() bool {
		if status := v.use(t, i.text); status != http.StatusOK {
			gomega.StopTrying("the token in use was refused").Attach("status", status).Attach("record", i.record(t).Status).Now()
		}
		uses++
		return time.Now().Before(until)
	}).WithTimeout(later).WithPolling(inUse).Should(gomega.BeFalse())
	return uses
}

func TestATokenLivesAsLongAsItIsUsedAnywhere(t *testing.T) {
	g := gomega.NewWithT(t)
	startManager(t)
	here, there := startVerifier(t, "use-here"), startVerifier(t, "use-there")
	namespace := testenv.Namespace(t)
	sliding := v1alpha1.AccessTokenSpec{MaxAge: v1alpha1.MaxAge(unused.String()), ExtendWhenUsed: true, MaxLifetime: "1h"}
	used := issue(t, namespace, "used", sliding)
	forgotten := issue(t, namespace, "forgotten", sliding)
	secret, mark := secretOf(t, used.key), auditlog.Mark(t)
	for _, v := range []*process{here, there} {
		v.awaitUse(t, used.text, http.StatusOK)
	}

	uses := here.keepUsing(t, used, time.Now().Add(3*unused))
	g.Expect(there.use(t, used.text)).To(gomega.Equal(http.StatusOK), "what was used here is good there")
	g.Expect(here.use(t, forgotten.text)).To(gomega.Equal(http.StatusUnauthorized), "what nobody used ended meanwhile")
	awaitReason(t, forgotten.key, v1alpha1.ReasonExpired)
	at := tokenOf(t, used.key)
	g.Expect(at.Status.Revision).To(gomega.BeEquivalentTo(1))
	g.Expect(at.Status.LastUsedAt).NotTo(gomega.BeEmpty())
	g.Expect(secretOf(t, used.key)).To(gomega.Equal(secret), "the manager left it alone")
	writes := useWrites(t, used, mark)
	t.Logf("%d uses made %d writes", uses, len(writes))
	// One each time that half of the life is left, one that made it shown, and one
	// for each that the two verifiers got in the way of each other.
	g.Expect(len(writes)).To(gomega.BeNumerically("<=", 2*(1+2*3)))
	g.Expect(len(writes)).To(gomega.BeNumerically(">=", 3))

	last := time.Now()
	awaitReason(t, used.key, v1alpha1.ReasonExpired)
	g.Expect(time.Since(last)).To(gomega.BeNumerically(">", unused-time.Second), "it ends its age after its last use, and not before")
	for _, v := range []*process{here, there} {
		g.Expect(v.use(t, used.text)).To(gomega.Equal(http.StatusUnauthorized))
	}
}

func TestATokenInUseEndsAtItsHardEnd(t *testing.T) {
	g := gomega.NewWithT(t)
	startManager(t)
	v := startVerifier(t, "use-limit")
	i := issue(t, testenv.Namespace(t), "limited", v1alpha1.AccessTokenSpec{MaxAge: "4s", ExtendWhenUsed: true, MaxLifetime: "8s"})
	notAfter, err := i.record(t).Spec.NotAfter.Parse()
	g.Expect(err).NotTo(gomega.HaveOccurred())
	v.awaitUse(t, i.text, http.StatusOK)
	v.keepUsing(t, i, notAfter.Add(-time.Second))
	v.awaitUse(t, i.text, http.StatusUnauthorized)
	g.Expect(time.Now()).To(gomega.BeTemporally("~", notAfter, 2*time.Second))
	awaitReason(t, i.key, v1alpha1.ReasonExpired)
}

func TestUsesAreShownAndCostOneWrite(t *testing.T) {
	g := gomega.NewWithT(t)
	startManager(t)
	v := startVerifier(t, "use-shown")
	i := issue(t, testenv.Namespace(t), "busy", v1alpha1.AccessTokenSpec{})
	g.Expect(row(t, i)).To(gomega.HaveKeyWithValue("LAST USED", ""))
	mark := auditlog.Mark(t)
	v.awaitUse(t, i.text, http.StatusOK)
	before := time.Now().Add(-time.Second)
	for range 500 {
		g.Expect(v.use(t, i.text)).To(gomega.Equal(http.StatusOK))
	}
	g.Eventually(func() time.Time { return i.lastUse(t) }).WithTimeout(soon).WithPolling(often).ShouldNot(gomega.BeZero())
	v.keepUsing(t, i, time.Now().Add(aWhile))
	g.Expect(useWrites(t, i, mark)).To(gomega.HaveLen(1))

	status := i.record(t).Status
	g.Expect(i.lastUse(t)).To(gomega.BeTemporally(">=", before.Truncate(time.Second)))
	g.Expect(status.LastUsedFrom).To(gomega.Equal("192.0.2.7"))
	g.Expect(status.LastUserAgent).To(gomega.Equal("basket/1.0"))
	g.Expect(status.LastUsedFor).To(gomega.Equal("ForwardAuth shop.example.com"))
	g.Eventually(func() map[string]string { return row(t, i) }).WithTimeout(soon).WithPolling(5 * often).
		Should(gomega.HaveKeyWithValue("LAST USED", gomega.MatchRegexp(`^[0-9]+s$`)))
}

// row is what kubectl shows of an AccessToken, by column.
func row(t *testing.T, i issued) map[string]string {
	t.Helper()
	output, err := testenv.ControlPlane(t).Kubectl(t.Context(), "get", "accesstoken", i.key.Name, "--namespace="+i.key.Namespace)
	lines := strings.Split(output, "\n")
	if err != nil || len(lines) < 2 {
		t.Fatalf("kubectl get: %v\n%s", err, output)
	}
	shown := map[string]string{}
	header, values := lines[0], lines[1]
	for header != "" {
		name, _, _ := strings.Cut(header, "   ")
		width := len(name) + len(header[len(name):]) - len(strings.TrimLeft(header[len(name):], " "))
		shown[name] = strings.TrimSpace(values[:min(width, len(values))])
		header, values = header[width:], values[min(width, len(values)):]
	}
	return shown
}

func TestWhatAVerifierNotedIsWrittenWhenItEnds(t *testing.T) {
	g := gomega.NewWithT(t)
	startManager(t)
	v := startVerifier(t, "use-stopped")
	i := issue(t, testenv.Namespace(t), "token", v1alpha1.AccessTokenSpec{})
	last := v.useAgain(t, i)
	mark := auditlog.Mark(t)
	g.Expect(v.Stop()).To(gomega.Succeed())
	g.Expect(i.lastUse(t)).To(gomega.BeTemporally(">=", last.Truncate(time.Second)))
	g.Expect(useWrites(t, i, mark)).To(gomega.HaveLen(1))
}

// useAgain uses a token, waits until that is written, and uses it again, which is
// not: the next write for show is ten minutes away.
func (v *process) useAgain(t *testing.T, i issued) (last time.Time) {
	t.Helper()
	g := gomega.NewWithT(t)
	v.awaitUse(t, i.text, http.StatusOK)
	g.Eventually(func() time.Time { return i.lastUse(t) }).WithTimeout(soon).WithPolling(often).ShouldNot(gomega.BeZero())
	written := i.lastUse(t)
	v.keepUsing(t, i, written.Add(2*time.Second))
	g.Expect(i.lastUse(t)).To(gomega.Equal(written))
	return time.Now().Add(-inUse)
}

func TestAKilledVerifierTakesNoTokenAlong(t *testing.T) {
	g := gomega.NewWithT(t)
	startManager(t)
	killed, other := startVerifier(t, "use-killed"), startVerifier(t, "use-left")
	namespace := testenv.Namespace(t)
	shown := issue(t, namespace, "shown", v1alpha1.AccessTokenSpec{})
	used := issue(t, namespace, "used", v1alpha1.AccessTokenSpec{MaxAge: v1alpha1.MaxAge(unused.String()), ExtendWhenUsed: true, MaxLifetime: "1h"})
	killed.awaitUse(t, used.text, http.StatusOK)
	killed.keepUsing(t, used, time.Now().Add(unused+unused/2))
	before := killed.useAgain(t, shown)
	killed.keepUsing(t, used, time.Now().Add(unused/2))

	killed.kill(t)
	at := time.Now()
	g.Expect(used.end(t)).To(gomega.BeTemporally(">", at.Add(unused/4)), "the life that is left is stored")
	g.Expect(other.use(t, used.text)).To(gomega.Equal(http.StatusOK))
	g.Expect(tokenOf(t, used.key).Status.Revision).To(gomega.BeEquivalentTo(1))
	lost := before.Sub(shown.lastUse(t))
	g.Expect(lost).To(gomega.And(gomega.BeNumerically(">", 0), gomega.BeNumerically("<", 10*time.Minute)), "a use that was to be shown later is lost")
}
