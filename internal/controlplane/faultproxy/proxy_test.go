package faultproxy

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

// startProxied runs a proxy before a server that counts what reaches it.
func startProxied(t *testing.T) (proxy *Proxy, reached func() int) {
	t.Helper()
	count := make(chan int, 1)
	count <- 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		count <- <-count + 1
		w.WriteHeader(http.StatusCreated)
	}))
	t.Cleanup(server.Close)
	proxy, err := Start(t.Context(), &rest.Config{Host: server.URL}, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	return proxy, func() int { n := <-count; count <- n; return n }
}

// send sends one write, on a connection of its own.
func send(t *testing.T, url string) (status int, err error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	_ = response.Body.Close()
	return response.StatusCode, nil
}

func TestItForwardsUntilActive(t *testing.T) {
	proxy, reached := startProxied(t)
	for range 50 {
		status, err := send(t, proxy.URL+"/api/v1/namespaces/x/secrets/y")
		if err != nil || status != http.StatusCreated {
			t.Fatalf("status %d, error %v; want 201", status, err)
		}
	}
	if reached() != 50 {
		t.Fatalf("%d requests arrived, want 50", reached())
	}
}

func TestItLetsWritesGoWrong(t *testing.T) {
	const sent = 1000
	proxy, reached := startProxied(t)
	proxy.SetActive(true)
	conflicts, failures, cuts := 0, 0, 0
	for range sent {
		switch status, err := send(t, proxy.URL+"/apis/accesstoken.dev/v1alpha1/namespaces/x/tokenrecords"); {
		case err != nil:
			cuts++
		case status == http.StatusConflict:
			conflicts++
		case status == http.StatusInternalServerError:
			failures++
		}
	}
	counts := proxy.Counts()
	if conflicts != counts[Refused]+counts[DoneButRefused] || failures != counts[DoneButFailed] || cuts != counts[Cut]+counts[DoneButCut] {
		t.Errorf("seen %d conflicts, %d failures, %d cuts; the proxy says %v", conflicts, failures, cuts, counts)
	}
	if withheld := counts[Refused] + counts[Cut]; reached() != sent-withheld {
		t.Errorf("%d requests arrived, want all %d but %d", reached(), sent, withheld)
	}
	for _, what := range faults {
		if counts[what] == 0 {
			t.Errorf("no %q among %d writes", what, sent)
		}
	}
}

func TestItLeavesOthersAlone(t *testing.T) {
	for path, want := range map[string]bool{
		"/apis/accesstoken.dev/v1alpha1/namespaces/x/accesstokens/y/status": true,
		"/apis/accesstoken.dev/v1alpha1/namespaces/x/tokenrecords/y/status": true,
		"/api/v1/namespaces/x/secrets/y":                                    true,
		"/apis/events.k8s.io/v1/namespaces/x/events":                        false,
		"/apis/accesstoken.dev/v1alpha1/namespaces/x/accesstokens/y":        false,
	} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPatch, path, nil)
		if faulty(request) != want {
			t.Errorf("PATCH %s: may go wrong is %t, want %t", path, faulty(request), want)
		}
	}
}
