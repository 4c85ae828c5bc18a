package delivery

import (
	"slices"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// Labels returns what labels a Secret of this template has for the AccessToken of
// that name. The operator's own comes before any of the template.
func Labels(tpl v1alpha1.SecretTemplate, name string) map[string]string {
	labels := texts(tpl.Labels)
	labels[v1alpha1.LabelAccessToken] = name
	return labels
}

// Annotations returns what annotations a Secret of this template has besides those
// that tell of its token.
func Annotations(tpl v1alpha1.SecretTemplate) map[string]string { return texts(tpl.Annotations) }

func texts[T ~string](entries map[string]T) map[string]string {
	copied := make(map[string]string, len(entries))
	for key, value := range entries {
		copied[key] = string(value)
	}
	return copied
}

// Changes returns what makes labels or annotations be as wanted: the values of those
// that are not, and nil for those of own that are not wanted. It is empty when
// nothing is to change.
func Changes(current, wanted map[string]string, own []string) map[string]*string {
	changes := map[string]*string{}
	for key, value := range wanted {
		if found, ok := current[key]; !ok || found != value {
			changes[key] = &value
		}
	}
	for _, key := range own {
		if _, keep := wanted[key]; !keep {
			changes[key] = nil
		}
	}
	return changes
}

// Free returns the keys that are not the operator's own.
func Free(keys []string) []string {
	return slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return slices.Contains(ownKeys, key) })
}

// ownKeys are the labels and annotations that tell of the token.
var ownKeys = []string{
	v1alpha1.LabelAccessToken, v1alpha1.AnnotationRevision, v1alpha1.AnnotationTokenID, v1alpha1.AnnotationFormat, v1alpha1.AnnotationTemplateHash,
}
