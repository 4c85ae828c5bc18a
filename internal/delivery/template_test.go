package delivery_test

import (
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/delivery"
)

func TestTemplateFillsInDefaults(t *testing.T) {
	full := v1alpha1.SecretTemplate{
		Name: "git", Format: v1alpha1.SecretFormatNetrc, Servers: []string{"z.example.com", "a.example.com"},
		Data: data{"a": "b"},
	}
	for _, c := range []struct {
		name   string
		secret *v1alpha1.SecretTemplate
		want   v1alpha1.SecretTemplate
	}{
		{"an absent secret is Opaque and named as the AccessToken", nil, v1alpha1.SecretTemplate{Name: "deploy", Format: v1alpha1.SecretFormatOpaque}},
		{"an empty secret is the same as an absent one", &v1alpha1.SecretTemplate{}, v1alpha1.SecretTemplate{Name: "deploy", Format: v1alpha1.SecretFormatOpaque}},
		{"what is given stays as it is", &full, full},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := &v1alpha1.AccessToken{ObjectMeta: metav1.ObjectMeta{Name: "deploy"}, Spec: v1alpha1.AccessTokenSpec{Secret: c.secret}}
			before := at.DeepCopy()
			got := delivery.Template(at)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("template (-want +got):\n%s", diff)
			}
			for i := range got.Servers {
				got.Servers[i] = "changed.example.com"
			}
			clear(got.Data)
			if diff := cmp.Diff(before, at); diff != "" {
				t.Errorf("the object changed with the template (-before +after):\n%s", diff)
			}
		})
	}
}

func TestTemplateHashIsTheSameInEveryRelease(t *testing.T) {
	for name, c := range map[string]struct {
		template v1alpha1.SecretTemplate
		want     string
	}{
		"Opaque": {v1alpha1.SecretTemplate{Format: v1alpha1.SecretFormatOpaque}, "916f5e6575"},
		"Netrc":  {v1alpha1.SecretTemplate{Format: v1alpha1.SecretFormatNetrc, Servers: []string{"git.example.com"}}, "a07ffe75ad"},
		"data":   {v1alpha1.SecretTemplate{Data: data{"url": "https://git.example.com", "a": "{{ .Token }}"}}, "1d17dc2d83"},
	} {
		if got := delivery.TemplateHash(c.template); got != c.want {
			t.Errorf("%s: the hash is %s, and was %s: every token would be issued anew", name, got, c.want)
		}
	}
}

func TestTemplateHashIgnoresWhatChangesNothing(t *testing.T) {
	netrc := v1alpha1.SecretTemplate{Name: "a", Format: v1alpha1.SecretFormatNetrc, Servers: []string{"a.example.com", "b.example.com"}}
	reordered := v1alpha1.SecretTemplate{Name: "b", Format: v1alpha1.SecretFormatNetrc, Servers: []string{"b.example.com", "a.example.com", "b.example.com"}}
	if delivery.TemplateHash(netrc) != delivery.TemplateHash(reordered) {
		t.Error("name, order or repetition of servers changed the hash")
	}
	if diff := cmp.Diff([]string{"b.example.com", "a.example.com", "b.example.com"}, reordered.Servers); diff != "" {
		t.Errorf("hashing sorted the caller's servers (-want +got):\n%s", diff)
	}
	if delivery.TemplateHash(v1alpha1.SecretTemplate{}) != delivery.TemplateHash(v1alpha1.SecretTemplate{Format: v1alpha1.SecretFormatOpaque}) {
		t.Error("an absent format has another hash than Opaque")
	}
}

type data = map[string]v1alpha1.DataText

func TestTemplateHashTellsTemplatesApart(t *testing.T) {
	seen := map[string]v1alpha1.SecretTemplate{}
	for _, format := range formats {
		for _, template := range []v1alpha1.SecretTemplate{
			{}, {Servers: []string{"a"}}, {Servers: []string{"b"}}, {Servers: []string{"a", "b"}}, {Servers: []string{"ab"}},
			{Servers: []string{"a", "1", "b"}}, {Servers: []string{"a"}, Data: data{"1": "b"}},
			{Data: data{"a": ""}}, {Data: data{"a": "b"}}, {Data: data{"b": "a"}}, {Data: data{"a": "", "b": ""}},
			{Data: data{"a": "\x00b\x000\x00"}}, {Data: data{"a": "", "b": "", "c": ""}}, {Data: data{"a": "{{ .Token }}"}},
		} {
			template.Format = format
			hash := delivery.TemplateHash(template)
			if earlier, found := seen[hash]; found {
				t.Errorf("%v and %v both hash to %s", earlier, template, hash)
			}
			if !regexp.MustCompile(`^[0-9a-f]{10}$`).MatchString(hash) {
				t.Errorf("hash %q is not ten hexadecimal digits", hash)
			}
			seen[hash] = template
		}
	}
}
