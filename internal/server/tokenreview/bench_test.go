package tokenreview

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/authentication"

	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

// BenchmarkReview measures the handler without a network, for a token that is
// accepted and one of somebody else's. controller-runtime's webhook around a
// constant answer is there to compare with.
func BenchmarkReview(b *testing.B) {
	w := newWorld(b, enforced())
	accepted := w.issue(b, "deploy", mint.Audiences("kubernetes"), mint.Scopes("deploy:shop", "read:registry"))
	handler := New(w.decider, Options{
		DefaultAudience: ownAudience, Clock: w.clock,
		Kubernetes: config.Kubernetes{Audiences: []string{apiAudience}, Scopes: config.ScopesEnforced},
	})
	b.Run("accepted", func(b *testing.B) { serve(b, handler, accepted) })
	b.Run("foreign", func(b *testing.B) { serve(b, handler, foreignToken) })
	key, err := token.ParseID(idOf("deploy"))
	if err != nil {
		b.Fatal(err)
	}
	constant := authentication.ReviewResponse(true, userOf(w.index.Lookup(key)), "", apiAudience)
	b.Run("controller-runtime", func(b *testing.B) {
		serve(b, &authentication.Webhook{Handler: authentication.HandlerFunc(func(context.Context, authentication.Request) authentication.Response {
			return constant
		})}, accepted)
	})
}

// serve has a handler answer the review that kube-apiserver sends.
func serve(b *testing.B, handler http.Handler, text string) {
	b.Helper()
	review := authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: text, Audiences: []string{apiAudience}}}
	review.SetGroupVersionKind(kind)
	body, err := json.Marshal(review)
	if err != nil {
		b.Fatal(err)
	}
	reader := bytes.NewReader(body)
	request := &http.Request{
		Method: http.MethodPost, Header: http.Header{"Content-Type": {"application/json"}},
		ContentLength: int64(len(body)), Body: io.NopCloser(reader),
	}
	answer := discard{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		reader.Reset(body)
		handler.ServeHTTP(answer, request)
	}
}

// discard is a response that nobody reads.
type discard struct{ header http.Header }

// Header implements http.ResponseWriter.
func (d discard) Header() http.Header { return d.header }

// Write implements http.ResponseWriter.
func (d discard) Write(b []byte) (int, error) { return len(b), nil }

// WriteHeader implements http.ResponseWriter.
func (d discard) WriteHeader(int) {}
