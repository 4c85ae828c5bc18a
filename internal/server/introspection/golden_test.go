package introspection_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what is answered now into testdata")

const separator = "\n\n----\n"

// TestGolden sends each request in testdata, which is named by the section that
// it is about, and wants the answer below it, to the byte.
func TestGolden(t *testing.T) {
	w := newWorld(t)
	replacements := []string{"{{basic-caller}}", base64.StdEncoding.EncodeToString([]byte("billing:" + strings.ReplaceAll(w.texts["caller"], "_", "%5F")))}
	for name, text := range w.texts {
		replacements = append(replacements, "{{"+name+"}}", text)
	}
	fill := strings.NewReplacer(replacements...)
	paths, err := filepath.Glob("testdata/*.http")
	if err != nil || len(paths) == 0 {
		t.Fatalf("requests: %q, %v", paths, err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".http"), func(t *testing.T) {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			request, want, _ := strings.Cut(string(content), separator)
			recorder := httptest.NewRecorder()
			w.handler.ServeHTTP(recorder, parse(t, fill.Replace(request)))
			got := dump(recorder)
			for name, text := range w.texts {
				if strings.Contains(got, text) {
					t.Errorf("the answer holds the token %s", name)
				}
			}
			if *update {
				if err := os.WriteFile(path, []byte(request+separator+got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("answer:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func parse(t *testing.T, text string) *http.Request {
	t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	raw := fmt.Sprintf("%s\r\nContent-Length: %d\r\n\r\n%s", strings.ReplaceAll(head, "\n", "\r\n"), len(body), body)
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return r.WithContext(t.Context())
}

func dump(recorder *httptest.ResponseRecorder) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\n", recorder.Code, http.StatusText(recorder.Code))
	for _, name := range slices.Sorted(maps.Keys(recorder.Header())) {
		for _, value := range recorder.Header()[name] {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	fmt.Fprintf(&b, "\n%s", recorder.Body)
	return b.String()
}
