package caller_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/internal/caller"
)

func TestAServiceAccountAsksAboutTheAudiencesThatRBACGrants(t *testing.T) {
	w := newWorld(t, nil)
	w.account("billing")
	w.grant("billing", mayAsk(), mayAskFor(billing))
	jwt := w.token("billing", caller.DefaultAudience)
	w.await(bearer(jwt), http.StatusOK)
	for _, authorization := range []string{bearer(jwt), "bearer  " + jwt, basic(jwt)} {
		who, problem := w.present(authorization)
		if problem != nil {
			t.Fatalf("refused: %+v", problem)
		}
		if want := "system:serviceaccount:" + w.namespace + ":billing"; who.Name != want {
			t.Errorf("Name = %s, want %s", who.Name, want)
		}
		allowed, err := who.Audiences(t.Context(), []string{stock, billing, "accesstoken.dev", billing + "/", ""})
		if err != nil || !slices.Equal(allowed, []string{billing}) {
			t.Errorf("Audiences = %q, %v", allowed, err)
		}
	}
}

func TestAJWTThatIsNotForTheVerifierIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	w.account("billing")
	w.grant("billing", mayAsk(), mayAskFor(billing))
	good := w.token("billing", caller.DefaultAudience)
	w.await(bearer(good), http.StatusOK)
	parts := strings.Split(good, ".")
	for name, credential := range map[string]string{
		"for the API server":       w.token("billing"),
		"for another audience":     w.token("billing", billing),
		"with another signature":   parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])),
		"with another payload":     parts[0] + "." + strings.Split(w.token("verifier", caller.DefaultAudience), ".")[1] + "." + parts[2],
		"that is none":             "a.b.c",
		"in two parts":             parts[0] + "." + parts[1],
		"with an empty part":       parts[0] + "." + parts[1] + ".",
		"with another character":   good + "~",
		"that is a token of ours?": "kat_aaaaaaaaaaaaaaaa_" + strings.Repeat("0", 49),
	} {
		_, problem := w.present(bearer(credential))
		if problem == nil || problem.Status != http.StatusUnauthorized || problem.Header.Get("WWW-Authenticate") != `Bearer realm="accesstoken", error="invalid_token"` {
			t.Errorf("a JWT %s: %+v, want 401", name, problem)
		} else if !strings.HasSuffix(problem.Description, "for the audience "+caller.DefaultAudience) {
			t.Errorf("a JWT %s: %q does not say for which audience it has to be", name, problem.Description)
		}
	}
}

// TestAnAnswerAboutSomethingElseIsNoYes has an API server that passes over the
// audiences, as one does whose authenticators know none, and users that are no
// service accounts.
func TestAnAnswerAboutSomethingElseIsNoYes(t *testing.T) {
	w := newWorld(t, nil)
	w.account("billing")
	w.grant("billing", mayAsk())
	jwt := w.token("billing", caller.DefaultAudience)
	w.await(bearer(jwt), http.StatusOK)
	for name, distort := range map[string]func(*authenticationv1.TokenReviewStatus){
		"no audience":      func(status *authenticationv1.TokenReviewStatus) { status.Audiences = nil },
		"another audience": func(status *authenticationv1.TokenReviewStatus) { status.Audiences = []string{billing} },
		"an administrator": func(status *authenticationv1.TokenReviewStatus) {
			status.User.Username, status.User.Groups = "admin", []string{"system:masters"}
		},
		"nobody authenticated": func(status *authenticationv1.TokenReviewStatus) { status.Authenticated = false },
	} {
		w.distort = distort
		w.clock.SetTime(w.clock.Now().Add(caller.DefaultKeepYes))
		if status := w.status(bearer(jwt)); status != http.StatusUnauthorized {
			t.Errorf("%s: %d, want 401", name, status)
		}
	}
}

func TestWhatIsCertainlyNoJWTIsKeptFromTheAPIServer(t *testing.T) {
	w := newWorld(t, nil)
	for _, credential := range []string{"a", "a.b", "a.b.c.d", "a..c", "a.b.=", "kat_x"} {
		if status := w.status(bearer(credential)); status != http.StatusUnauthorized {
			t.Errorf("%q: %d", credential, status)
		}
	}
	if asked := w.asked.Load(); asked != 0 {
		t.Errorf("the API server was asked %d times", asked)
	}
}

func TestAServiceAccountWithoutTheRightIsForbidden(t *testing.T) {
	w := newWorld(t, nil)
	w.account("nosy")
	w.grant("nosy", mayAskFor(billing)) // which is not enough
	jwt := w.token("nosy", caller.DefaultAudience)
	w.await(bearer(jwt), http.StatusForbidden)
	_, problem := w.present(bearer(jwt))
	if got := problem.Header.Get("WWW-Authenticate"); got != `Bearer realm="accesstoken", error="insufficient_scope", scope="accesstoken.dev:introspect"` {
		t.Errorf("WWW-Authenticate = %s", got)
	}
	if _, problem := w.present(basic(jwt)); problem.Status != http.StatusForbidden || problem.Header != nil {
		t.Errorf("by Basic: %+v", problem)
	}
}

func TestRightsThatChangeAreSeen(t *testing.T) {
	w := newWorld(t, nil)
	w.account("billing")
	jwt := w.token("billing", caller.DefaultAudience)
	w.await(bearer(jwt), http.StatusForbidden)
	w.grant("billing", mayAsk())
	w.await(bearer(jwt), http.StatusOK)

	binding := w.namespace + "-billing"
	if err := w.admin.RbacV1().ClusterRoleBindings().Delete(t.Context(), binding, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	before := w.asked.Load()
	if status := w.status(bearer(jwt)); status != http.StatusOK || w.asked.Load() != before {
		t.Errorf("status %d after %d questions, want what is remembered", status, w.asked.Load()-before)
	}
	w.await(bearer(jwt), http.StatusForbidden)
}

func TestADeletedServiceAccountIsNobody(t *testing.T) {
	w := newWorld(t, nil)
	w.account("billing")
	w.grant("billing", mayAsk())
	jwt := w.token("billing", caller.DefaultAudience)
	w.await(bearer(jwt), http.StatusOK)
	if err := w.admin.CoreV1().ServiceAccounts(w.namespace).Delete(t.Context(), "billing", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.account("billing") // another of the same name, with the rights of the first
	w.await(bearer(jwt), http.StatusUnauthorized)
}

func TestAnAPIServerThatIsAwayIsNeitherYesNorNo(t *testing.T) {
	w := newWorld(t, nil)
	w.account("billing")
	w.grant("billing", mayAsk(), mayAskFor(billing))
	w.account("nosy")
	good, nosy := w.token("billing", caller.DefaultAudience), w.token("nosy", caller.DefaultAudience)
	w.await(bearer(good), http.StatusOK)
	fresh := w.token("billing", caller.DefaultAudience, "another")

	w.away.Store(true)
	for name, jwt := range map[string]string{"billing": fresh, "nosy": nosy} {
		_, problem := w.present(bearer(jwt))
		if problem == nil || problem.Status != http.StatusServiceUnavailable || problem.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %+v, want 503", name, problem)
		}
		if strings.Contains(w.log.String(), jwt) || !strings.Contains(w.log.String(), "could not check who asks") {
			t.Errorf("log of %s: %s", name, w.log.String())
		}
	}
	who, problem := w.present(bearer(good))
	if problem != nil {
		t.Fatalf("what is remembered holds: %+v", problem)
	}
	if allowed, err := who.Audiences(t.Context(), []string{billing}); err == nil {
		t.Errorf("Audiences = %q, want an error", allowed)
	}
	w.clock.SetTime(w.clock.Now().Add(caller.DefaultKeepYes - time.Nanosecond))
	if status := w.status(bearer(good)); status != http.StatusOK {
		t.Errorf("status = %d before the time", status)
	}
	w.clock.SetTime(w.clock.Now().Add(time.Nanosecond))
	if status := w.status(bearer(good)); status != http.StatusServiceUnavailable {
		t.Errorf("status = %d after the time, want 503", status)
	}

	w.away.Store(false) // and at once, without any time passing:
	for jwt, status := range map[string]int{good: http.StatusOK, fresh: http.StatusOK, nosy: http.StatusForbidden} {
		if got := w.status(bearer(jwt)); got != status {
			t.Errorf("status = %d, want %d", got, status)
		}
	}
}

func TestManyRequestsAskTheAPIServerOnce(t *testing.T) {
	w := newWorld(t, nil)
	w.account("billing")
	w.grant("billing", mayAsk(), mayAskFor(billing))
	jwt := w.token("billing", caller.DefaultAudience)
	w.await(bearer(jwt), http.StatusOK)
	w.clock.SetTime(w.clock.Now().Add(caller.DefaultKeepYes))
	before := w.asked.Load()
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() {
			who, problem := w.present(bearer(jwt))
			if problem != nil {
				t.Errorf("refused: %+v", problem)
				return
			}
			if allowed, err := who.Audiences(context.WithoutCancel(t.Context()), []string{billing}); err != nil || len(allowed) != 1 {
				t.Errorf("Audiences = %q, %v", allowed, err)
			}
		})
	}
	group.Wait()
	if asked := w.asked.Load() - before; asked != 3 {
		t.Errorf("100 requests asked the API server %d times, want 3: who, whether, for what", asked)
	}
}
