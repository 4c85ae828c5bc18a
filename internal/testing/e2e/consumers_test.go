//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

func TestGitClonesWithANetrcSecret(t *testing.T) {
	makeRepository(t)
	at := declare(t, v1alpha1.AccessTokenSpec{
		Secret: &v1alpha1.SecretTemplate{Format: v1alpha1.SecretFormatNetrc, Servers: []string{"127.0.0.1:" + forge.port}},
	})
	mount := mountSecret(t, at) // git and curl read .netrc in the home folder
	target := filepath.Join(t.TempDir(), "clone")
	if output, err := program(t, mount, "git", "clone", forge.address("/git/shop.git"), target); err != nil {
		t.Fatalf("git clone: %v\n%s", err, output)
	}
	content, err := os.ReadFile(filepath.Join(target, "README"))
	if err != nil || string(content) != "shop\n" {
		t.Errorf("README of the clone = %q, %v", content, err)
	}
	if _, err := program(t, t.TempDir(), "git", "ls-remote", forge.address("/git/shop.git")); err == nil {
		t.Error("git ls-remote without a .netrc was let in")
	}
}

func TestCurlFollowsRotationAndRevocation(t *testing.T) {
	at := declare(t, v1alpha1.AccessTokenSpec{
		Rotation: &v1alpha1.Rotation{Overlap: "1h"},
		Secret:   &v1alpha1.SecretTemplate{Format: v1alpha1.SecretFormatNetrc, Servers: []string{"127.0.0.1"}},
	})
	old := mountSecret(t, at)
	curl(t, old, true)

	requestRotation(t, at)
	renewed := mountSecret(t, at)
	if first, second := content(t, old, ".netrc"), content(t, renewed, ".netrc"); first == second {
		t.Fatal("the Secret holds the same token after a rotation")
	}
	curl(t, old, true) // the overlap
	curl(t, renewed, true)

	revoke(t, at)
	curl(t, old, false)
	curl(t, renewed, false)
}

func TestCurlSignsInWithABasicAuthSecret(t *testing.T) {
	at := declare(t, v1alpha1.AccessTokenSpec{Secret: &v1alpha1.SecretTemplate{Format: v1alpha1.SecretFormatBasicAuth}})
	mount := mountSecret(t, at)
	// curl reads the password from a file, as a script in a pod would do it: on a
	// command line everybody on the node could read it.
	config := "user = \"" + content(t, mount, "username") + ":" + content(t, mount, "password") + "\"\n"
	if err := os.WriteFile(filepath.Join(mount, "curlrc"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	output, err := program(t, mount, "curl", "-sS", "--fail", "--config", filepath.Join(mount, "curlrc"), forge.address("/hello"))
	if err != nil || output != greeting {
		t.Errorf("curl = %q, %v", output, err)
	}
}

func TestSkopeoReadsAnImageWithADockerConfigSecret(t *testing.T) {
	at := declare(t, v1alpha1.AccessTokenSpec{
		Secret: &v1alpha1.SecretTemplate{Format: v1alpha1.SecretFormatDockerConfigJSON, Servers: []string{"127.0.0.1:" + forge.port}},
	})
	mount := mountSecret(t, at)
	image := "docker://127.0.0.1:" + forge.port + "/shop:1"
	output, err := program(t, mount, "skopeo", "inspect", "--raw", "--cert-dir", forge.folder,
		"--authfile", filepath.Join(mount, ".dockerconfigjson"), image)
	if err != nil || output != manifest {
		t.Errorf("skopeo inspect = %q, %v", output, err)
	}
	if _, err := program(t, t.TempDir(), "skopeo", "inspect", "--raw", "--cert-dir", forge.folder, image); err == nil {
		t.Error("skopeo without credentials was let in")
	}
}

// curl asks for the greeting with the .netrc in home.
func curl(t *testing.T, home string, letIn bool) {
	t.Helper()
	output, err := program(t, home, "curl", "-sS", "--fail", "--netrc", forge.address("/hello"))
	switch {
	case letIn && (err != nil || output != greeting):
		t.Errorf("curl = %q, %v, want to be let in", output, err)
	case !letIn && (err == nil || !strings.Contains(output, "401")):
		t.Errorf("curl = %q, %v, want 401", output, err)
	}
}

// program runs a consumer with its home folder and nobody else's settings, and
// returns what it wrote.
func program(t *testing.T, home, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	certificate := filepath.Join(forge.folder, "ca.crt")
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "CURL_CA_BUNDLE=" + certificate, "GIT_SSL_CAINFO=" + certificate,
		"GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1", "XDG_RUNTIME_DIR=" + home,
		"GIT_AUTHOR_NAME=e2e", "GIT_AUTHOR_EMAIL=e2e@example.com", "GIT_COMMITTER_NAME=e2e", "GIT_COMMITTER_EMAIL=e2e@example.com",
	}
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	err := cmd.Run()
	return output.String(), err
}

// makeRepository puts a repository with one commit into the forge.
func makeRepository(t *testing.T) {
	t.Helper()
	work := t.TempDir()
	if err := os.WriteFile(filepath.Join(work, "README"), []byte("shop\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"-C", work, "init", "-q"},
		{"-C", work, "add", "README"},
		{"-C", work, "commit", "-q", "-m", "first"},
		{"clone", "-q", "--bare", work, filepath.Join(forge.folder, "shop.git")},
	} {
		if output, err := program(t, t.TempDir(), "git", args...); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, output)
		}
	}
}
