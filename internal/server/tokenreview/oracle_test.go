package tokenreview

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/authentication"

	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// FuzzAReviewIsReadAsControllerRuntimeReadsIt compares with a webhook that
// decodes every version and checks less. Whatever we read, it reads the same.
func FuzzAReviewIsReadAsControllerRuntimeReadsIt(f *testing.F) {
	const head = `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview",`
	for _, seed := range []string{
		head + `"metadata":{"creationTimestamp":null},"spec":{"token":"kat_x","audiences":["a","b"]},"status":{"user":{}}}`,
		head + `"spec":{"token":"a","token":"b"}}`,
		head + `"spec":{"token":"a","TOKEN":"b","Audiences":["c"]}}`,
		head + `"spec":{"token":"a"},"spec":{"audiences":["c"]}}`,
		head + `"spec":null}`,
		head + `"spec":{"token":"\ud800\u0000<>&","audiences":[""]}}`,
		head + `"spec":{"token":"a","audiences":null,"unknown":[{}]},"metadata":{"uid":"u"}} `,
		head + `"spec":{"token":1}}`,
		`{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1beta1","spec":{"token":"a"}}`,
		`[]`, `null`, ``, `{`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var ours, theirs *authenticationv1.TokenReviewSpec
		handler := New(verify.Func(func(_ context.Context, r verify.Request) (verify.Verdict, error) {
			ours = &authenticationv1.TokenReviewSpec{Token: r.Token, Audiences: r.Audiences}
			return verify.Verdict{Reason: verify.ReasonMalformed}, nil
		}), Options{Kubernetes: config.Kubernetes{Audiences: []string{"\x00none"}}})
		answer := post(t, handler, body)
		oracle := &authentication.Webhook{Handler: authentication.HandlerFunc(func(_ context.Context, r authentication.Request) authentication.Response {
			theirs = &r.Spec
			return authentication.Unauthenticated("", authenticationv1.UserInfo{})
		})}
		if len(body) > 0 {
			post(t, oracle, body)
		}
		checkAnswer(t, answer)
		switch {
		case ours == nil && theirs != nil && answer.Code == http.StatusOK:
			t.Errorf("%q: answered without asking", body)
		case ours == nil || ours.Token == "":
			return // controller-runtime asks nobody about an empty token
		case theirs == nil:
			t.Fatalf("%q: read as a review, and by controller-runtime as none", body)
		case ours.Token != theirs.Token:
			t.Errorf("%q: token %q, and by controller-runtime %q", body, ours.Token, theirs.Token)
		case len(theirs.Audiences) > 0 && !slices.Contains(theirs.Audiences, "kubernetes") && !slices.Contains(theirs.Audiences, "\x00none") &&
			!slices.Equal(ours.Audiences, theirs.Audiences):
			t.Errorf("%q: audiences %q, and by controller-runtime %q", body, ours.Audiences, theirs.Audiences)
		}
	})
}

func post(t *testing.T, handler http.Handler, body []byte) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, Path, bytes.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder
}

func checkAnswer(t *testing.T, answer *httptest.ResponseRecorder) {
	t.Helper()
	if answer.Code == http.StatusBadRequest {
		return
	}
	var review authenticationv1.TokenReview
	if err := json.Unmarshal(answer.Body.Bytes(), &review); err != nil || answer.Code != http.StatusOK {
		t.Fatalf("answered %d: %s (%v)", answer.Code, answer.Body, err)
	}
	if review.Status.Authenticated {
		t.Fatalf("accepted: %s", answer.Body)
	}
}
