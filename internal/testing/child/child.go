package child

import (
	"context"
	"io"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// Soon is how long a test waits for what takes a write and a watch event, and for
// an answer, on a machine that is busy with other test binaries.
const Soon = 20 * time.Second

// Later is how long it waits for what takes many of those, or garbage collection.
const Later = time.Minute

// AWhile is how long what must not happen is given to happen.
const AWhile = 3 * time.Second

// Get asks with a bearer token, which may be empty. The status is 0, and the body
// says why, while nobody answers.
func Get(t testenv.T, client *http.Client, url, bearer string) (status int, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Soon)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(content)
}

// Kill ends a process as a crash does, without a word to anybody.
func Kill(t testenv.T, process *controlplane.Process) {
	t.Helper()
	if err := syscall.Kill(process.PID(), syscall.SIGKILL); err != nil {
		t.Fatalf("kill %s: %v", process.Name(), err)
	}
	<-process.Done()
}

// Logged is what a process wrote so far, from a mark on.
func Logged(t testenv.T, process *controlplane.Process, mark int) []byte {
	t.Helper()
	content, err := os.ReadFile(process.Log())
	if err != nil {
		t.Fatalf("%v", err)
	}
	return content[mark:]
}
