package main

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/onsi/gomega"
)

// original is the request that a gateway asks about, unless a test says
// otherwise.
var original = http.Header{
	"X-Forwarded-Method": {http.MethodGet}, "X-Forwarded-Uri": {"/cart"}, "X-Forwarded-Host": {"shop.example.com"},
	"X-Forwarded-For": {"192.0.2.7"}, "User-Agent": {"basket/1.0"},
}

// gate asks as Traefik and Caddy do, with headers beside those of original.
func (v *process) gate(ctx context.Context, headers http.Header) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, v.URL()+"/auth/forwarded/shop", nil)
	if err != nil {
		return 0, err
	}
	for _, more := range []http.Header{original, headers} {
		for name, values := range more {
			request.Header[name] = values
		}
	}
	response, err := v.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

func bearer(text string) http.Header { return http.Header{"Authorization": {"Bearer " + text}} }

// use uses a token at a gateway, and returns how that was answered; 0 is for a
// verifier that did not.
func (v *process) use(t *testing.T, text string) (status int) {
	t.Helper()
	status, err := v.gate(t.Context(), bearer(text))
	if err != nil {
		t.Logf("%s: %v", v.Name(), err)
	}
	return status
}

// awaitUse uses a token until it is answered so.
func (v *process) awaitUse(t *testing.T, text string, status int) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func() int { return v.use(t, text) }).
		WithTimeout(soon).WithPolling(often).Should(gomega.Equal(status), v.Name())
}
