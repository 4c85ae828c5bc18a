package accesstoken_test

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// secret reads the wanted Secret, content and all.
func (w *world) secret(ctx context.Context, name string) *corev1.Secret {
	GinkgoHelper()
	secret := &corev1.Secret{}
	Expect(admin.Get(ctx, client.ObjectKey{Namespace: w.namespace, Name: name}, secret)).To(Succeed())
	return secret
}

// meddle changes the Secret as somebody else, and waits until the replicas see
// it.
func (w *world) meddle(ctx context.Context, change func(*corev1.Secret)) {
	GinkgoHelper()
	secret := w.secret(ctx, w.key.Name)
	change(secret)
	Expect(admin.Update(ctx, secret, client.FieldOwner("somebody-else"))).To(Succeed())
	w.settled(ctx)
}

var _ = Describe("The Secret", func() {
	DescribeTable("holds the token in the format that was asked for",
		func(ctx context.Context, template *v1alpha1.SecretTemplate, kind corev1.SecretType, read func(map[string][]byte) (id, text string), emptied map[string]string) {
			w := newWorld(ctx)
			w.declare(ctx, v1alpha1.AccessTokenSpec{Secret: template})
			p := w.start(0)
			p.restWithin(ctx, 0)
			secret := w.secret(ctx, w.key.Name)
			Expect(secret.Type).To(Equal(kind))
			id, text := read(secret.Data)
			Expect(id).To(Equal(w.token(ctx).Status.TokenID))
			Expect(w.verify(ctx, text)).To(Succeed())

			By("taking the token back while somebody else keeps a key in it")
			w.meddle(ctx, func(s *corev1.Secret) { s.Data["other"] = []byte("theirs") })
			w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.State = v1alpha1.StateRevoked })
			p.restWithin(ctx, 0)
			left := map[string]string{}
			for key, value := range w.secret(ctx, w.key.Name).Data {
				left[key] = string(value)
			}
			emptied["other"] = "theirs"
			Expect(left).To(Equal(emptied))

			By("putting the next one beside it")
			w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.State = v1alpha1.StateActive })
			p.rest(ctx)
			secret = w.secret(ctx, w.key.Name)
			_, text = read(secret.Data)
			Expect(w.verify(ctx, text)).To(Succeed())
			Expect(secret.Data).To(HaveKeyWithValue("other", []byte("theirs")))
		},
		Entry("Opaque by default", nil, corev1.SecretTypeOpaque, func(data map[string][]byte) (string, string) {
			return idOf(data["token"]), string(data["token"])
		}, map[string]string{}),
		Entry("BasicAuth", &v1alpha1.SecretTemplate{Format: v1alpha1.SecretFormatBasicAuth}, corev1.SecretTypeBasicAuth, func(data map[string][]byte) (string, string) {
			return string(data["username"]), string(data["password"])
		}, map[string]string{"username": ""}),
		Entry("DockerConfigJson", &v1alpha1.SecretTemplate{Format: v1alpha1.SecretFormatDockerConfigJSON, Servers: []string{"registry.example.com"}},
			corev1.SecretTypeDockerConfigJson, func(data map[string][]byte) (string, string) {
				config := struct {
					Auths map[string]struct{ Username, Password string }
				}{}
				Expect(json.Unmarshal(data[corev1.DockerConfigJsonKey], &config)).To(Succeed())
				return config.Auths["registry.example.com"].Username, config.Auths["registry.example.com"].Password
			}, map[string]string{corev1.DockerConfigJsonKey: `{"auths":{}}`}),
		Entry("Netrc", &v1alpha1.SecretTemplate{Format: v1alpha1.SecretFormatNetrc, Servers: []string{"git.example.com"}}, corev1.SecretTypeOpaque,
			func(data map[string][]byte) (string, string) {
				words := strings.Fields(string(data[".netrc"]))
				Expect(words).To(HaveLen(6))
				Expect(words[1]).To(Equal("git.example.com"))
				return words[3], words[5]
			}, map[string]string{}),
		Entry("Kubeconfig", &v1alpha1.SecretTemplate{Format: v1alpha1.SecretFormatKubeconfig, Servers: []string{"kubernetes.default.svc"}}, corev1.SecretTypeOpaque,
			func(data map[string][]byte) (string, string) {
				config, err := clientcmd.RESTConfigFromKubeConfig(data["kubeconfig"])
				Expect(err).NotTo(HaveOccurred())
				Expect(config.Host).To(Equal("https://kubernetes.default.svc"))
				return idOf([]byte(config.BearerToken)), config.BearerToken
			}, map[string]string{}),
	)

	It("keeps other people's keys, labels and annotations through a rotation", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, rotating())
		p := w.start(0)
		p.restWithin(ctx, 0)
		w.meddle(ctx, func(s *corev1.Secret) {
			s.Data["other"] = []byte("theirs")
			s.Labels["team"], s.Annotations = "shop", with(s.Annotations, "note", "keep")
		})
		w.clock.SetTime(w.clock.Now().Add(time.Hour))
		p.restWithin(ctx, 0)
		secret := w.secret(ctx, w.key.Name)
		Expect(w.token(ctx).Status.Revision).To(BeEquivalentTo(2))
		Expect(secret.Data).To(HaveKeyWithValue("other", []byte("theirs")))
		Expect(secret.Labels).To(HaveKeyWithValue("team", "shop"))
		Expect(secret.Annotations).To(HaveKeyWithValue("note", "keep"))
		Expect(w.verify(ctx, w.currentToken(ctx, w.key.Name))).To(Succeed())
	})

	It("of somebody else is left alone, named, and taken when it is gone", func(ctx context.Context) {
		w := newWorld(ctx)
		theirs := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: w.key.Name, Namespace: w.namespace}, StringData: map[string]string{"token": "theirs"}}
		Expect(admin.Create(ctx, theirs, client.FieldOwner("their-tool"))).To(Succeed())
		w.declare(ctx, rotating())
		p := w.start(0)
		result, err := p.reconcile(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(result.RequeueAfter).To(Equal(10 * time.Second))
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "Secret deploy", "their-tool", "spec.secret.name")
		w.shows(ctx, v1alpha1.ConditionValid, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict)
		Expect(w.secret(ctx, w.key.Name).Data).To(HaveKeyWithValue("token", []byte("theirs")))
		Expect(w.happened(v1alpha1.ReasonSecretConflict)).To(HaveLen(1))

		By("looking again and again without making records")
		records := len(w.records(ctx))
		for range 8 {
			w.clock.SetTime(w.clock.Now().Add(result.RequeueAfter))
			result, err = p.reconcile(ctx)
			Expect(err).NotTo(HaveOccurred())
		}
		Expect(result.RequeueAfter).To(Equal(5 * time.Minute))
		Expect(w.records(ctx)).To(HaveLen(records))
		Expect(w.happened(v1alpha1.ReasonSecretConflict)).To(BeEmpty())

		By("looking without making records after a restart too")
		p = w.start(0)
		_, err = p.reconcile(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(p.client.written()).To(BeEmpty())

		By("going on when the Secret is gone")
		Expect(admin.Delete(ctx, theirs)).To(Succeed())
		w.clock.SetTime(w.clock.Now().Add(result.RequeueAfter))
		p.rest(ctx)
		delivers(ctx, w)
		w.consistent(ctx)
	})

	It("of a predecessor of the same name is replaced", func(ctx context.Context) {
		w := newWorld(ctx)
		old := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
			Name: w.key.Name, Namespace: w.namespace, Labels: map[string]string{v1alpha1.LabelAccessToken: w.key.Name},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "AccessToken", Name: w.key.Name,
				UID: "00000000-dead-0000-0000-000000000000", Controller: new(true), BlockOwnerDeletion: new(false)}},
			Finalizers: []string{"example.com/held-up"}, // keeps garbage collection from being faster
		}}
		Expect(admin.Create(ctx, old)).To(Succeed())
		w.declare(ctx, rotating())
		w.settled(ctx)
		p := w.start(0)
		_, _ = p.reconcile(ctx)
		Expect(admin.Patch(ctx, old, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))).To(Succeed())
		w.settled(ctx)
		w.clock.SetTime(w.clock.Now().Add(time.Minute))
		p.rest(ctx)
		delivers(ctx, w)
		Expect(w.secret(ctx, w.key.Name).UID).NotTo(Equal(old.UID))
		w.consistent(ctx)
	})

	DescribeTable("is repaired by a new revision with the ordinary overlap when somebody",
		func(ctx context.Context, meddle func(context.Context, *world)) {
			w := newWorld(ctx)
			w.declare(ctx, rotating())
			p := w.start(0)
			p.restWithin(ctx, 0)
			first := w.currentToken(ctx, w.key.Name)
			meddle(ctx, w)
			w.settled(ctx)
			p.restWithin(ctx, 0)
			delivers(ctx, w)
			Expect(w.token(ctx).Status.Revision).To(BeEquivalentTo(2))
			Expect(w.verify(ctx, first)).To(Succeed(), "the overlap keeps the one before")
			Expect(w.happened(v1alpha1.ReasonSecretRepaired)).To(HaveLen(1))
			w.clock.SetTime(w.clock.Now().Add(10 * time.Minute))
			Expect(w.verify(ctx, first)).NotTo(Succeed())
		},
		Entry("writes over the token", func(ctx context.Context, w *world) {
			w.meddle(ctx, func(s *corev1.Secret) { s.Data["token"] = []byte("mine") })
		}),
		Entry("removes the token", func(ctx context.Context, w *world) {
			w.meddle(ctx, func(s *corev1.Secret) { delete(s.Data, "token") })
		}),
		Entry("changes what it was rendered from", func(ctx context.Context, w *world) {
			w.meddle(ctx, func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationTemplateHash] = "other" })
		}),
		Entry("deletes it", func(ctx context.Context, w *world) {
			Expect(admin.Delete(ctx, w.secret(ctx, w.key.Name))).To(Succeed())
		}),
	)

	DescribeTable("gets its label back, and keeps its token, when somebody",
		func(ctx context.Context, meddle func(*corev1.Secret)) {
			w := newWorld(ctx)
			w.declare(ctx, rotating())
			p := w.start(0)
			p.restWithin(ctx, 0)
			first := w.currentToken(ctx, w.key.Name)
			w.clock.SetTime(w.clock.Now().Add(time.Hour))
			p.restWithin(ctx, 0)
			second := w.currentToken(ctx, w.key.Name)
			for _, wait := range []time.Duration{0, time.Second, 2 * time.Second} {
				w.meddleUnseen(ctx, meddle)
				w.gone(ctx)
				_, err := p.reconcile(ctx)
				Expect(err).NotTo(HaveOccurred())
				w.clock.SetTime(w.clock.Now().Add(wait))
				p.restWithin(ctx, 0)
				Expect(w.secret(ctx, w.key.Name).Labels).To(HaveKeyWithValue(v1alpha1.LabelAccessToken, w.key.Name))
			}
			delivers(ctx, w)
			Expect(w.currentToken(ctx, w.key.Name)).To(Equal(second))
			Expect(w.verify(ctx, first)).To(Succeed(), "its overlap goes on")
			repaired := w.happened(v1alpha1.ReasonSecretRepaired)
			Expect(repaired).To(HaveLen(3))
			Expect(repaired[0]).To(ContainSubstring("label"))
		},
		Entry("takes it off", func(s *corev1.Secret) { delete(s.Labels, v1alpha1.LabelAccessToken) }),
		Entry("changes it", func(s *corev1.Secret) { s.Labels[v1alpha1.LabelAccessToken] = "theirs" }),
	)

	It("that is taken from the AccessToken by its owner reference is left alone, with a token that is valid", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, rotating())
		p := w.start(0)
		p.restWithin(ctx, 0)
		text := w.currentToken(ctx, w.key.Name)
		var owners []metav1.OwnerReference
		w.meddle(ctx, func(s *corev1.Secret) { owners, s.OwnerReferences = s.OwnerReferences, nil })
		_, err := p.reconcile(ctx)
		Expect(err).NotTo(HaveOccurred())
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "Secret deploy", "metadata.ownerReferences", "put the owner reference back")
		w.shows(ctx, v1alpha1.ConditionValid, metav1.ConditionTrue, v1alpha1.ReasonIssued, "Secret deploy")
		Expect(w.verify(ctx, text)).To(Succeed())

		By("saying so no longer when the reference is back")
		w.meddle(ctx, func(s *corev1.Secret) { s.OwnerReferences = owners })
		p.restWithin(ctx, 0)
		delivers(ctx, w)
		Expect(w.currentToken(ctx, w.key.Name)).To(Equal(text))
		Expect(w.records(ctx)).To(HaveLen(1))
	})

	It("that somebody keeps writing over is contested: repaired ever more slowly, and said so", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{})
		p := w.start(0)
		p.restWithin(ctx, 0)
		var waits []time.Duration
		for range 6 {
			w.meddle(ctx, func(s *corev1.Secret) { s.Data["token"] = []byte("mine") })
			result, err := p.reconcile(ctx)
			Expect(err).NotTo(HaveOccurred())
			before := w.clock.Now()
			for string(w.secret(ctx, w.key.Name).Data["token"]) == "mine" {
				w.clock.SetTime(w.clock.Now().Add(result.RequeueAfter))
				result, err = p.reconcile(ctx)
				Expect(err).NotTo(HaveOccurred())
			}
			waits = append(waits, w.clock.Now().Sub(before))
		}
		Expect(waits).To(Equal([]time.Duration{0, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second}))
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretContested, "Secret deploy", "somebody-else")
		w.shows(ctx, v1alpha1.ConditionValid, metav1.ConditionTrue, v1alpha1.ReasonIssued)
		Expect(w.happened(v1alpha1.ReasonSecretContested)).To(HaveLen(1))

		By("calming down when the writer stops")
		p.rest(ctx)
		delivers(ctx, w)
	})

	It("that a quota refuses is tried again ever more slowly, and at once when the spec changes", func(ctx context.Context) {
		w := newWorld(ctx)
		quota := &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Name: "none", Namespace: w.namespace},
			Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourceSecrets: resource.MustParse("0")}},
		}
		Expect(admin.Create(ctx, quota)).To(Succeed())
		Eventually(func(g Gomega) {
			probe := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "probe", Namespace: w.namespace}}
			g.Expect(admin.Create(ctx, probe, client.DryRunAll)).To(MatchError(ContainSubstring("exceeded quota")))
		}).WithTimeout(patience).Should(Succeed())
		w.declare(ctx, v1alpha1.AccessTokenSpec{})
		p := w.start(0)
		var waits []time.Duration
		for range 4 {
			result, err := p.reconcile(ctx)
			Expect(err).NotTo(HaveOccurred())
			waits = append(waits, result.RequeueAfter)
			w.clock.SetTime(w.clock.Now().Add(result.RequeueAfter))
		}
		Expect(waits).To(Equal([]time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}))
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonWriteFailed, "exceeded quota")
		Expect(w.happened(v1alpha1.ReasonWriteFailed)).To(HaveLen(1))
		for _, object := range w.records(ctx) {
			Expect(object.Status.Reason).To(Equal(v1alpha1.EndReasonUnpublished), "what is left of a try is deleted soon")
		}
		w.consistent(ctx)

		Expect(admin.Delete(ctx, quota)).To(Succeed())
		Eventually(func() error {
			return admin.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "probe", Namespace: w.namespace}}, client.DryRunAll)
		}).WithTimeout(patience).Should(Succeed())
		w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.Description = "now" })
		p.restWithin(ctx, 0)
		delivers(ctx, w)
	})

	It("shows a refusal no longer when nobody wants what was refused", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{})
		p := w.start(0)
		p.restWithin(ctx, 0)
		text := w.currentToken(ctx, w.key.Name)
		w.clock.SetTime(w.clock.Now().Add(time.Minute))
		w.edit(ctx, func(at *v1alpha1.AccessToken) {
			at.Annotations = with(at.Annotations, v1alpha1.AnnotationRotateRequestedAt, string(v1alpha1.NewTimestamp(w.clock.Now())))
		})
		w.clock.SetTime(w.clock.Now().Add(time.Second)) // a request counts from the next second
		p.client.set(refuse(1))
		_, err := p.reconcile(ctx)
		Expect(err).NotTo(HaveOccurred())
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonWriteFailed, "exceeded quota")

		w.edit(ctx, func(at *v1alpha1.AccessToken) { delete(at.Annotations, v1alpha1.AnnotationRotateRequestedAt) })
		p.restWithin(ctx, 0)
		delivers(ctx, w)
		p.restWithin(ctx, time.Hour)
		Expect(w.currentToken(ctx, w.key.Name)).To(Equal(text))
	})

	It("is written with nothing of others coming back", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, rotating())
		w.start(0).restWithin(ctx, 0)
		fields := w.secret(ctx, w.key.Name).ManagedFields
		Expect(fields).To(HaveLen(1))
		Expect(fields[0].Operation).To(Equal(metav1.ManagedFieldsOperationApply))
	})
})

// meddleUnseen changes the Secret in a way that takes it out of the replicas'
// sight.
func (w *world) meddleUnseen(ctx context.Context, change func(*corev1.Secret)) {
	secret := w.secret(ctx, w.key.Name)
	change(secret)
	Expect(admin.Update(ctx, secret, client.FieldOwner("somebody-else"))).To(Succeed())
}

// gone waits until no replica shows the Secret as it was before.
func (w *world) gone(ctx context.Context) {
	GinkgoHelper()
	current := w.secret(ctx, w.key.Name)
	for _, replica := range replicas {
		Eventually(func() string {
			metadata := &metav1.PartialObjectMetadata{}
			metadata.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
			if client.IgnoreNotFound(replica.Get(ctx, w.key, metadata)) != nil || metadata.ResourceVersion == "" {
				return current.ResourceVersion
			}
			return metadata.ResourceVersion
		}).WithTimeout(patience).Should(Equal(current.ResourceVersion))
	}
}

func idOf(text []byte) string { return strings.Split(string(text), "_")[1] }

func with(annotations map[string]string, key, value string) map[string]string {
	annotations[key] = value
	return annotations
}
