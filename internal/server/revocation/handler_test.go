package revocation_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/revocation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

func TestTheHolderRevokesATokenWhateverItIsFor(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(*v1alpha1.TokenRecord){
		"plain":     func(*v1alpha1.TokenRecord) {},
		"elsewhere": func(rec *v1alpha1.TokenRecord) { rec.Spec.Audiences = []string{"kubernetes"} },
		"networked": func(rec *v1alpha1.TokenRecord) { rec.Spec.AllowedCIDRs = []v1alpha1.CIDR{"192.0.2.0/24"} },
		"scoped":    func(rec *v1alpha1.TokenRecord) { rec.Spec.Scopes = []string{"read"} },
	} {
		text, rec := w.issue(name, change)
		before := w.requests.Load()
		w.clock.SetTime(w.clock.Now().Add(time.Minute))
		w.succeeds(w.revoke(text, "token_type_hint", "refresh_token", "client_id", "me"))
		w.ended(rec, v1alpha1.EndReasonRevokedByHolder)
		if live := w.read(rec); live.Status.RevokedAt != v1alpha1.NewTimestamp(w.clock.Now()) || w.requests.Load() != before+1 {
			t.Errorf("%s: revokedAt = %s after %d requests, want now after one", name, live.Status.RevokedAt, w.requests.Load()-before)
		}
	}
	if w.revoked.Load() != 4 {
		t.Errorf("Tried was told of %d that were revoked, want 4", w.revoked.Load())
	}
}

// TestATokenOutOfAFileIsRevoked shows it with the newline that files end in, which
// would otherwise be success for nothing.
func TestATokenOutOfAFileIsRevoked(t *testing.T) {
	w := newWorld(t)
	for name, around := range map[string][2]string{"newline": {"", "\n"}, "carriage-return": {"", "\r\n"}, "blanks": {"\t ", "  "}} {
		text, rec := w.issue(name)
		w.succeeds(w.revoke(around[0] + text + around[1]))
		w.ended(rec, v1alpha1.EndReasonRevokedByHolder)
	}
}

// TestSuccessIsThereOnceThisVerifierRefuses has the watch bring the end a little
// later.
func TestSuccessIsThereOnceThisVerifierRefuses(t *testing.T) {
	w := newWorld(t)
	text, rec := w.issue("plain")
	looks := 0
	w.options.Settle = patience
	w.options.Verifier = verify.Func(func(ctx context.Context, request verify.Request) (verify.Verdict, error) {
		if w.revoked.Load() > 0 {
			if looks++; looks == 3 {
				w.see(rec)
			}
		}
		return w.decider.Verify(ctx, request)
	})
	w.succeeds(w.revoke(text))
	verdict, err := w.decider.Verify(t.Context(), verify.Request{Token: text, Audiences: []string{mint.DefaultAudience}})
	if err != nil || verdict.Reason != verify.ReasonRevoked || looks != 3 {
		t.Errorf("after the answer: %+v, %v, after %d looks", verdict, err, looks)
	}
}

func TestATokenIsRevokedOnce(t *testing.T) {
	w := newWorld(t)
	text, rec := w.issue("plain")
	w.succeeds(w.revoke(text))
	first := w.read(rec)

	w.clock.SetTime(w.clock.Now().Add(time.Minute))
	w.succeeds(w.revoke(text)) // the verifier has not seen it yet
	w.see(rec)
	before := w.requests.Load()
	w.succeeds(w.revoke(text))
	if last := w.read(rec); last.ResourceVersion != first.ResourceVersion || w.requests.Load() != before || w.revoked.Load() != 1 {
		t.Errorf("written again: %+v, %d requests", last.Status, w.requests.Load()-before)
	}
	w.expectReasons(verify.ReasonRevoked, verify.ReasonRevoked)
}

func TestWhatProvesNothingGetsTheSameAnswerAndIsNotLookedUp(t *testing.T) {
	w := newWorld(t)
	text, rec := w.issue("plain")
	wrong, err := token.Generate(rec.Name, rand.Reader)
	w.must(err)
	unknown, err := token.Generate(token.DeclaredID("nobody", 1), rand.Reader)
	w.must(err)
	before := w.requests.Load()
	for name, presented := range map[string]string{
		"wrong": wrong.Reveal(), "unknown": unknown.Reveal(), "mistyped": text[:len(text)-1] + "~", "malformed": "a", "a JWT": "a.b.c",
	} {
		w.succeeds(w.revoke(presented))
		switch name {
		case "wrong":
			w.expectReasons(verify.ReasonWrongSecret)
		case "unknown":
			w.expectReasons(verify.ReasonUnknown)
		default:
			w.expectReasons(verify.ReasonMalformed)
		}
		if w.requests.Load() != before {
			t.Errorf("%s: the API server was asked", name)
		}
	}
	if live := w.read(rec); live.ResourceVersion != rec.ResourceVersion || w.revoked.Load() != 0 {
		t.Errorf("the record was written: %+v", live.Status)
	}
}

func TestATokenThatEndedKeepsItsReason(t *testing.T) {
	w := newWorld(t)
	suspended, first := w.issue("suspended")
	w.change(first, func(status *v1alpha1.TokenRecordStatus) {
		status.RevokedAt, status.Reason = v1alpha1.NewTimestamp(w.clock.Now()), v1alpha1.EndReasonSuspended
	})
	w.succeeds(w.revoke(suspended)) // unseen: by a conflict
	w.see(first)
	w.succeeds(w.revoke(suspended))
	w.ended(first, v1alpha1.EndReasonSuspended)

	superseded, second := w.issue("superseded")
	w.change(second, func(status *v1alpha1.TokenRecordStatus) {
		status.ExpiresAt, status.Reason = v1alpha1.NewTimestamp(w.clock.Now()), v1alpha1.EndReasonSuperseded
	})
	w.succeeds(w.revoke(superseded))
	w.see(second)
	w.succeeds(w.revoke(superseded))
	if status := w.read(second).Status; status.RevokedAt != "" || status.Reason != v1alpha1.EndReasonSuperseded {
		t.Errorf("status = %+v", status)
	}

	// Taken for revoked, a token at the end of its age would be replaced.
	aged, third := w.issue("aged", mint.Aging(time.Hour))
	w.clock.SetTime(w.clock.Now().Add(2 * time.Hour))
	w.succeeds(w.revoke(aged))
	if status := w.read(third).Status; status.RevokedAt != "" || status.Reason != "" {
		t.Errorf("status = %+v", status)
	}
}

// TestATokenThatWasUsedElsewhereIsRevoked has this verifier not know of a use
// that another one wrote.
func TestATokenThatWasUsedElsewhereIsRevoked(t *testing.T) {
	w := newWorld(t)
	text, rec := w.issue("sliding", mint.Sliding(time.Hour, 24*time.Hour))
	w.clock.SetTime(w.clock.Now().Add(90 * time.Minute))
	used := w.clock.Now().Add(-time.Hour + time.Second)
	w.change(rec, func(status *v1alpha1.TokenRecordStatus) { status.LastUsedAt = v1alpha1.NewTimestamp(used) })
	w.succeeds(w.revoke(text))
	w.ended(rec, v1alpha1.EndReasonRevokedByHolder)
}

func TestAConflictIsSolvedByReadingAgain(t *testing.T) {
	w := newWorld(t)
	text, rec := w.issue("contended")
	// Twice, somebody else writes just before us.
	patches := 0
	w.before = func(r *http.Request) {
		if r.Method != http.MethodPatch {
			return
		}
		if patches++; patches <= 2 {
			used := v1alpha1.NewTimestamp(w.clock.Now().Add(time.Duration(patches) * time.Second))
			w.change(rec, func(status *v1alpha1.TokenRecordStatus) { status.LastUsedAt = used })
		}
	}
	w.succeeds(w.revoke(text))
	w.ended(rec, v1alpha1.EndReasonRevokedByHolder)
	if live := w.read(rec); patches != 3 || live.Status.LastUsedAt == "" {
		t.Errorf("%d patches, status %+v", patches, live.Status)
	}
}

func TestOneWhoAlwaysLosesSaysSo(t *testing.T) {
	w := newWorld(t)
	text, rec := w.issue("contended")
	w.options.Deadline = 500 * time.Millisecond
	second := 0
	w.before = func(r *http.Request) {
		if r.Method == http.MethodPatch {
			second++
			w.change(rec, func(status *v1alpha1.TokenRecordStatus) {
				status.LastUsedAt = v1alpha1.NewTimestamp(w.clock.Now().Add(time.Duration(second) * time.Second))
			})
		}
	}
	w.unavailable(w.revoke(text))
	if w.read(rec).Status.RevokedAt != "" || w.revoked.Load() != 0 || second < 2 {
		t.Errorf("after %d tries: revoked", second)
	}
}

func TestTwoRevocationsAtOnceBothSucceedAndOneWrites(t *testing.T) {
	w := newWorld(t)
	text, rec := w.issue("plain")
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() { w.succeeds(w.revoke(text)) })
	}
	group.Wait()
	w.ended(rec, v1alpha1.EndReasonRevokedByHolder)
	if w.revoked.Load() != 1 {
		t.Errorf("%d of them wrote, want 1", w.revoked.Load())
	}
}

func TestADeletedRecordIsAnEnd(t *testing.T) {
	w := newWorld(t)
	text, rec := w.issue("plain")
	w.must(w.admin.Delete(t.Context(), rec))
	w.succeeds(w.revoke(text))
	if w.revoked.Load() != 0 {
		t.Error("Tried was told of a record that is not there")
	}
	w.expectReasons(verify.ReasonRevoked)
}

func (w *world) unavailable(recorder *httptest.ResponseRecorder) {
	w.Helper()
	if recorder.Code != http.StatusServiceUnavailable || recorder.Header().Get("Retry-After") == "" || recorder.Header().Get("Cache-Control") != "no-store" {
		w.Errorf("answer: %d %v %s, want 503", recorder.Code, recorder.Header(), recorder.Body)
	}
}

func TestWhatCouldNotBeDoneIsNoSuccess(t *testing.T) {
	w := newWorld(t)
	text, rec := w.issue("plain")
	w.fail = func(*http.Request) error { return errors.New("the API server is away, said of " + text) }
	w.unavailable(w.revoke(text))
	if !strings.Contains(w.log.String(), rec.Name) || !strings.Contains(w.log.String(), "the API server is away") {
		t.Errorf("log: %s", w.log.String())
	}
	w.fail = nil
	for _, cause := range []error{verify.ErrNotReady, verify.ErrStale} {
		w.decider.Fresh = func(time.Time) error { return cause }
		w.unavailable(w.revoke(text))
		w.unavailable(w.revoke("malformed")) // as little is known of it
	}
	if w.failures.Load() != 5 {
		t.Errorf("told of %d failures, want 5", w.failures.Load())
	}
	if w.read(rec).Status.RevokedAt != "" {
		t.Error("it was revoked")
	}
	w.decider.Fresh = func(time.Time) error { return nil }
	w.succeeds(w.revoke(text)) // again, as the client was told
	w.ended(rec, v1alpha1.EndReasonRevokedByHolder)
}

func TestAClientThatLeavesStopsNothing(t *testing.T) {
	w := newWorld(t)
	text, rec := w.issue("plain")
	handler, err := revocation.New(w.options)
	w.must(err)
	ctx, leave := context.WithCancel(t.Context())
	w.before = func(*http.Request) { leave() }
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/revoke", strings.NewReader("token="+text))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	handler.ServeHTTP(httptest.NewRecorder(), r)
	w.ended(rec, v1alpha1.EndReasonRevokedByHolder)
}

func TestRequestsThatAreNoneOfRFC7009AreRefused(t *testing.T) {
	w := newWorld(t)
	text, rec := w.issue("plain")
	handler, err := revocation.New(w.options)
	w.must(err)
	const form = "application/x-www-form-urlencoded"
	for name, test := range map[string]struct {
		method, target, contentType, body string
		status                            int
	}{
		"GET":             {http.MethodGet, "/revoke?token=" + text, "", "", 405},
		"a query":         {http.MethodPost, "/revoke?token=" + text, form, "", 400},
		"both":            {http.MethodPost, "/revoke?token=" + text, form, "token=" + text, 400},
		"no token":        {http.MethodPost, "/revoke", form, "", 400},
		"an empty token":  {http.MethodPost, "/revoke", form, "token=", 400},
		"two tokens":      {http.MethodPost, "/revoke", form, "token=" + text + "&token=a", 400},
		"JSON":            {http.MethodPost, "/revoke", "application/json", `{"token":"` + text + `"}`, 415},
		"a huge form":     {http.MethodPost, "/revoke", form, "token=" + text + "&x=" + strings.Repeat("a", 1<<20), 413},
		"JSONP (2.3)":     {http.MethodPost, "/revoke?callback=f", form, "token=" + text, 400},
		"DELETE":          {http.MethodDelete, "/revoke", form, "token=" + text, 405},
		"another charset": {http.MethodPost, "/revoke", form + "; charset=utf-16", "token=" + text, 415},
	} {
		r := httptest.NewRequestWithContext(t.Context(), test.method, test.target, strings.NewReader(test.body))
		r.Header.Set("Content-Type", test.contentType)
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, r)
		if recorder.Code != test.status || strings.Contains(recorder.Body.String(), text) || !strings.HasPrefix(recorder.Body.String(), `{"error":"invalid_request"`) {
			t.Errorf("%s: %d %s, want %d", name, recorder.Code, recorder.Body, test.status)
		}
	}
	if live := w.read(rec); live.Status.RevokedAt != "" {
		t.Error("it was revoked")
	}
}

func TestOptionsThatLackSomethingAreRefused(t *testing.T) {
	w := newWorld(t)
	for _, change := range []func(*revocation.Options){
		func(o *revocation.Options) { o.Verifier = nil },
		func(o *revocation.Options) { o.Client = nil },
	} {
		options := w.options
		change(&options)
		if _, err := revocation.New(options); err == nil {
			t.Error("New takes them")
		}
	}
}
