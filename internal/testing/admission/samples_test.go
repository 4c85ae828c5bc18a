package admission_test

import (
	"os"
	"path/filepath"
	"regexp"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

var _ = Describe("Samples", func() {
	It("are all applied, in the form that they say", func(ctx SpecContext) {
		files, err := filepath.Glob(filepath.Join(configFolder("samples"), "*.yaml"))
		Expect(err).NotTo(HaveOccurred())
		formats := map[v1alpha1.SecretFormat]bool{}
		for _, file := range files {
			if filepath.Base(file) == "kustomization.yaml" {
				continue
			}
			content, err := os.ReadFile(file)
			Expect(err).NotTo(HaveOccurred())
			Expect(string(content)).To(HavePrefix("# "), "%s says what it is for", file)
			for _, o := range split(content) {
				if o.GetKind() != "AccessTokenPolicy" && o.GetKind() != "ClusterRole" { // cluster-scoped
					o.SetNamespace(namespace)
				}
				applied := client.ApplyConfigurationFromUnstructured(o)
				Expect(admin().Apply(ctx, applied, client.FieldOwner("kubectl"))).To(Succeed(), "%s in %s", o.GetName(), file)
				if o.GetKind() == "AccessToken" {
					formats[formatOf(o)] = true
				}
			}
		}
		Expect(formats).To(HaveLen(5), "a sample for each format")
	})

	It("of revocations are all applied, and stand beside the kustomization, since each voids tokens", func(ctx SpecContext) {
		files, err := filepath.Glob(filepath.Join(configFolder("samples"), "revocation", "*.yaml"))
		Expect(err).NotTo(HaveOccurred())
		Expect(files).NotTo(BeEmpty())
		for _, file := range files {
			content, err := os.ReadFile(file)
			Expect(err).NotTo(HaveOccurred())
			Expect(string(content)).To(HavePrefix("# "), "%s says what it is for", file)
			for _, o := range split(content) {
				if o.GetKind() == "TokenRevocation" {
					o.SetNamespace(namespace)
				}
				Expect(admin().Apply(ctx, client.ApplyConfigurationFromUnstructured(o), client.FieldOwner("kubectl"))).To(Succeed(), file)
				Expect(admin().Delete(ctx, o)).To(Succeed())
			}
		}
		for _, o := range render(ctx, configFolder("samples")) {
			Expect(o.GetKind()).NotTo(ContainSubstring("Revocation"))
		}
	})

	It("are all in the kustomization", func(ctx SpecContext) {
		files, err := filepath.Glob(filepath.Join(configFolder("samples"), "*.yaml"))
		Expect(err).NotTo(HaveOccurred())
		rendered := render(ctx, configFolder("samples"))
		for _, file := range files {
			if filepath.Base(file) == "kustomization.yaml" {
				continue
			}
			content, err := os.ReadFile(file)
			Expect(err).NotTo(HaveOccurred())
			for _, o := range split(content) {
				find(rendered, o.GetKind(), o.GetName())
			}
		}
	})

	It("give the rights of a token to its own principal", func(ctx SpecContext) {
		principal := regexp.MustCompile("^" + v1alpha1.PrincipalPrefix + "default:(.+)$")
		objects := render(ctx, configFolder("samples"))
		for _, o := range objects {
			if o.GetKind() != "RoleBinding" {
				continue
			}
			var binding rbacv1.RoleBinding
			Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &binding)).To(Succeed())
			name := principal.FindStringSubmatch(binding.Subjects[0].Name)
			Expect(name).NotTo(BeNil(), binding.Subjects[0].Name)
			token := find(objects, "AccessToken", name[1])
			Expect(field(token, "spec", "audiences")).To(ConsistOf("kubernetes"), "or the API server would refuse it")
		}
	})

	It("let whoever has the role of the sample, and nobody else, declare a token for the user that its policy names", func(ctx SpecContext) {
		objects := render(ctx, configFolder("samples"))
		token, role := find(objects, "AccessToken", "alice-laptop"), find(objects, "ClusterRole", "act-as-alice")
		Expect(field(find(objects, "AccessTokenPolicy", "alice-in-default"), "spec", "subjects", "users")).
			To(ConsistOf(field(token, "spec", "subject", "name")))
		token.SetNamespace(namespace)
		Expect(as(bob).Create(ctx, token.DeepCopy(), client.DryRunAll)).To(beForbiddenBy("accesstoken-subject"))

		Expect(admin().Apply(ctx, client.ApplyConfigurationFromUnstructured(role), client.FieldOwner("kubectl"))).To(Succeed())
		binding := &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: namespace},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.GetName()},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: bob}},
		}
		Expect(admin().Create(ctx, binding)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(admin().Delete(ctx, binding)).To(Succeed()) })
		Eventually(ctx, func() error { return as(bob).Create(ctx, token.DeepCopy(), client.DryRunAll) }).Should(Succeed())
	})
})

func formatOf(token *unstructured.Unstructured) v1alpha1.SecretFormat {
	GinkgoHelper()
	format, _, err := unstructured.NestedString(token.Object, "spec", "secret", "format")
	Expect(err).NotTo(HaveOccurred())
	if format == "" {
		return v1alpha1.SecretFormatOpaque
	}
	return v1alpha1.SecretFormat(format)
}
