package securityevents_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/securityevents"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

func TestAnEventRevokesTheTokensOfTheUserThatItIsAbout(t *testing.T) {
	now := clock.RealClock{}.Now()
	for name, c := range map[string]struct {
		changes object
		reason  string
		before  time.Duration // after the issue
	}{
		"a changed credential": {nil, "credential-change", 0},
		"a revoked session":    {object{"events": object{sessionRevoked: object{}}}, "session-revoked", 0},
		"a disabled account":   {object{"events": object{accountDisabled: object{"reason": "hijacking"}}}, "account-disabled", 0},
		"one that happened before it was told of": {
			object{"events": object{sessionRevoked: object{"event_timestamp": now.Add(-time.Hour).Unix()}}}, "session-revoked", -time.Hour,
		},
		"one that is to come, which is none": {object{"toe": now.Add(time.Hour).Unix()}, "credential-change", 0},
		"two at once": {
			object{"events": object{sessionRevoked: object{}, credentialChange: object{}, verification: object{}}}, "credential-change, session-revoked", 0,
		},
		"one of an earlier draft": {
			object{"sub_id": nil, "events": object{sessionRevoked: object{"subject": object{"format": "iss_sub", "iss": idp, "sub": "maria"}}}}, "session-revoked", 0,
		},
		"one about a user and a session": {
			object{"sub_id": object{"format": "complex", "user": object{"format": "iss_sub", "iss": idp, "sub": "maria"}, "session": object{"format": "opaque", "id": "7"}}}, "credential-change", 0,
		},
		"one for many":            {object{"aud": []string{"https://elsewhere.example.com", audience}}, "credential-change", 0},
		"one that is a day old":   {object{"iat": now.Add(-23 * time.Hour).Unix()}, "credential-change", -23 * time.Hour},
		"one by a clock in front": {object{"iat": now.Add(30 * time.Second).Unix()}, "credential-change", 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *securityevents.Options) { o.Issuers[0].Users.Prefix, o.Issuers[0].Reissue = "p:", true })
			w.clock.SetTime(now)
			claims := w.told("1", c.changes)
			if status, answer := w.push(w.event(claims)); status != http.StatusAccepted {
				t.Fatalf("%d %v", status, answer)
			}
			made := w.named(claims)
			want := v1alpha1.ClusterTokenRevocationSpec{RevocationSpec: v1alpha1.RevocationSpec{
				Subject: &v1alpha1.RevokedSubject{Kind: v1alpha1.RevokedUser, Name: "p:maria"},
				Before:  v1alpha1.NewTimestamp(w.clock.Now().Add(c.before)), Reason: c.reason + ", told by " + idp, Reissue: true,
			}}
			if diff := cmp.Diff(want, made.Spec); diff != "" {
				t.Errorf("revocation (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]securityevents.Result{securityevents.ResultRevoked}, w.results); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// named is the revocation that was made of an event, which goes with the test.
func (w *world) named(claims object) v1alpha1.ClusterTokenRevocation {
	w.Helper()
	list := &v1alpha1.ClusterTokenRevocationList{}
	if err := w.admin.List(w.Context(), list); err != nil {
		w.Fatal(err)
	}
	for _, each := range list.Items {
		if each.Annotations[v1alpha1.AnnotationSecurityEvent] == claims["jti"] {
			w.Cleanup(func() {
				if err := w.admin.Delete(context.WithoutCancel(w.Context()), &each); err != nil {
					w.Error(err)
				}
			})
			return each
		}
	}
	w.Fatal("nothing was revoked")
	return v1alpha1.ClusterTokenRevocation{}
}

func TestAnEventThatComesAgainMakesNothingMore(t *testing.T) {
	w := newWorld(t)
	text := w.event(w.told("1", nil))
	for range 3 {
		if status, _ := w.push(text); status != http.StatusAccepted {
			t.Errorf("answered with %d", status)
		}
	}
	if made := w.made(); len(made) != 1 {
		t.Errorf("%d revocations", len(made))
	}
	if status, _ := w.push(w.event(w.told("2", nil))); status != http.StatusAccepted || len(w.made()) != 2 {
		t.Errorf("another one is answered with %d, %d revocations", status, len(w.made()))
	}
	want := []securityevents.Result{securityevents.ResultRevoked, securityevents.ResultRepeated, securityevents.ResultRepeated, securityevents.ResultRevoked}
	if diff := cmp.Diff(want, w.results); diff != "" {
		t.Error(diff)
	}
}

func TestAnEventOfAnotherTypeIsTakenAndRevokesNothing(t *testing.T) {
	w := newWorld(t)
	claims := w.told("1", object{"sub_id": object{"format": "opaque", "id": "stream"}, "events": object{verification: object{"state": "x"}}})
	if status, _ := w.push(w.event(claims)); status != http.StatusAccepted || len(w.made()) > 0 || w.results[0] != securityevents.ResultIgnored {
		t.Errorf("answered with %d, %v", status, w.results)
	}
}

func TestAnEventThatIsNotGoodIsRefusedWithACodeOfRFC8935(t *testing.T) {
	w := newWorld(t)
	other := newKey(t, "k1")
	unknown := newKey(t, "k2")
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := w.told("1", nil)
	signed := func(changes object) string { return w.event(w.told("1", changes)) }
	with := func(algorithm jose.SignatureAlgorithm, key any, typ string) string {
		return w.sign(jose.SigningKey{Algorithm: algorithm, Key: key}, typ, good)
	}
	about := func(subject object) string { return signed(object{"sub_id": subject}) }
	text := w.event(good)
	for name, c := range map[string]struct{ text, code string }{
		"no JWT":                    {"hello", "invalid_request"},
		"nothing":                   {"", "invalid_request"},
		"one without a signature":   {strings.Join(append(strings.Split(text, ".")[:2], ""), "."), "authentication_failed"},
		"one that was changed":      {strings.Split(text, ".")[0] + "." + strings.Split(signed(object{"jti": "x"}), ".")[1] + "." + strings.Split(text, ".")[2], "authentication_failed"},
		"an ID token":               {with(jose.ES256, w.key, "JWT"), "invalid_request"},
		"one of no type":            {with(jose.ES256, w.key, ""), "invalid_request"},
		"another's key":             {with(jose.ES256, other, "secevent+jwt"), "authentication_failed"},
		"an unknown key":            {with(jose.ES256, unknown, "secevent+jwt"), "invalid_key"},
		"another kind of key":       {with(jose.RS256, jose.JSONWebKey{Key: weak, KeyID: "k1"}, "secevent+jwt"), "authentication_failed"},
		"a shared secret":           {with(jose.HS256, jose.JSONWebKey{Key: []byte(strings.Repeat("s", 32)), KeyID: "k1"}, "secevent+jwt"), "invalid_key"},
		"an unknown issuer":         {signed(object{"iss": "https://evil.example.com"}), "invalid_issuer"},
		"no issuer":                 {signed(object{"iss": nil}), "invalid_issuer"},
		"another audience":          {signed(object{"aud": "https://elsewhere.example.com"}), "invalid_audience"},
		"no audience":               {signed(object{"aud": nil}), "invalid_audience"},
		"no ID":                     {signed(object{"jti": nil}), "invalid_request"},
		"a long ID":                 {signed(object{"jti": strings.Repeat("x", 257)}), "invalid_request"},
		"no time":                   {signed(object{"iat": nil}), "invalid_request"},
		"one that is too old":       {signed(object{"iat": w.clock.Now().Add(-24*time.Hour - time.Second).Unix()}), "invalid_request"},
		"one of tomorrow":           {signed(object{"iat": w.clock.Now().Add(time.Hour).Unix()}), "invalid_request"},
		"no events":                 {signed(object{"events": nil}), "invalid_request"},
		"events that are none":      {signed(object{"events": "x"}), "invalid_request"},
		"an event that is none":     {signed(object{"events": object{credentialChange: "x"}}), "invalid_request"},
		"nobody":                    {signed(object{"sub_id": nil}), "invalid_request"},
		"somebody of another":       {about(object{"format": "iss_sub", "iss": "https://other.example.com", "sub": "maria"}), "invalid_request"},
		"somebody by e-mail":        {about(object{"format": "email", "email": "maria@example.com"}), "invalid_request"},
		"a session alone":           {about(object{"format": "complex", "session": object{"format": "opaque", "id": "7"}}), "invalid_request"},
		"somebody without a name":   {about(object{"format": "iss_sub", "iss": idp, "sub": " "}), "invalid_request"},
		"somebody with a long name": {about(object{"format": "iss_sub", "iss": idp, "sub": strings.Repeat("x", 600)}), "invalid_request"},
		"a name with a line end":    {about(object{"format": "iss_sub", "iss": idp, "sub": "maria\nadmin"}), "invalid_request"},
		"two people": {signed(object{"sub_id": nil, "events": object{
			credentialChange: object{"subject": object{"format": "iss_sub", "iss": idp, "sub": "maria"}},
			sessionRevoked:   object{"subject": object{"format": "iss_sub", "iss": idp, "sub": "otto"}},
		}}), "invalid_request"},
	} {
		status, answer := w.push(c.text)
		if status != http.StatusBadRequest || answer["err"] != c.code || answer["description"] == "" {
			t.Errorf("%s: %d %v, want %s", name, status, answer, c.code)
		}
	}
	for name, c := range map[string]struct {
		method, contentType, text string
		status                    int
	}{
		"another method":       {http.MethodGet, "application/secevent+jwt", text, http.StatusMethodNotAllowed},
		"another content type": {http.MethodPost, "application/json", text, http.StatusBadRequest},
		"a long body":          {http.MethodPost, "application/secevent+jwt", strings.Repeat("x", 100_000), http.StatusBadRequest},
	} {
		if status, _ := w.send(c.method, c.contentType, c.text); status != c.status {
			t.Errorf("%s: %d, want %d", name, status, c.status)
		}
	}
	if made := w.made(); len(made) > 0 {
		t.Errorf("%d revocations were made", len(made))
	}
	for _, result := range w.results {
		if result != securityevents.ResultRefused {
			t.Errorf("one of them is counted as %s", result)
		}
	}
	if status, _ := w.push(text); status != http.StatusAccepted {
		t.Errorf("the good one is answered with %d", status)
	}
}

func TestAUserIsNamedAsTheIssuerIsConfigured(t *testing.T) {
	for identifier, subject := range map[config.UserIdentifier]object{
		config.IdentifierSubject: {"format": "iss_sub", "iss": idp, "sub": "maria"},
		config.IdentifierEmail:   {"format": "email", "email": "maria"},
		config.IdentifierID:      {"format": "opaque", "id": "maria"},
	} {
		w := newWorld(t, func(o *securityevents.Options) { o.Issuers[0].Users.Identifier = identifier })
		if status, answer := w.push(w.event(w.told(string(identifier), object{"sub_id": subject}))); status != http.StatusAccepted {
			t.Errorf("%s: %d %v", identifier, status, answer)
		}
		found := false
		for _, made := range w.made() {
			found = found || made.Annotations[v1alpha1.AnnotationSecurityEvent] == t.Name()+string(identifier) && made.Spec.Subject.Name == strings.ToLower(t.Name())+":maria"
		}
		if !found {
			t.Errorf("%s: maria was not revoked", identifier)
		}
	}
}

func TestKeysAreReadAnewWhenOneIsMissingAndNotForEachEvent(t *testing.T) {
	var reads atomic.Int64
	var set atomic.Pointer[[]byte]
	var broken atomic.Bool
	server := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		reads.Add(1)
		if broken.Load() {
			http.Error(rw, "broken", http.StatusInternalServerError)
			return
		}
		_, _ = rw.Write(*set.Load())
	}))
	t.Cleanup(server.Close)
	w := newWorld(t, func(o *securityevents.Options) {
		o.Issuers[0].Keys, o.HTTP = config.EventKeys{URL: server.URL}, server.Client()
	})
	serve := func(keys ...jose.JSONWebKey) {
		w.publish(keys...)
		content, err := os.ReadFile(w.file)
		if err != nil {
			t.Fatal(err)
		}
		set.Store(&content)
	}
	expect := func(what, id string, key jose.JSONWebKey, status int, readSoFar int64) {
		t.Helper()
		text := w.sign(jose.SigningKey{Algorithm: jose.ES256, Key: key}, "application/secevent+jwt", w.told(id, nil))
		if got, answer := w.push(text); got != status || reads.Load() != readSoFar {
			t.Errorf("%s: %d %v after %d reads, want %d after %d", what, got, answer, reads.Load(), status, readSoFar)
		}
	}
	next := newKey(t, "k2")
	serve(w.key)
	expect("the first", "1", w.key, http.StatusAccepted, 1)
	expect("another", "2", w.key, http.StatusAccepted, 1)
	expect("one of a key that is made up", "3", newKey(t, "k9"), http.StatusBadRequest, 1)
	w.clock.SetTime(w.clock.Now().Add(11 * time.Second))
	serve(w.key, next)
	expect("one of a new key", "4", next, http.StatusAccepted, 2)
	expect("one of a key that is made up", "5", newKey(t, "k9"), http.StatusBadRequest, 2)
	w.clock.SetTime(w.clock.Now().Add(10 * time.Minute))
	serve(next)
	expect("one of a key that was taken out", "6", w.key, http.StatusBadRequest, 3)
	broken.Store(true)
	w.clock.SetTime(w.clock.Now().Add(59 * time.Minute))
	expect("one while keys cannot be read", "7", next, http.StatusAccepted, 4)
	w.clock.SetTime(w.clock.Now().Add(time.Minute))
	expect("one while they could not for an hour", "8", next, http.StatusServiceUnavailable, 5)
}

func TestEventsThatAnybodyCanSendDoNotFillTheLog(t *testing.T) {
	var lines atomic.Int64
	w := newWorld(t, func(o *securityevents.Options) {
		o.Log = funcr.New(func(string, string) { lines.Add(1) }, funcr.Options{})
	})
	for range 200 {
		w.push("made up")
	}
	if got := lines.Load(); got != 50 || len(w.results) != 200 {
		t.Errorf("%d lines of %d events, want 50", got, len(w.results))
	}
}

func TestWhatCannotBeStoredIsToComeAgain(t *testing.T) {
	verifier, err := testenv.ControlPlane(t).ServiceAccountConfig(t.Context(), operator.Namespace, operator.VerifierAccount)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *securityevents.Options) { o.Client = clientFor(t, verifier) })
	text := w.event(w.told("1", nil))
	if status, _ := w.push(text); status != http.StatusServiceUnavailable {
		t.Errorf("without the right to: %d", status)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "security-events-test"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "accesstoken-security-events"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: operator.Namespace, Name: operator.VerifierAccount}},
	}
	if err := w.admin.Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.admin.Delete(context.WithoutCancel(t.Context()), binding); err != nil {
			t.Error(err)
		}
	})
	accepted := false
	for range 200 { // the authorizer reads bindings from a watch
		if status, _ := w.push(text); status == http.StatusAccepted {
			accepted = true
			break
		}
	}
	if !accepted || len(w.made()) != 1 {
		t.Errorf("with the right to: %v, %d revocations", accepted, len(w.made()))
	}
}
