package securityevents_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/securityevents"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

const (
	idp      = "https://idp.example.com"
	audience = "https://tokens.example.com/events"

	credentialChange = "https://schemas.openid.net/secevent/caep/event-type/credential-change"
	sessionRevoked   = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
	accountDisabled  = "https://schemas.openid.net/secevent/risc/event-type/account-disabled"
	verification     = "https://schemas.openid.net/secevent/ssf/event-type/verification"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(testenv.Run(m))
}

// object is a JSON object.
type object = map[string]any

// world is an issuer, and the endpoint before a real API server.
type world struct {
	*testing.T
	admin   client.Client
	clock   *clocktesting.FakePassiveClock
	key     jose.JSONWebKey
	file    string // of the keys
	server  *httptest.Server
	results []securityevents.Result
}

func newWorld(t *testing.T, change ...func(*securityevents.Options)) *world {
	t.Helper()
	w := &world{T: t, admin: clientFor(t, testenv.Config(t)), clock: clocktesting.NewFakePassiveClock(clock.RealClock{}.Now())}
	w.key = newKey(t, "k1")
	w.file = filepath.Join(t.TempDir(), "keys.json")
	w.publish(w.key)
	options := securityevents.Options{
		Issuers: []config.EventIssuer{{
			Issuer: idp, Audience: audience, Keys: config.EventKeys{File: w.file}, MaxAge: "24h",
			Users: config.EventUsers{Identifier: config.IdentifierSubject, Prefix: strings.ToLower(t.Name()) + ":"},
		}},
		Client: w.admin, Clock: w.clock, Received: func(r securityevents.Result) { w.results = append(w.results, r) }, Log: logr.Discard(),
	}
	for _, each := range change {
		each(&options)
	}
	handler, err := securityevents.New(options)
	if err != nil {
		t.Fatal(err)
	}
	w.server = httptest.NewTLSServer(handler)
	t.Cleanup(w.server.Close)
	t.Cleanup(func() {
		for _, made := range w.made() {
			if err := w.admin.Delete(context.WithoutCancel(t.Context()), &made); err != nil {
				t.Error(err)
			}
		}
	})
	return w
}

func clientFor(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	made, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func newKey(t *testing.T, id string) jose.JSONWebKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return jose.JSONWebKey{Key: key, KeyID: id, Algorithm: string(jose.ES256), Use: "sig"}
}

// publish writes the public halves of keys to the file.
func (w *world) publish(keys ...jose.JSONWebKey) {
	w.Helper()
	set := jose.JSONWebKeySet{}
	for _, key := range keys {
		set.Keys = append(set.Keys, key.Public())
	}
	content, err := json.Marshal(set)
	if err == nil {
		err = os.WriteFile(w.file, content, 0o600)
	}
	if err != nil {
		w.Fatal(err)
	}
}

// told are the claims of a good event about maria, changed.
func (w *world) told(id string, changes object) object {
	claims := object{
		"iss": idp, "aud": audience, "jti": w.Name() + id, "iat": w.clock.Now().Unix(),
		"sub_id": object{"format": "iss_sub", "iss": idp, "sub": "maria"},
		"events": object{credentialChange: object{"change_type": "update", "credential_type": "password"}},
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	return claims
}

// sign signs an event with a key, under a typ.
func (w *world) sign(key jose.SigningKey, typ string, claims any) string {
	w.Helper()
	options := (&jose.SignerOptions{}).WithType(jose.ContentType(typ))
	signer, err := jose.NewSigner(key, options)
	if err != nil {
		w.Fatal(err)
	}
	content, err := json.Marshal(claims)
	if err != nil {
		w.Fatal(err)
	}
	signed, err := signer.Sign(content)
	if err != nil {
		w.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		w.Fatal(err)
	}
	return text
}

// event signs as the issuer does.
func (w *world) event(claims object) string {
	w.Helper()
	return w.sign(jose.SigningKey{Algorithm: jose.ES256, Key: w.key}, "secevent+jwt", claims)
}

// push sends an event, and returns the status and what the answer says.
func (w *world) push(text string) (status int, answer map[string]string) {
	w.Helper()
	return w.send(http.MethodPost, "application/secevent+jwt", text)
}

func (w *world) send(method, contentType, text string) (status int, answer map[string]string) {
	w.Helper()
	request, err := http.NewRequestWithContext(w.Context(), method, w.server.URL+securityevents.Path, strings.NewReader(text))
	if err != nil {
		w.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	response, err := w.server.Client().Do(request)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		w.Fatal(err)
	}
	if response.Header.Get("Cache-Control") != "no-store" {
		w.Errorf("the answer may be stored: %v", response.Header)
	}
	if response.Header.Get("Content-Type") == "application/json" {
		if err := json.Unmarshal(body, &answer); err != nil || response.Header.Get("Content-Language") != "en" {
			w.Errorf("answer %s: %v, %v", body, err, response.Header)
		}
	}
	return response.StatusCode, answer
}

// made are the revocations of users of this test's issuer.
func (w *world) made() (made []v1alpha1.ClusterTokenRevocation) {
	w.Helper()
	list := &v1alpha1.ClusterTokenRevocationList{}
	if err := w.admin.List(context.WithoutCancel(w.Context()), list); err != nil {
		w.Fatal(err)
	}
	for _, each := range list.Items {
		if each.Spec.Subject != nil && strings.HasPrefix(each.Spec.Subject.Name, strings.ToLower(w.Name())+":") {
			made = append(made, each)
		}
	}
	return made
}
