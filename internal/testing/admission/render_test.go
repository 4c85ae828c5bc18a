package admission_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/assets"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

func configFolder(name string) string {
	GinkgoHelper()
	root, err := assets.ModuleRoot()
	Expect(err).NotTo(HaveOccurred())
	return filepath.Join(root, "config", name)
}

// render is what kustomize makes of a folder.
func render(ctx SpecContext, folder string) []*unstructured.Unstructured {
	GinkgoHelper()
	output, err := testenv.ControlPlane(GinkgoT()).Kubectl(ctx, "kustomize", folder)
	Expect(err).NotTo(HaveOccurred())
	return split([]byte(output))
}

func split(stream []byte) []*unstructured.Unstructured {
	GinkgoHelper()
	var objects []*unstructured.Unstructured
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(stream), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		Expect(err).NotTo(HaveOccurred())
		objects = append(objects, object)
	}
}

// overlay writes a kustomization outside of config/ and returns its folder. The
// words CONFIG in it become the way to config/.
func overlay(content string) string {
	GinkgoHelper()
	folder := GinkgoT().TempDir()
	config, err := filepath.Rel(folder, configFolder(""))
	Expect(err).NotTo(HaveOccurred())
	content = strings.ReplaceAll(content, "CONFIG", config)
	Expect(os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(content), 0o600)).To(Succeed())
	return folder
}

var kustomizations = regexp.MustCompile("(?s)```yaml\n(# config/mine/kustomization.yaml.*?)```")

// overlaysIn are folders with the kustomizations that a document shows.
func overlaysIn(page string) (folders []string) {
	GinkgoHelper()
	content, err := os.ReadFile(configFolder("../docs/" + page))
	Expect(err).NotTo(HaveOccurred())
	for _, found := range kustomizations.FindAllStringSubmatch(string(content), -1) {
		folders = append(folders, overlay(strings.ReplaceAll(found[1], "../", "CONFIG/")))
	}
	return folders
}

func kinds(objects []*unstructured.Unstructured) []string {
	var names []string
	for _, o := range objects {
		names = append(names, o.GetKind())
	}
	return names
}

func find(objects []*unstructured.Unstructured, kind, name string) *unstructured.Unstructured {
	GinkgoHelper()
	for _, o := range objects {
		if o.GetKind() == kind && o.GetName() == name {
			return o
		}
	}
	Fail(fmt.Sprintf("no %s %s was rendered", kind, name))
	return nil
}

var namespaced = []string{"ServiceAccount", "Role", "RoleBinding", "Service", "Deployment", "PodDisruptionBudget", "NetworkPolicy"}

var _ = Describe("config", func() {
	for _, folder := range []string{"default", "dev"} {
		Describe(folder, func() {
			It("begins with the namespace and the definitions", func(ctx SpecContext) {
				Expect(kinds(render(ctx, configFolder(folder)))[:3]).To(Equal([]string{"Namespace", "CustomResourceDefinition", "CustomResourceDefinition"}))
			})

			It("gives a namespace to what takes one, and to nothing else", func(ctx SpecContext) {
				for _, o := range render(ctx, configFolder(folder)) {
					want := ""
					if slices.Contains(namespaced, o.GetKind()) {
						want = operator.Namespace
					}
					Expect(o.GetNamespace()).To(Equal(want), "%s %s", o.GetKind(), o.GetName())
				}
			})

			It("binds every policy, fails closed, and forbids with a message that names somebody", func(ctx SpecContext) {
				objects := render(ctx, configFolder(folder))
				for _, o := range objects {
					if strings.HasSuffix(o.GetKind(), "AdmissionPolicy") {
						expectStrict(objects, o)
					}
				}
			})
		})
	}

	It("dev is compiled by the API server without a warning", func(ctx SpecContext) {
		for _, o := range render(ctx, configFolder("dev")) {
			if o.GetKind() != "ValidatingAdmissionPolicy" {
				continue
			}
			Eventually(ctx, func(g Gomega) {
				live, err := testenv.ControlPlane(GinkgoT()).Kubectl(ctx, "get", "validatingadmissionpolicy", o.GetName(), "-o", "jsonpath={.status}")
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(live).To(And(ContainSubstring("typeChecking"), Not(ContainSubstring("expressionWarnings"))))
			}).Should(Succeed())
		}
	})

	It("default installs without what Kubernetes 1.34 lacks, and takes it as a component", func(ctx SpecContext) {
		Expect(kinds(render(ctx, configFolder("default")))).NotTo(ContainElement(HavePrefix("Mutating")))
		with := overlay("resources: [CONFIG/default]\ncomponents: [CONFIG/components/creator-stamp]\n")
		Expect(kinds(render(ctx, with))).To(ContainElements("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "Deployment"))
	})

	It("dev is dev-1.34 with that component", func(ctx SpecContext) {
		older := kinds(render(ctx, configFolder("dev-1.34")))
		Expect(older).NotTo(ContainElement(HavePrefix("Mutating")))
		Expect(kinds(render(ctx, configFolder("dev")))).To(ConsistOf(append(older, "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding")))
	})

	It("default is taken whole by the API server", func(ctx SpecContext) {
		_, err := testenv.ControlPlane(GinkgoT()).Kubectl(ctx, "apply", "-k", configFolder("default"), "--server-side", "--force-conflicts", "--dry-run=server")
		Expect(err).NotTo(HaveOccurred())
		manifest := overlay("namespace: pods\nresources: [CONFIG/manager]\n")
		_, err = testenv.ControlPlane(GinkgoT()).Kubectl(ctx, "create", "namespace", "pods")
		Expect(err).NotTo(HaveOccurred())
		_, err = testenv.ControlPlane(GinkgoT()).Kubectl(ctx, "apply", "-k", manifest, "--server-side")
		Expect(err).NotTo(HaveOccurred())
	})

	It("verifier is taken whole by the API server, and so is what the documents lay over it", func(ctx SpecContext) {
		folders := []string{configFolder("verifier")}
		for _, page := range []string{"verifier.md", "audit.md"} {
			folders = append(folders, overlaysIn(page)...)
		}
		Expect(folders).To(HaveLen(3))
		for _, folder := range folders {
			_, err := testenv.ControlPlane(GinkgoT()).Kubectl(ctx, "apply", "-k", folder, "--server-side", "--force-conflicts", "--dry-run=server")
			Expect(err).NotTo(HaveOccurred())
		}
	})

	It("default runs the manager with no more than it needs", func(ctx SpecContext) {
		objects := render(ctx, configFolder("default"))
		labels := find(objects, "Namespace", operator.Namespace).GetLabels()
		Expect(labels).To(HaveKeyWithValue("pod-security.kubernetes.io/enforce", "restricted"))

		deployment := find(objects, "Deployment", operator.Account)
		Expect(field(deployment, "spec", "replicas")).To(BeNumerically("==", 2))
		Expect(field(deployment, "spec", "template", "spec", "serviceAccountName")).To(Equal(operator.Account))
		containers, ok := field(deployment, "spec", "template", "spec", "containers").([]any)
		Expect(ok).To(BeTrue())
		Expect(containers).To(HaveExactElements(And(
			HaveKeyWithValue("image", HavePrefix("ghcr.io/accesstoken-dev/accesstoken-operator:v")),
			HaveKey("livenessProbe"), HaveKey("readinessProbe"), HaveKey("resources"),
			HaveKeyWithValue("securityContext", And(
				HaveKeyWithValue("allowPrivilegeEscalation", false), HaveKeyWithValue("readOnlyRootFilesystem", true),
			)),
		)))
	})

	DescribeTable("is installed under another namespace by one line", func(ctx SpecContext, kustomization string) {
		objects := render(ctx, overlay(kustomization))
		find(objects, "Namespace", "elsewhere")
		var text strings.Builder
		for _, o := range objects {
			encoded, err := o.MarshalJSON()
			Expect(err).NotTo(HaveOccurred())
			text.Write(encoded)
			Expect(o.GetNamespace()).To(BeElementOf("", "elsewhere"), "%s %s", o.GetKind(), o.GetName())
		}
		Expect(text.String()).NotTo(ContainSubstring(operator.Namespace))
		Expect(text.String()).To(ContainSubstring("request.userInfo.username == 'system:serviceaccount:elsewhere:accesstoken-manager'"))
		Expect(text.String()).To(ContainSubstring("request.namespace != 'elsewhere'"))
	},
		Entry("as config/default does it", "namespace: elsewhere\nresources: [CONFIG/namespace, CONFIG/crd, CONFIG/rbac, CONFIG/policies, CONFIG/manager]\ntransformers: [CONFIG/follow-namespace]\n"),
		Entry("over config/default", "namespace: elsewhere\nresources: [CONFIG/default]\ntransformers: [CONFIG/follow-namespace]\n"),
	)

	DescribeTable("dev has the rule that is generated, with another floor, for", func(ctx SpecContext, floor, lower, resource string, path ...string) {
		generated := rulesAt(find(render(ctx, configFolder("default")), "CustomResourceDefinition", resource+".accesstoken.dev"), path...)
		dev := rulesAt(find(render(ctx, configFolder("dev")), "CustomResourceDefinition", resource+".accesstoken.dev"), path...)
		Expect(generated).To(HaveLen(1))
		Expect(dev).To(HaveLen(1))
		for key, text := range map[string]string{"rule": "duration('" + floor + "')", "message": "from " + floor + " to"} {
			before, ok := generated[0][key].(string)
			Expect(ok).To(BeTrue())
			Expect(strings.Count(before, text)).To(Equal(1))
			Expect(dev[0][key]).To(Equal(strings.Replace(before, text, strings.Replace(text, floor, lower, 1), 1)))
		}
	},
		Entry("maxAge", "10m", "2s", "accesstokens", "maxAge"),
		Entry("rotation.interval", "1m", "1s", "accesstokens", "rotation", "interval"),
		Entry("a policy's maxAge.default", "10m", "2s", "accesstokenpolicies", "maxAge", "default"),
		Entry("a policy's maxAge.max", "10m", "2s", "accesstokenpolicies", "maxAge", "max"),
		Entry("a policy's rotation.maxInterval", "10m", "1s", "accesstokenpolicies", "rotation", "maxInterval"),
		Entry("a policy's retirement.unusedFor", "24h", "2s", "accesstokenpolicies", "retirement", "unusedFor"),
	)

	It("dev takes a maxAge and an interval of seconds", func(ctx SpecContext) {
		Expect(as(bob).Create(ctx, accessToken("ci", "{maxAge: 2s, rotation: {interval: 1s}}"))).To(Succeed())
		Expect(as(bob).Create(ctx, accessToken("other", "{maxAge: 1s}"))).To(MatchError(ContainSubstring("must be a duration from 2s to 87600h")))
		Expect(as(bob).Create(ctx, accessToken("other", "{rotation: {interval: 0s}}"))).To(MatchError(ContainSubstring("must be a duration from 1s to 87600h")))
	})
})

// field is a nested field; a missing one fails the test.
func field(o *unstructured.Unstructured, path ...string) any {
	GinkgoHelper()
	value, found, err := unstructured.NestedFieldNoCopy(o.Object, path...)
	Expect(err).NotTo(HaveOccurred())
	Expect(found).To(BeTrue(), "%s %s has no %s", o.GetKind(), o.GetName(), strings.Join(path, "."))
	return value
}

// rulesAt are the rules of a field of the spec.
func rulesAt(crd *unstructured.Unstructured, path ...string) []map[string]any {
	GinkgoHelper()
	versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
	Expect(err).NotTo(HaveOccurred())
	version, ok := versions[0].(map[string]any)
	Expect(ok).To(BeTrue())
	fields := []string{"schema", "openAPIV3Schema", "properties", "spec"}
	for _, field := range path {
		fields = append(fields, "properties", field)
	}
	rules, _, err := unstructured.NestedSlice(version, append(fields, "x-kubernetes-validations")...)
	Expect(err).NotTo(HaveOccurred())
	var parsed []map[string]any
	for _, rule := range rules {
		parsed = append(parsed, rule.(map[string]any))
	}
	return parsed
}

func expectStrict(objects []*unstructured.Unstructured, policy *unstructured.Unstructured) {
	GinkgoHelper()
	Expect(policy.GetAPIVersion()).To(Equal("admissionregistration.k8s.io/v1"))
	Expect(field(policy, "spec", "failurePolicy")).To(Equal("Fail"), policy.GetName())
	binding := find(objects, policy.GetKind()+"Binding", policy.GetName())
	Expect(field(binding, "spec", "policyName")).To(Equal(policy.GetName()))
	if strings.HasPrefix(policy.GetKind(), "Mutating") {
		return
	}
	Expect(field(binding, "spec", "validationActions")).To(ConsistOf("Deny"))
	validations, ok := field(policy, "spec", "validations").([]any)
	Expect(ok).To(BeTrue())
	Expect(validations).NotTo(BeEmpty())
	Expect(validations).To(HaveEach(And(
		HaveKeyWithValue("reason", "Forbidden"),
		Or(HaveKeyWithValue("message", Not(BeEmpty())), HaveKeyWithValue("messageExpression", Or(
			ContainSubstring("request.userInfo.username"), ContainSubstring("the manager"),
			ContainSubstring("variables.by"), // the AccessTokenPolicy, which is no person's doing
		))),
	)), policy.GetName())
}
