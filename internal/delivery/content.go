package delivery

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

const (
	// KeyToken holds the token in the format Opaque.
	KeyToken = "token"
	// KeyNetrc holds the file in the format Netrc.
	KeyNetrc = ".netrc"
)

// SecretType returns the type of a Secret in a format. The API server lets
// nobody change it while the Secret lives.
func SecretType(format v1alpha1.SecretFormat) corev1.SecretType {
	switch format {
	case v1alpha1.SecretFormatBasicAuth:
		return corev1.SecretTypeBasicAuth
	case v1alpha1.SecretFormatDockerConfigJSON:
		return corev1.SecretTypeDockerConfigJson
	case v1alpha1.SecretFormatOpaque, v1alpha1.SecretFormatNetrc, v1alpha1.SecretFormatKubeconfig:
	}
	return corev1.SecretTypeOpaque
}

// Keys returns the keys that hold a token in a format; those of Opaque for an
// absent one, and none for one that is unknown.
func Keys(format v1alpha1.SecretFormat) []string {
	switch format {
	case v1alpha1.SecretFormatOpaque, "":
		return []string{KeyToken}
	case v1alpha1.SecretFormatBasicAuth:
		return []string{corev1.BasicAuthUsernameKey, corev1.BasicAuthPasswordKey}
	case v1alpha1.SecretFormatDockerConfigJSON:
		return []string{corev1.DockerConfigJsonKey}
	case v1alpha1.SecretFormatNetrc:
		return []string{KeyNetrc}
	case v1alpha1.SecretFormatKubeconfig:
		return []string{KeyKubeconfig}
	}
	return nil
}

// AllKeys returns the keys of a Secret of this template: those of its format, and
// those of its data. There are none for a format that is unknown.
func AllKeys(tpl v1alpha1.SecretTemplate) []string {
	keys := Keys(tpl.Format)
	if keys == nil {
		return nil
	}
	return slices.AppendSeq(keys, maps.Keys(tpl.Data))
}

// Token is what is delivered: its ID, which is the user name where there is one,
// its plaintext, and the name and namespace of its AccessToken.
type Token struct {
	ID        string
	Plaintext string
	Name      string
	Namespace string
}

// Data returns what a Secret of this template holds for a token: the same bytes
// for the same arguments. The keys of the format come before those of its data.
// The cluster matters to a Kubeconfig only. It is nil for a format that is unknown.
func Data(tpl v1alpha1.SecretTemplate, token Token, cluster Cluster) map[string][]byte {
	formatted := formatData(tpl, token, cluster)
	if formatted == nil || len(tpl.Data) == 0 {
		return formatted
	}
	data := make(map[string][]byte, len(formatted)+len(tpl.Data))
	placeholders := strings.NewReplacer(
		"{{ .Token }}", token.Plaintext, "{{ .Name }}", token.Name, "{{ .Namespace }}", token.Namespace)
	for key, text := range tpl.Data {
		data[key] = []byte(placeholders.Replace(string(text)))
	}
	maps.Copy(data, formatted)
	return data
}

func formatData(tpl v1alpha1.SecretTemplate, token Token, cluster Cluster) map[string][]byte {
	switch tpl.Format {
	case v1alpha1.SecretFormatOpaque, "":
		return map[string][]byte{KeyToken: []byte(token.Plaintext)}
	case v1alpha1.SecretFormatBasicAuth:
		return map[string][]byte{
			corev1.BasicAuthUsernameKey: []byte(token.ID),
			corev1.BasicAuthPasswordKey: []byte(token.Plaintext),
		}
	case v1alpha1.SecretFormatDockerConfigJSON:
		return map[string][]byte{corev1.DockerConfigJsonKey: dockerConfig(tpl.Servers, token.ID, token.Plaintext)}
	case v1alpha1.SecretFormatNetrc:
		return map[string][]byte{KeyNetrc: netrc(tpl.Servers, token.ID, token.Plaintext)}
	case v1alpha1.SecretFormatKubeconfig:
		return map[string][]byte{KeyKubeconfig: kubeconfig(tpl.Servers, token, cluster)}
	}
	return nil
}

// EmptyData returns what must stay in a Secret of a format when the token is
// taken out of it, because the API server refuses one of that type without:
// {"auths":{}} for DockerConfigJson, an empty user name for BasicAuth (of which
// it demands user name or password, be it empty), nothing for the others.
func EmptyData(format v1alpha1.SecretFormat) map[string][]byte {
	switch format {
	case v1alpha1.SecretFormatDockerConfigJSON:
		return map[string][]byte{corev1.DockerConfigJsonKey: dockerConfig(nil, "", "")}
	case v1alpha1.SecretFormatBasicAuth:
		return map[string][]byte{corev1.BasicAuthUsernameKey: {}}
	case v1alpha1.SecretFormatOpaque, v1alpha1.SecretFormatNetrc, v1alpha1.SecretFormatKubeconfig:
	}
	return nil
}

// Emptied returns what becomes of keys that hold a token when it is taken out:
// nil for one that goes, or its empty form where the API server demands the key.
func Emptied(keys []string) map[string][]byte {
	data := map[string][]byte{}
	for _, key := range keys {
		data[key] = nil
	}
	for _, format := range []v1alpha1.SecretFormat{v1alpha1.SecretFormatDockerConfigJSON, v1alpha1.SecretFormatBasicAuth} {
		for key, empty := range EmptyData(format) {
			if _, held := data[key]; held {
				data[key] = empty
			}
		}
	}
	return data
}

type dockerAuth struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Auth     string `json:"auth"`
}

func dockerConfig(servers []string, tokenID, plaintext string) []byte {
	auth := dockerAuth{
		Username: tokenID, Password: plaintext,
		Auth: base64.StdEncoding.EncodeToString([]byte(tokenID + ":" + plaintext)),
	}
	auths := make(map[string]dockerAuth, len(servers))
	for _, server := range servers {
		auths[server] = auth
	}
	config, err := json.Marshal(map[string]any{"auths": auths})
	if err != nil {
		panic(err) // strings in a map always encode
	}
	return config
}

// netrc writes a line for each host. Both curl and git, which reads the file
// through curl, look a host up by its name alone, whatever the port of the URL,
// and would never find an entry that names one.
func netrc(servers []string, tokenID, plaintext string) []byte {
	var hosts []string
	for _, server := range servers {
		host, _, _ := strings.Cut(server, ":")
		hosts = append(hosts, host)
	}
	var file strings.Builder
	for _, host := range set(hosts) {
		fmt.Fprintf(&file, "machine %s login %s password %s\n", host, tokenID, plaintext)
	}
	return []byte(file.String())
}
