package delivery

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// Template returns spec.secret with its defaults filled in: the AccessToken's
// name, and the format Opaque. It shares nothing with the object.
func Template(at *v1alpha1.AccessToken) v1alpha1.SecretTemplate {
	tpl := v1alpha1.SecretTemplate{}
	if at.Spec.Secret != nil {
		tpl = *at.Spec.Secret.DeepCopy()
	}
	if tpl.Name == "" {
		tpl.Name = at.Name
	}
	if tpl.Format == "" {
		tpl.Format = v1alpha1.SecretFormatOpaque
	}
	return tpl
}

// TemplateHash returns ten hexadecimal digits that depend on what the content
// of the Secret is rendered from: the format (an absent one is Opaque), the set of
// servers, in whatever order, and the data. The Secret's name is no part of it. The
// result for a template never changes from release to release, else every
// token would be issued anew.
func TemplateHash(tpl v1alpha1.SecretTemplate) string {
	format := tpl.Format
	if format == "" {
		format = v1alpha1.SecretFormatOpaque
	}
	parts := append([]string{"accesstoken.dev/template/v1", string(format)}, set(tpl.Servers)...)
	if len(tpl.Data) > 0 {
		parts = append(parts, "") // no server is called that
	}
	for _, key := range slices.Sorted(maps.Keys(tpl.Data)) {
		// With its length a text can hold whatever separates parts.
		text := string(tpl.Data[key])
		parts = append(parts, key, strconv.Itoa(len(text)), text)
	}
	digest := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(digest[:5])
}

// set returns the members in order, each once.
func set(members []string) []string {
	sorted := slices.Clone(members)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}
