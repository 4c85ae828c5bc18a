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

var _ = Describe("A Secret with labels and annotations of a person's choice", func() {
	chosen := v1alpha1.SecretTemplate{
		Labels:      map[string]v1alpha1.LabelValue{"team": "shop", "example.com/stage": ""},
		Annotations: map[string]v1alpha1.AnnotationValue{"example.com/note": "{{ .Token }} stays, é too"},
	}
	// free are the labels and annotations that are not the operator's.
	free := func(ctx context.Context, w *world) (labels, annotations map[string]string) {
		GinkgoHelper()
		secret := w.secret(ctx, w.key.Name)
		Expect(secret.Labels).To(HaveKeyWithValue(v1alpha1.LabelAccessToken, w.key.Name))
		delete(secret.Labels, v1alpha1.LabelAccessToken)
		for _, own := range []string{v1alpha1.AnnotationRevision, v1alpha1.AnnotationFormat, v1alpha1.AnnotationTokenID, v1alpha1.AnnotationTemplateHash} {
			delete(secret.Annotations, own)
		}
		return secret.Labels, secret.Annotations
	}
	has := func(ctx context.Context, w *world, wantLabels, wantAnnotations map[string]string) {
		GinkgoHelper()
		labels, annotations := free(ctx, w)
		Expect(labels).To(Equal(wantLabels))
		Expect(annotations).To(Equal(wantAnnotations))
	}
	declared := func(ctx context.Context) (*world, *process, string) {
		GinkgoHelper()
		w := newWorld(ctx)
		w.declare(ctx, delivered(chosen))
		p := w.start(0)
		p.restWithin(ctx, 0)
		has(ctx, w, map[string]string{"team": "shop", "example.com/stage": ""}, map[string]string{"example.com/note": "{{ .Token }} stays, é too"})
		return w, p, w.currentToken(ctx, w.key.Name)
	}

	It("changes them with the spec, at once and without a new token, however often", func(ctx context.Context) {
		w, p, text := declared(ctx)
		for i := range 8 {
			value := v1alpha1.LabelValue('a' + rune(i))
			w.edit(ctx, func(at *v1alpha1.AccessToken) {
				at.Spec.Secret.Labels = map[string]v1alpha1.LabelValue{"team": value, "n-" + string(value): value}
				at.Spec.Secret.Annotations = nil
			})
			p.restWithin(ctx, 0)
			has(ctx, w, map[string]string{"team": string(value), "n-" + string(value): string(value)}, map[string]string{})
		}
		delivers(ctx, w)
		Expect(w.currentToken(ctx, w.key.Name)).To(Equal(text))
		Expect(w.token(ctx).Status.Revision).To(BeEquivalentTo(1))
		Expect(w.happened(v1alpha1.ReasonSecretRepaired)).To(BeEmpty())

		By("keeping and dropping them with the next token")
		w.clock.SetTime(w.clock.Now().Add(time.Hour))
		p.restWithin(ctx, 0)
		Expect(w.token(ctx).Status.Revision).To(BeEquivalentTo(2))
		has(ctx, w, map[string]string{"team": "h", "n-h": "h"}, map[string]string{})
		w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.Secret.Labels = nil })
		w.clock.SetTime(w.clock.Now().Add(time.Hour))
		p.restWithin(ctx, 0)
		Expect(w.token(ctx).Status.Revision).To(BeEquivalentTo(3))
		has(ctx, w, map[string]string{}, map[string]string{})
		w.clock.SetTime(w.clock.Now().Add(time.Minute))
		p.client.set(nil)
		p.restWithin(ctx, 0)
		Expect(p.client.written()).To(BeEmpty())
	})

	It("puts them back when somebody changes them, ever more slowly, and leaves what others add", func(ctx context.Context) {
		w, p, text := declared(ctx)
		w.meddle(ctx, func(s *corev1.Secret) {
			s.Labels["team"], s.Labels["theirs"] = "other", "x"
			delete(s.Annotations, "example.com/note")
		})
		want := func() {
			GinkgoHelper()
			has(ctx, w, map[string]string{"team": "shop", "example.com/stage": "", "theirs": "x"}, map[string]string{"example.com/note": "{{ .Token }} stays, é too"})
		}
		p.restWithin(ctx, 0)
		want()
		Expect(w.happened(v1alpha1.ReasonSecretRepaired)).To(HaveLen(1))
		w.meddle(ctx, func(s *corev1.Secret) { s.Labels["team"] = "other" })
		result, err := p.reconcile(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(result.RequeueAfter).To(Equal(time.Second))
		Expect(w.secret(ctx, w.key.Name).Labels).To(HaveKeyWithValue("team", "other"))
		w.clock.SetTime(w.clock.Now().Add(time.Second))
		p.restWithin(ctx, 0)
		want()
		Expect(w.currentToken(ctx, w.key.Name)).To(Equal(text))
	})

	It("takes them off with the token where others keep something in it", func(ctx context.Context) {
		w, p, _ := declared(ctx)
		w.meddle(ctx, func(s *corev1.Secret) { s.Labels["theirs"] = "x" })
		w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.State = v1alpha1.StateSuspended })
		p.restWithin(ctx, 0)
		has(ctx, w, map[string]string{"theirs": "x"}, map[string]string{})
		p.idle(ctx)
		w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.State = v1alpha1.StateActive })
		p.restWithin(ctx, 0)
		has(ctx, w, map[string]string{"team": "shop", "example.com/stage": "", "theirs": "x"}, map[string]string{"example.com/note": "{{ .Token }} stays, é too"})
	})

	It("takes them off a Secret whose token expired, and does not put them back", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "1h", Secret: &chosen})
		p := w.start(0)
		p.restWithin(ctx, 0)
		w.meddle(ctx, func(s *corev1.Secret) { s.Labels["theirs"] = "x" })
		w.clock.SetTime(w.clock.Now().Add(time.Hour))
		p.restWithin(ctx, 0)
		has(ctx, w, map[string]string{"theirs": "x"}, map[string]string{})
		p.idle(ctx)
	})

	It("is watched by the operator's own label whatever others are", func(ctx context.Context) {
		w, p, _ := declared(ctx)
		Expect(w.secret(ctx, w.key.Name).Labels).To(HaveLen(3))
		w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.Secret = nil })
		p.restWithin(ctx, 0)
		has(ctx, w, map[string]string{}, map[string]string{})
		delivers(ctx, w)
	})
})
