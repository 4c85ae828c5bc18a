package delivery_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/delivery"
)

// mostText is the bound of the schema for all texts together, in characters.
const mostText = 32768

const (
	tokenID   = "abcdefghijklmnop"
	plaintext = "kat_abcdefghijklmnop_0000000000000000000000000000000000000000000000000"
)

var delivered = delivery.Token{ID: tokenID, Plaintext: plaintext, Name: "deploy", Namespace: "ci"}

var formats = []v1alpha1.SecretFormat{
	v1alpha1.SecretFormatOpaque, v1alpha1.SecretFormatBasicAuth,
	v1alpha1.SecretFormatDockerConfigJSON, v1alpha1.SecretFormatNetrc, v1alpha1.SecretFormatKubeconfig,
}

func TestContentOfEachFormat(t *testing.T) {
	servers := []string{"registry.example.com:5000", "git.example.com", "git.example.com"}
	auth := base64.StdEncoding.EncodeToString([]byte(tokenID + ":" + plaintext))
	entry := fmt.Sprintf(`{"username":%q,"password":%q,"auth":%q}`, tokenID, plaintext, auth)
	for _, c := range []struct {
		name   string
		format v1alpha1.SecretFormat
		typ    corev1.SecretType
		want   map[string]string
		empty  map[string]string
	}{
		{"an absent format is Opaque", "", "Opaque", map[string]string{"token": plaintext}, nil},
		{"Opaque has the token alone", v1alpha1.SecretFormatOpaque, "Opaque", map[string]string{"token": plaintext}, nil},
		{
			"BasicAuth has the token ID as user name", v1alpha1.SecretFormatBasicAuth, "kubernetes.io/basic-auth",
			map[string]string{"username": tokenID, "password": plaintext},
			map[string]string{"username": ""},
		},
		{
			"DockerConfigJson has an entry for each server, with its port", v1alpha1.SecretFormatDockerConfigJSON, "kubernetes.io/dockerconfigjson",
			map[string]string{".dockerconfigjson": `{"auths":{"git.example.com":` + entry + `,"registry.example.com:5000":` + entry + `}}`},
			map[string]string{".dockerconfigjson": `{"auths":{}}`},
		},
		{
			"Netrc has a line for each host, without its port", v1alpha1.SecretFormatNetrc, "Opaque",
			map[string]string{".netrc": "machine git.example.com login " + tokenID + " password " + plaintext + "\n" +
				"machine registry.example.com login " + tokenID + " password " + plaintext + "\n"},
			nil,
		},
		{"an unknown format has nothing", "Envelope", "Opaque", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := delivery.SecretType(c.format); got != c.typ {
				t.Errorf("type is %s, want %s", got, c.typ)
			}
			data := delivery.Data(v1alpha1.SecretTemplate{Format: c.format, Servers: servers}, delivered, delivery.Cluster{})
			if diff := cmp.Diff(c.want, texts(data)); diff != "" {
				t.Errorf("data (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.empty, texts(delivery.EmptyData(c.format))); diff != "" {
				t.Errorf("empty data (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEmptiedKeysGoOrAreEmpty(t *testing.T) {
	for _, format := range formats {
		want := delivery.EmptyData(format)
		emptied := delivery.Emptied(delivery.Keys(format))
		for _, key := range delivery.Keys(format) {
			value, there := emptied[key]
			if !there || !bytes.Equal(value, want[key]) || (value == nil) != (want[key] == nil) {
				t.Errorf("%s of %s becomes %q, want %q", key, format, value, want[key])
			}
		}
	}
	if diff := cmp.Diff(map[string][]byte{"other": nil}, delivery.Emptied([]string{"other"})); diff != "" {
		t.Errorf("a key of no format (-want +got):\n%s", diff)
	}
}

func texts(data map[string][]byte) map[string]string {
	if data == nil {
		return nil
	}
	out := map[string]string{}
	for key, value := range data {
		out[key] = string(value)
	}
	return out
}

func TestKeysAreThoseOfTheData(t *testing.T) {
	for _, format := range append(formats, "", "Envelope") {
		data := delivery.Data(v1alpha1.SecretTemplate{Format: format, Servers: []string{"git.example.com"}}, delivered, delivery.Cluster{})
		keys := slices.Sorted(maps.Keys(data))
		if diff := cmp.Diff(keys, slices.Sorted(slices.Values(delivery.Keys(format)))); diff != "" {
			t.Errorf("keys of %q (-data +keys):\n%s", format, diff)
		}
		for key := range delivery.EmptyData(format) {
			if !slices.Contains(keys, key) {
				t.Errorf("the empty form of %q has the key %s, which is not one of %v", format, key, keys)
			}
		}
	}
}

func TestTextsOfDataAreRendered(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a text without a placeholder stays", "https://git.example.com", "https://git.example.com"},
		{"an empty text stays", "", ""},
		{"each placeholder is replaced, wherever it is", "{{ .Namespace }}/{{ .Name }}: {{ .Token }}{{ .Token }}", "ci/deploy: " + plaintext + plaintext},
		{"other white space is no placeholder", "{{.Token}} {{ .Token}} {{  .Token }} {{\t.Token }}", "{{.Token}} {{ .Token}} {{  .Token }} {{\t.Token }}"},
		{"other names are no placeholders", "{{ .token }} {{ .Secret }} {{ .Token.ID }} {{ Token }}", "{{ .token }} {{ .Secret }} {{ .Token.ID }} {{ Token }}"},
		{"what a template engine would run stays", "{{ range $i := .Token }}{{ end }} ${HOME} $(id) `id` %s", "{{ range $i := .Token }}{{ end }} ${HOME} $(id) `id` %s"},
		{"half a placeholder stays", "{{ .Token } }} {{ .Tok", "{{ .Token } }} {{ .Tok"},
		{"braces around a placeholder stay", "{{{ .Token }}}", "{" + plaintext + "}"},
		{"what replacing makes is not replaced again", "{{ .{{ .Name }} }}", "{{ .deploy }}"},
		{"bytes that are no text stay", "\x00\xff{{ .Name }}", "\x00\xffdeploy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			template := v1alpha1.SecretTemplate{Data: map[string]v1alpha1.DataText{"text": v1alpha1.DataText(c.text)}}
			want := map[string]string{"token": plaintext, "text": c.want}
			if diff := cmp.Diff(want, texts(delivery.Data(template, delivered, delivery.Cluster{}))); diff != "" {
				t.Errorf("data (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPlaceholderInANameIsNotReplaced(t *testing.T) {
	hostile := delivery.Token{ID: tokenID, Plaintext: plaintext, Name: "{{ .Token }}", Namespace: "{{ .Name }}"}
	template := v1alpha1.SecretTemplate{Data: map[string]v1alpha1.DataText{"text": "{{ .Name }}{{ .Namespace }}"}}
	if got := string(delivery.Data(template, hostile, delivery.Cluster{})["text"]); got != "{{ .Token }}{{ .Name }}" {
		t.Errorf("the text is %q", got)
	}
}

func TestKeysOfAFormatAreItsOwn(t *testing.T) {
	for _, format := range formats {
		template := v1alpha1.SecretTemplate{Format: format, Servers: []string{"git.example.com"}}
		want := texts(delivery.Data(template, delivered, delivery.Cluster{}))
		template.Data = map[string]v1alpha1.DataText{"other": "text"}
		for _, key := range delivery.Keys(format) {
			template.Data[key] = "theirs"
		}
		want["other"] = "text"
		if diff := cmp.Diff(want, texts(delivery.Data(template, delivered, delivery.Cluster{}))); diff != "" {
			t.Errorf("data of %s (-want +got):\n%s", format, diff)
		}
	}
}

func TestAllKeysAreThoseOfTheFormatAndTheData(t *testing.T) {
	extra := map[string]v1alpha1.DataText{"url": "", "config.json": ""}
	for format, want := range map[v1alpha1.SecretFormat][]string{
		v1alpha1.SecretFormatBasicAuth: {"config.json", "password", "url", "username"},
		"":                             {"config.json", "token", "url"},
		"Envelope":                     nil,
	} {
		if diff := cmp.Diff(want, slices.Sorted(slices.Values(delivery.AllKeys(v1alpha1.SecretTemplate{Format: format, Data: extra})))); diff != "" {
			t.Errorf("keys of %q (-want +got):\n%s", format, diff)
		}
	}
	if got := delivery.Data(v1alpha1.SecretTemplate{Format: "Envelope", Data: extra}, delivered, delivery.Cluster{}); got != nil {
		t.Errorf("a format that is unknown has %q", got)
	}
}

// TestNoTextGrowsPastASecret renders as much text as there may be, all of it the
// placeholder that grows most.
func TestNoTextGrowsPastASecret(t *testing.T) {
	longest := delivery.Token{Plaintext: plaintext, Name: strings.Repeat("n", 63), Namespace: strings.Repeat("n", 63)}
	for _, placeholder := range []string{"{{ .Token }}", "{{ .Name }}", "{{ .Namespace }}", "\U0010ffff"} {
		text := strings.Repeat(placeholder, mostText/len([]rune(placeholder)))
		data := delivery.Data(v1alpha1.SecretTemplate{Data: map[string]v1alpha1.DataText{"text": v1alpha1.DataText(text)}}, longest, delivery.Cluster{})
		if size := len(data["text"]); size > corev1.MaxSecretSize/2 {
			t.Errorf("%s makes %d bytes, and a Secret takes %d", placeholder, size, corev1.MaxSecretSize)
		}
	}
}

// TestDockerConfigReadsAsKubernetesReadsIt decodes an entry as the kubelet and
// docker do, both of which go by auth where it is there.
func TestDockerConfigReadsAsKubernetesReadsIt(t *testing.T) {
	template := v1alpha1.SecretTemplate{Format: v1alpha1.SecretFormatDockerConfigJSON, Servers: []string{"registry.example.com:5000"}}
	data := delivery.Data(template, delivered, delivery.Cluster{})[corev1.DockerConfigJsonKey]
	var config struct {
		Auths map[string]struct{ Username, Password, Email, Auth string }
	}
	if err := json.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	entry := config.Auths["registry.example.com:5000"]
	decoded, err := base64.StdEncoding.DecodeString(entry.Auth)
	if err != nil {
		t.Fatal(err)
	}
	user, password, _ := strings.Cut(string(decoded), ":")
	if user != tokenID || password != plaintext || entry.Username != user || entry.Password != password {
		t.Errorf("user name and password read as %q and %q, and by auth as %q and %q", entry.Username, entry.Password, user, password)
	}
}

// TestGitSignsInWithTheNetrc runs git against a server on a port of its own: an
// entry that named the port would not be found.
func TestGitSignsInWithTheNetrc(t *testing.T) {
	signedIn := make(chan [2]string, 16)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); ok {
			signedIn <- [2]string{user, password}
			http.NotFound(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	template := v1alpha1.SecretTemplate{Format: v1alpha1.SecretFormatNetrc, Servers: []string{"a.example.com", host, "z.example.com:8443"}}
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".netrc"), delivery.Data(template, delivered, delivery.Cluster{})[delivery.KeyNetrc], 0o600); err != nil {
		t.Fatal(err)
	}

	git := exec.CommandContext(t.Context(), "git", "ls-remote", server.URL+"/shop.git")
	git.Dir = home
	git.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "NO_PROXY=*"}
	output, err := git.CombinedOutput()
	if err == nil {
		t.Error("git found a repository where there is none")
	}
	select {
	case got := <-signedIn:
		if got != [2]string{tokenID, plaintext} {
			t.Errorf("git signed in as %q", got)
		}
	default:
		t.Errorf("git did not sign in: %s", output)
	}
}
