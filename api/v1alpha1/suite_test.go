package v1alpha1_test

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/assets"
)

// These suites run against the definitions as they are generated, without any
// policy: what is refused here is refused by the schema alone, even to an
// administrator.

const (
	timeoutStart = 3 * time.Minute
	timeoutLong  = 30 * time.Second
	poll         = 100 * time.Millisecond
)

var (
	cp        *controlplane.ControlPlane
	admin     client.Client
	namespace string
)

func TestAPI(t *testing.T) {
	RegisterFailHandler(Fail)
	log.SetLogger(GinkgoLogr)
	SetDefaultEventuallyTimeout(timeoutLong)
	EnforceDefaultTimeoutsWhenUsingContexts() // else one that has a context waits as long as go test does
	SetDefaultEventuallyPollingInterval(poll)
	RunSpecs(t, "API")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	root, err := assets.ModuleRoot()
	Expect(err).NotTo(HaveOccurred())
	// The context of this node ends with it; the control plane goes on.
	cp, err = controlplane.Start(context.WithoutCancel(ctx), controlplane.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() error { return cp.Stop() })
	Expect(cp.Install(ctx, filepath.Join(root, "config", "crd"))).To(Succeed())

	scheme := runtime.NewScheme()
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(apiextensionsv1.AddToScheme(scheme)).To(Succeed())
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	admin, err = client.New(cp.Config(), client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	// What kubectl reads of a kind is there a moment after the kind is served.
	for _, kind := range []string{"at", "atp", "atq", "atr", "trev", "ctrev"} {
		Eventually(ctx, func() error {
			_, err := cp.Kubectl(ctx, "explain", kind)
			return err
		}).Should(Succeed())
	}
}, NodeTimeout(timeoutStart))

var _ = BeforeEach(func(ctx SpecContext) {
	created := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "api-"}}
	Expect(admin.Create(ctx, created)).To(Succeed())
	namespace = created.Name
})

// accessToken is an AccessToken as a person writes it: the client must not tidy
// it up, so it is untyped. spec is YAML.
func accessToken(name, spec string) *unstructured.Unstructured {
	GinkgoHelper()
	var parsed map[string]any
	Expect(yaml.Unmarshal([]byte(spec), &parsed)).To(Succeed())
	object := &unstructured.Unstructured{Object: map[string]any{"spec": parsed}}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("AccessToken"))
	object.SetNamespace(namespace)
	object.SetName(name)
	return object
}

// setSpec replaces the spec of a live object.
func setSpec(ctx context.Context, name, spec string) error {
	GinkgoHelper()
	live := accessToken(name, "{}")
	Expect(admin.Get(ctx, client.ObjectKeyFromObject(live), live)).To(Succeed())
	live.Object["spec"] = accessToken(name, spec).Object["spec"]
	return admin.Update(ctx, live)
}

// expectRefused says that err is about this field, tells that much, and tells
// nothing else.
func expectRefused(err error, field, message string) {
	GinkgoHelper()
	var status apierrors.APIStatus
	Expect(errors.As(err, &status)).To(BeTrue(), "error: %v", err)
	Expect(status.Status().Reason).To(Equal(metav1.StatusReasonInvalid))
	var causes []string
	for _, cause := range status.Status().Details.Causes {
		// The API server adds this where a bound or an enum does not hold.
		if cause.Field == "<nil>" {
			continue
		}
		causes = append(causes, cause.Field+": "+cause.Message)
	}
	Expect(causes).To(HaveLen(1))
	Expect(causes[0]).To(HavePrefix(field + ": "))
	Expect(causes[0]).To(ContainSubstring(message))
}

// merge patches an object with JSON, as kubectl patch --type=merge does.
func merge(patch any) client.Patch {
	GinkgoHelper()
	content, err := json.Marshal(patch)
	Expect(err).NotTo(HaveOccurred())
	return client.RawPatch("application/merge-patch+json", content)
}

// toUnstructured is an object as JSON has it.
func toUnstructured(typed client.Object) (map[string]any, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(typed)
	if err != nil {
		return nil, err
	}
	gvk, err := admin.GroupVersionKindFor(typed)
	if err != nil {
		return nil, err
	}
	content["apiVersion"], content["kind"] = gvk.GroupVersion().String(), gvk.Kind
	return content, nil
}
