package admission_test

import (
	"context"
	"encoding/json"
	"maps"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/delivery"
)

const managerSecrets = "accesstoken-manager-secrets"

// secret is what the manager applies.
type secret struct {
	name     string
	owner    types.UID
	revision string // empty means none
	typ      corev1.SecretType
	data     map[string]string
}

func (s secret) object() *corev1.Secret {
	o := &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: s.name},
		Type:       s.typ,
		Data:       map[string][]byte{},
	}
	if s.owner != "" {
		o.OwnerReferences = []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "AccessToken", Name: "ci", UID: s.owner, Controller: ptr.To(true)}}
	}
	if s.revision != "" {
		o.Annotations = map[string]string{v1alpha1.AnnotationRevision: s.revision}
	}
	for key, value := range s.data {
		o.Data[key] = []byte(value)
	}
	return o
}

// apply writes as the manager does, by server-side apply, and returns what is
// there then.
func (s secret) apply(ctx context.Context) (*corev1.Secret, error) {
	GinkgoHelper()
	body, err := json.Marshal(s.object())
	Expect(err).NotTo(HaveOccurred())
	live := s.object()
	err = manager().Patch(ctx, live, client.RawPatch(types.ApplyPatchType, body),
		client.FieldOwner("accesstoken-manager"), client.ForceOwnership)
	return live, err
}

func (s secret) with(revision, value string) secret {
	s.revision, s.data = revision, maps.Clone(s.data)
	if s.data == nil {
		s.data = map[string]string{}
	}
	s.data["token"] = value
	return s
}

var _ = Describe("The manager's account", func() {
	var owner types.UID
	var ours secret

	BeforeEach(func(ctx SpecContext) {
		owner = declared(ctx, "ci")
		ours = secret{name: "ci", owner: owner, typ: corev1.SecretTypeOpaque}.with("5", "five")
		_, err := ours.apply(ctx)
		Expect(err).NotTo(HaveOccurred())
	})

	It("repeats what it wrote without a change", func(ctx SpecContext) {
		before, err := ours.apply(ctx)
		Expect(err).NotTo(HaveOccurred())
		after, err := ours.apply(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(after.ResourceVersion).To(Equal(before.ResourceVersion))
	})

	It("publishes a later token and never an earlier, a second or a retold one", func(ctx SpecContext) {
		_, err := ours.with("6", "six").apply(ctx)
		Expect(err).NotTo(HaveOccurred())
		_, err = ours.apply(ctx)
		Expect(err).To(beForbiddenBy(managerSecrets, "the manager may not write revision 5 into Secret "+namespace+"/ci, which has revision 6: only a higher one brings other content"))
		_, err = ours.with("6", "another six").apply(ctx)
		Expect(err).To(beForbiddenBy(managerSecrets, "revision 6 into", "has revision 6"))
		_, err = ours.with("", "none").apply(ctx)
		Expect(err).To(beForbiddenBy(managerSecrets))
		_, err = ours.with("5", "six").apply(ctx)
		Expect(err).To(beForbiddenBy(managerSecrets), "the revision does not fall, even with the same content")
		_, err = ours.with("9", "nine").apply(ctx)
		Expect(err).NotTo(HaveOccurred())
		_, err = ours.with("10", "ten").apply(ctx)
		Expect(err).NotTo(HaveOccurred(), "10 is more than 9")
	})

	DescribeTable("takes what is no revision for none", func(ctx SpecContext, garbled any) {
		Expect(as(eve).Patch(ctx, ours.object(), merge(object{"metadata": object{"annotations": object{v1alpha1.AnnotationRevision: garbled}}}))).To(Succeed())
		_, err := ours.with("0", "zero").apply(ctx)
		Expect(err).To(beForbiddenBy(managerSecrets))
		_, err = ours.with("1", "one").apply(ctx)
		Expect(err).NotTo(HaveOccurred())
	},
		Entry("missing", nil), Entry("empty", ""), Entry("a word", "five"), Entry("negative", "-5"), Entry("a fraction", "5.5"),
		Entry("over 2^53", "9007199254740993"), Entry("over 64 bits", "99999999999999999999"),
	)

	DescribeTable("writes no revision that is none", func(ctx SpecContext, revision string) {
		_, err := ours.with(revision, "other").apply(ctx)
		Expect(err).To(beForbiddenBy(managerSecrets))
	},
		Entry("a word", "six"), Entry("with a sign", "+6"), Entry("over 2^53", "9007199254740993"), Entry("over 64 bits", "99999999999999999999"),
	)

	It("knows the greatest revision", func(ctx SpecContext) {
		_, err := ours.with("9007199254740992", "last").apply(ctx)
		Expect(err).NotTo(HaveOccurred())
		_, err = ours.with("9007199254740991", "last but one").apply(ctx)
		Expect(err).To(beForbiddenBy(managerSecrets))
	})

	It("takes its key away and leaves other people's", func(ctx SpecContext) {
		Expect(as(eve).Patch(ctx, ours.object(), merge(object{"data": object{"theirs": []byte("theirs")}}))).To(Succeed())
		empty := ours
		empty.data = nil
		live, err := empty.apply(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(live.Data).To(Equal(map[string][]byte{"theirs": []byte("theirs")}))
		_, err = ours.apply(ctx)
		Expect(err).To(beForbiddenBy(managerSecrets), "what was taken away does not come back under its revision")
		live, err = ours.with("6", "six").apply(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(live.Data).To(HaveLen(2))
	})

	DescribeTable("leaves an empty form where the API server demands a key",
		func(ctx SpecContext, format v1alpha1.SecretFormat, full, other map[string]string) {
			s := secret{name: "formed", owner: owner, revision: "1", typ: delivery.SecretType(format), data: full}
			_, err := s.apply(ctx)
			Expect(err).NotTo(HaveOccurred())
			s.data = other
			_, err = s.apply(ctx)
			Expect(err).To(beForbiddenBy(managerSecrets))
			s.data = map[string]string{}
			for key, value := range delivery.EmptyData(format) {
				s.data[key] = string(value)
			}
			_, err = s.apply(ctx)
			Expect(err).NotTo(HaveOccurred())
			s.data = full
			_, err = s.apply(ctx)
			Expect(err).To(beForbiddenBy(managerSecrets))
		},
		Entry("for whoever reads a file", v1alpha1.SecretFormatOpaque, map[string]string{"token": "a"}, map[string]string{"token": "b"}),
		Entry("for whoever chose further keys", v1alpha1.SecretFormatOpaque, map[string]string{"token": "a", "url": "b"}, map[string]string{"token": "a", "url": "c"}),
		Entry("for git", v1alpha1.SecretFormatNetrc, map[string]string{".netrc": "a"}, map[string]string{".netrc": "b"}),
		Entry("for image registries", v1alpha1.SecretFormatDockerConfigJSON,
			map[string]string{".dockerconfigjson": `{"auths":{"r.example.com":{"auth":"YTpi"}}}`},
			map[string]string{".dockerconfigjson": `{"auths":{"r.example.com":{"auth":"YTpj"}}}`}),
		Entry("for basic authentication", v1alpha1.SecretFormatBasicAuth,
			map[string]string{"username": "a", "password": "b"}, map[string]string{"username": "", "password": "c"}),
	)

	It("does not touch a Secret of somebody else", func(ctx SpecContext) {
		foreign := secret{name: "foreign", typ: corev1.SecretTypeOpaque, data: map[string]string{"token": "theirs"}}
		Expect(as(eve).Create(ctx, foreign.object())).To(Succeed())
		message := "the manager may not touch Secret " + namespace + "/foreign: no AccessToken controls it"

		Expect(manager().Delete(ctx, foreign.object())).To(beForbiddenBy(managerSecrets, message))
		Expect(manager().Patch(ctx, foreign.object(), annotate("a", "b"))).To(beForbiddenBy(managerSecrets))
		foreign.owner, foreign.revision = owner, "9"
		_, err := foreign.apply(ctx)
		Expect(err).To(beForbiddenBy(managerSecrets, message), "nor makes it its own")
	})

	It("makes no Secret that no AccessToken controls", func(ctx SpecContext) {
		orphan := secret{name: "other", typ: corev1.SecretTypeOpaque, data: map[string]string{"token": "x"}}
		_, err := orphan.apply(ctx)
		Expect(err).To(beForbiddenBy(managerSecrets, "the manager may not write Secret "+namespace+"/other: no AccessToken would control it"))
		for _, change := range []func(*metav1.OwnerReference){
			func(o *metav1.OwnerReference) { o.Controller = nil },
			func(o *metav1.OwnerReference) { o.Controller = ptr.To(false) },
			func(o *metav1.OwnerReference) { o.Kind = "ConfigMap" },
			func(o *metav1.OwnerReference) { o.APIVersion = "accesstoken.dev.example.com/v1alpha1" },
		} {
			orphan.owner = owner
			object := orphan.object()
			change(&object.OwnerReferences[0])
			Expect(manager().Create(ctx, object)).To(beForbiddenBy(managerSecrets))
		}
		canary := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "canary", Namespace: metav1.NamespaceDefault}}
		Expect(manager().Create(ctx, canary, client.DryRunAll)).To(beForbiddenBy(managerSecrets))
	})

	It("does not pass a Secret on, or let it go", func(ctx SpecContext) {
		other := ours.with("6", "six")
		other.owner = declared(ctx, "other")
		body, err := json.Marshal([]object{{"op": "replace", "path": "/metadata/ownerReferences/0/uid", "value": other.owner}})
		Expect(err).NotTo(HaveOccurred())
		Expect(manager().Patch(ctx, ours.object(), client.RawPatch(types.JSONPatchType, body))).
			To(beForbiddenBy(managerSecrets, "the manager may not pass Secret "+namespace+"/ci from one AccessToken to another"))
		Expect(manager().Patch(ctx, ours.object(), merge(object{"metadata": object{"ownerReferences": nil}}))).To(beForbiddenBy(managerSecrets))
	})

	It("makes no credential of another kind", func(ctx SpecContext) {
		account := secret{name: "account", owner: owner, typ: corev1.SecretTypeServiceAccountToken}.object()
		account.Annotations = map[string]string{corev1.ServiceAccountNameKey: "default"}
		Expect(manager().Create(ctx, account)).To(beForbiddenBy(managerSecrets, "of type kubernetes.io/service-account-token"))
	})

	It("deletes its own Secret", func(ctx SpecContext) {
		Expect(manager().Delete(ctx, ours.object())).To(Succeed())
	})

	It("keeps its keys in its own namespace", func(ctx SpecContext) {
		keys := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: operator.Namespace, Name: "accesstoken-keys"}, Data: map[string][]byte{"k1": {1}}}
		Expect(manager().Create(ctx, keys)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(admin().Delete(ctx, keys)).To(Succeed()) })
		keys.Data["k2"] = []byte{2}
		Expect(manager().Update(ctx, keys)).To(Succeed())
		other := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: operator.Namespace, Name: "other"}}
		Expect(admin().Create(ctx, other)).To(Succeed())
		Expect(manager().Update(ctx, other)).To(MatchError(ContainSubstring(`cannot update resource "secrets"`)), "RBAC names the one")
	})

	It("binds nobody else", func(ctx SpecContext) {
		theirs := secret{name: "theirs", typ: corev1.SecretTypeOpaque}
		Expect(as(eve).Create(ctx, theirs.object())).To(Succeed())
		Expect(as(eve).Patch(ctx, ours.object(), merge(object{"data": object{"token": []byte("x")}}))).To(Succeed())
		Expect(as(eve).Delete(ctx, theirs.object())).To(Succeed())
	})
})
