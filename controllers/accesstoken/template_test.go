package accesstoken_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// data is spec.secret.data.
type data = map[string]v1alpha1.DataText

// content is what is in the wanted Secret.
func (w *world) content(ctx context.Context, name string) map[string]string {
	GinkgoHelper()
	content := map[string]string{}
	for key, value := range w.secret(ctx, name).Data {
		content[key] = string(value)
	}
	return content
}

// delivered is a token that rotates, and the Secret for it.
func delivered(template v1alpha1.SecretTemplate) v1alpha1.AccessTokenSpec {
	spec := rotating()
	spec.Secret = &template
	return spec
}

var _ = Describe("A Secret with data of a person's choice", func() {
	hostile := data{
		"config.json": `{"user": "{{ .Namespace }}/{{ .Name }}", "token": "{{ .Token }}"}`,
		"range":       "{{ range $i := .Token }}{{ end }}{{ .Secret }}{{.Token}} ${HOME} $(id)",
		"empty":       "",
	}

	It("has it beside the token, with placeholders replaced and all else left as it is", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, delivered(v1alpha1.SecretTemplate{Data: hostile}))
		p := w.start(0)
		p.restWithin(ctx, 0)
		rendered := func() map[string]string {
			text := w.currentToken(ctx, w.key.Name)
			return map[string]string{
				"token":       text,
				"config.json": `{"user": "` + w.namespace + `/deploy", "token": "` + text + `"}`,
				"range":       string(hostile["range"]),
				"empty":       "",
			}
		}
		first := rendered()
		Expect(w.content(ctx, w.key.Name)).To(Equal(first))
		w.consistent(ctx)

		By("rendering it anew with the next token")
		w.clock.SetTime(w.clock.Now().Add(time.Hour))
		p.restWithin(ctx, 0)
		Expect(w.token(ctx).Status.Revision).To(BeEquivalentTo(2))
		Expect(rendered()).NotTo(Equal(first))
		Expect(w.content(ctx, w.key.Name)).To(Equal(rendered()))
		w.consistent(ctx)

		By("doing nothing more")
		p.client.set(nil)
		p.restWithin(ctx, 0)
		Expect(p.client.written()).To(BeEmpty())
	})

	It("gets a new token when a text or a key changes, with the ordinary overlap", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, delivered(v1alpha1.SecretTemplate{Data: data{"a": "1", "b": "2"}}))
		p := w.start(0)
		p.restWithin(ctx, 0)
		for i, change := range []struct {
			to   data
			want map[string]string
		}{
			{data{"a": "1", "b": "two"}, map[string]string{"a": "1", "b": "two"}},
			{data{"a": "1", "c": "3"}, map[string]string{"a": "1", "c": "3"}},
			{nil, map[string]string{}},
		} {
			before := w.currentToken(ctx, w.key.Name)
			w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.Secret.Data = change.to })
			p.restWithin(ctx, 0)
			Expect(w.token(ctx).Status.Revision).To(BeEquivalentTo(i + 2))
			Expect(w.verify(ctx, before)).To(Succeed())
			change.want["token"] = w.currentToken(ctx, w.key.Name)
			Expect(w.content(ctx, w.key.Name)).To(Equal(change.want))
			delivers(ctx, w)
		}
		Expect(w.happened(v1alpha1.ReasonSecretRepaired)).To(BeEmpty())
	})

	It("moves with its name", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, delivered(v1alpha1.SecretTemplate{Data: hostile}))
		p := w.start(0)
		p.restWithin(ctx, 0)
		w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.Secret.Name = "renamed" })
		p.restWithin(ctx, 0)
		Expect(w.content(ctx, "renamed")).To(HaveKeyWithValue("config.json", ContainSubstring(w.currentToken(ctx, "renamed"))))
		err := admin.Get(ctx, w.key, &corev1.Secret{})
		Expect(apierrors.IsNotFound(err)).To(BeTrue(), "the old one: %v", err)
		w.consistent(ctx)
	})

	DescribeTable("is repaired by a new revision when somebody", func(ctx context.Context, meddle func(*corev1.Secret)) {
		w := newWorld(ctx)
		w.declare(ctx, delivered(v1alpha1.SecretTemplate{Data: hostile}))
		p := w.start(0)
		p.restWithin(ctx, 0)
		w.meddle(ctx, meddle)
		p.restWithin(ctx, 0)
		delivers(ctx, w)
		Expect(w.token(ctx).Status.Revision).To(BeEquivalentTo(2))
		Expect(w.content(ctx, w.key.Name)).To(HaveKeyWithValue("range", string(hostile["range"])))
		Expect(w.happened(v1alpha1.ReasonSecretRepaired)).To(HaveLen(1))
	},
		Entry("writes over a text", func(s *corev1.Secret) { s.Data["range"] = []byte("mine") }),
		Entry("removes a key", func(s *corev1.Secret) { delete(s.Data, "range") }),
	)

	It("is left with what others keep in it when the token is taken back", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, delivered(v1alpha1.SecretTemplate{Format: v1alpha1.SecretFormatBasicAuth, Data: hostile}))
		p := w.start(0)
		p.restWithin(ctx, 0)
		w.meddle(ctx, func(s *corev1.Secret) { s.Data["other"] = []byte("theirs") })
		w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.State = v1alpha1.StateSuspended })
		p.restWithin(ctx, 0)
		Expect(w.content(ctx, w.key.Name)).To(Equal(map[string]string{"other": "theirs", "username": ""}))
		p.idle(ctx)

		By("putting all of it back")
		w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.State = v1alpha1.StateActive })
		p.restWithin(ctx, 0)
		Expect(w.content(ctx, w.key.Name)).To(HaveLen(6))
		w.consistent(ctx)
	})

	It("takes a key of somebody else's over when it is declared", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, rotating())
		p := w.start(0)
		p.restWithin(ctx, 0)
		w.meddle(ctx, func(s *corev1.Secret) { s.Data["url"] = []byte("theirs") })
		w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.Secret = &v1alpha1.SecretTemplate{Data: data{"url": "ours"}} })
		p.restWithin(ctx, 0)
		Expect(w.content(ctx, w.key.Name)).To(HaveKeyWithValue("url", "ours"))
		p.client.set(nil)
		p.restWithin(ctx, 0)
		Expect(p.client.written()).To(BeEmpty())
	})
})
