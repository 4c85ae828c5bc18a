package gateway_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/gateway"
)

const examples = "../../config/gateways"

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestTheDocumentationShowsTheExamplesThatAreTested(t *testing.T) {
	files, err := os.ReadDir(examples)
	if err != nil || len(files) != 5 {
		t.Fatalf("%d examples, %v, want 5", len(files), err)
	}
	page := read(t, "../../docs/gateways.md")
	for _, file := range files {
		if content := read(t, filepath.Join(examples, file.Name())); !strings.Contains(page, "\n"+content+"```\n") {
			t.Errorf("docs/gateways.md does not show config/gateways/%s as it is", file.Name())
		}
	}
	for _, header := range gateway.Headers {
		if !strings.Contains(page, "| `"+header+"` |") {
			t.Errorf("docs/gateways.md does not say what %s is", header)
		}
	}
}

// TestEachExampleNamesAllIdentityHeaders counts how often: once to remove or to
// replace the client's, and once more where what the verifier says is copied.
func TestEachExampleNamesAllIdentityHeaders(t *testing.T) {
	for file, times := range map[string]int{"nginx.conf": 1, "Caddyfile": 1, "traefik.yaml": 2, "envoy.yaml": 1} {
		content := strings.ToLower(read(t, filepath.Join(examples, file)))
		for _, header := range gateway.Headers {
			whole := regexp.MustCompile(strings.ToLower(header) + `\b`)
			// A comment on spelling may name one more.
			uses := len(whole.FindAllString(content, -1)) - strings.Count(content, "as "+strings.ToLower(header)+".")
			if uses != times {
				t.Errorf("%s names %s %d times, want %d", file, header, uses, times)
			}
		}
		if strings.Contains(content, "trustforwardheader: true") || strings.Contains(content, "failure_mode_allow: true") {
			t.Errorf("%s lets requests pass that nobody checked", file)
		}
	}
}

func TestThePoliciesOfTheExamplesAreConfigured(t *testing.T) {
	configuration, err := config.Load(filepath.Join(examples, "verifier.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(configuration.Networks()) == 0 {
		t.Error("no proxy is trusted: no address would be known")
	}
	for _, policy := range configuration.Policies {
		for _, file := range []string{"nginx.conf", "Caddyfile", "envoy.yaml"} {
			if !strings.Contains(read(t, filepath.Join(examples, file)), policy.Name) {
				t.Errorf("%s does not use the policy %s", file, policy.Name)
			}
		}
	}
}
