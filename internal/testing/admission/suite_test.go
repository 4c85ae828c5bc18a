package admission_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// People of these tests.
const (
	eve = "eve" // holds every verb on every resource in the namespace
	bob = "bob" // may do to AccessTokens what an editor may
)

const (
	timeout = 60 * time.Second
	poll    = 100 * time.Millisecond
)

// namespace is fresh for each test.
var namespace string

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

func TestPolicies(t *testing.T) {
	RegisterFailHandler(Fail)
	log.SetLogger(GinkgoLogr)
	SetDefaultEventuallyTimeout(timeout)
	EnforceDefaultTimeoutsWhenUsingContexts() // else one that has a context waits as long as go test does
	SetDefaultEventuallyPollingInterval(poll)
	RunSpecs(t, "Policies")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	namespace = testenv.Namespace(GinkgoT())
	grant(ctx)
	// Policies take effect one after the other, about a second after their
	// creation. Each is here with something that it refuses.
	for _, refused := range []struct{ policy, annotations, finalizers, spec string }{
		{policy: "accesstoken-without-expiry", spec: `{maxAge: Never}`},
		{policy: "accesstoken-reserved-scopes", spec: `{scopes: ["accesstoken.dev:introspect"]}`},
		{policy: "accesstoken-rotate-requested-at", annotations: `{accesstoken.dev/rotate-requested-at: now}`},
		{policy: "accesstoken-no-orphans", finalizers: `[orphan]`},
		{policy: "accesstoken-secret-template", spec: `{secret: {data: {a: b}}}`},
		{policy: "accesstoken-subject", spec: `{subject: {kind: ServiceAccount, name: probe}}`},
	} {
		token := accessToken("probe", refused.spec)
		if refused.annotations != "" {
			token.SetAnnotations(parse[map[string]string](refused.annotations))
		}
		token.SetFinalizers(parse[[]string](refused.finalizers))
		Eventually(ctx, func() error { return as(bob).Create(ctx, token.DeepCopy(), client.DryRunAll) }).
			Should(beForbiddenBy(refused.policy))
	}
	Eventually(ctx, func() error {
		return as(bob, v1alpha1.GroupAccessTokens).Create(ctx, accessToken("probe", ""), client.DryRunAll)
	}).Should(beForbiddenBy("accesstoken-made-by-token"))
	Eventually(ctx, func() error { return as(eve).Create(ctx, tokenRecord("probe"), client.DryRunAll) }).
		Should(beForbiddenBy("accesstoken-records"))
	Expect(admin().Create(ctx, ownRevocation("probe"))).To(Succeed())
	Eventually(ctx, func() error { return as(eve).Delete(ctx, ownRevocation("probe"), client.DryRunAll) }).
		Should(beForbiddenBy(revocations))
	if stamped(ctx) {
		waitForStamp(ctx)
	}
})

var _ = BeforeEach(func(ctx SpecContext) {
	namespace = testenv.Namespace(GinkgoT())
	grant(ctx)
})

// grant gives the people their rights in the namespace.
func grant(ctx context.Context) {
	GinkgoHelper()
	editor := []rbacv1.PolicyRule{{
		APIGroups: []string{v1alpha1.Group}, Resources: []string{"accesstokens"},
		Verbs: []string{"create", "get", "list", "watch", "update", "patch", "delete"},
	}}
	everything := []rbacv1.PolicyRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}}
	for user, rules := range map[string][]rbacv1.PolicyRule{eve: everything, bob: editor} {
		meta := metav1.ObjectMeta{Namespace: namespace, Name: user}
		Expect(admin().Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: rules})).To(Succeed())
		Expect(admin().Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: meta,
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: user}},
		})).To(Succeed())
		// The authorizer reads roles from a watch.
		Eventually(ctx, func() bool { return may(ctx, user, "create", "accesstokens", "", namespace) }).Should(BeTrue())
	}
}

// clients keeps one client for each user, since making one asks the API server
// for all that it serves.
var clients = map[string]client.Client{}

func clientOf(user string, config func() *rest.Config) client.Client {
	GinkgoHelper()
	if clients[user] == nil {
		scheme := runtime.NewScheme()
		Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
		Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
		c, err := client.New(config(), client.Options{Scheme: scheme})
		Expect(err).NotTo(HaveOccurred())
		clients[user] = c
	}
	return clients[user]
}

// admin is a client of an administrator of the cluster.
func admin() client.Client {
	GinkgoHelper()
	return clientOf("admin", func() *rest.Config { return testenv.Config(GinkgoT()) })
}

// manager is a client with the manager's own account.
func manager() client.Client {
	GinkgoHelper()
	return clientOf("manager", func() *rest.Config { return testenv.ManagerConfig(GinkgoT()) })
}

// as is a client of that user.
func as(user string, groups ...string) client.Client {
	GinkgoHelper()
	return asUser(rest.ImpersonationConfig{UserName: user, Groups: append(groups, "system:authenticated")})
}

func asUser(user rest.ImpersonationConfig) client.Client {
	GinkgoHelper()
	return clientOf(fmt.Sprintf("%+v", user), func() *rest.Config {
		config := testenv.Config(GinkgoT())
		config.Impersonate = user
		return config
	})
}

func parse[T any](text string) T {
	GinkgoHelper()
	var value T
	Expect(yaml.Unmarshal([]byte(text), &value)).To(Succeed())
	return value
}

// accessToken is an AccessToken as a person writes it. spec is YAML; empty means
// every default.
func accessToken(name, spec string) *unstructured.Unstructured {
	GinkgoHelper()
	content := parse[map[string]any](spec)
	if content == nil {
		content = map[string]any{}
	}
	token := &unstructured.Unstructured{Object: map[string]any{"spec": content}}
	token.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("AccessToken"))
	token.SetNamespace(namespace)
	token.SetName(name)
	return token
}

// object is a JSON object.
type object = map[string]any

// merge patches with JSON, as kubectl patch --type=merge does.
func merge(patch object) client.Patch {
	GinkgoHelper()
	content, err := json.Marshal(patch)
	Expect(err).NotTo(HaveOccurred())
	return client.RawPatch(types.MergePatchType, content)
}

// annotate is a patch that sets one annotation.
func annotate(key, value string) client.Patch {
	return merge(object{"metadata": object{"annotations": object{key: value}}})
}

// beForbiddenBy says that this policy refused, and that it said all of this.
func beForbiddenBy(policy string, words ...string) OmegaMatcher {
	matchers := []OmegaMatcher{
		WithTransform(apierrors.IsForbidden, BeTrue()),
		MatchError(ContainSubstring("ValidatingAdmissionPolicy '" + policy + "." + v1alpha1.Group + "'")),
	}
	for _, word := range words {
		matchers = append(matchers, MatchError(ContainSubstring(word)))
	}
	return And(matchers...)
}
