package apiserver

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

var (
	errNotYet        = errors.New("not yet")
	errStillAccepted = errors.New("still accepted")
)

// forKubernetes is what a token has to be declared with for the API server.
var forKubernetes = []string{"kubernetes"}

func TestKubectlActsAsTheTokensUser(t *testing.T) {
	namespace := testenv.Namespace(t)
	h := issue(t, namespace, "deploy", forKubernetes, []string{"read:pods", "other"})
	output, err := h.kubectl(t, "auth", "whoami", "-o=json")
	if err != nil {
		t.Fatal(err)
	}
	var who authenticationv1.SelfSubjectReview
	if err := json.Unmarshal([]byte(output), &who); err != nil {
		t.Fatal(err)
	}
	want := authenticationv1.UserInfo{
		Username: "accesstoken:" + namespace + ":deploy",
		UID:      h.record.Spec.AccessTokenUID,
		Groups:   []string{"accesstokens", "accesstokens:" + namespace, "system:authenticated"},
		Extra: map[string]authenticationv1.ExtraValue{
			"accesstoken.dev/token-id": {h.record.Name},
			"accesstoken.dev/name":     {namespace + "/deploy"},
			"accesstoken.dev/scopes":   {"read:pods", "other"},
		},
	}
	if diff := cmp.Diff(want, who.Status.UserInfo); diff != "" {
		t.Errorf("user (-want +got):\n%s", diff)
	}
}

func TestARoleBindingLetsATokenReadAndNoMore(t *testing.T) {
	namespace := testenv.Namespace(t)
	h := issue(t, namespace, "viewer", forKubernetes, nil)
	if _, err := h.kubectl(t, "get", "pods", "-n", namespace); err == nil || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("pods without a RoleBinding: %v, want forbidden", err)
	}
	_, err := testenv.ControlPlane(t).Kubectl(t.Context(), "create", "rolebinding", "viewer", "-n", namespace, "--clusterrole=view", "--user="+h.record.Spec.Subject.Name)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		_, err := h.kubectl(t, "get", "pods", "-n", namespace)
		return err
	})
	if _, err := h.CoreV1().Pods("default").List(t.Context(), always); !apierrors.IsForbidden(err) {
		t.Errorf("pods of another namespace: %v, want forbidden", err)
	}
}

func TestScopesHoldWhateverRBACAllows(t *testing.T) {
	namespace := testenv.Namespace(t)
	h := issue(t, namespace, "reader", forKubernetes, []string{"read:pods"})
	if _, err := h.CoreV1().Pods(namespace).List(t.Context(), always); !apierrors.IsForbidden(err) || strings.Contains(err.Error(), "access token") {
		t.Errorf("in scope though RBAC does not allow it: %v, want forbidden by RBAC", err)
	}
	h.allow(t)
	eventually(t, func() error { // "no opinion" was cached, and RBAC decides anew
		_, err := h.CoreV1().Pods(namespace).List(t.Context(), always)
		return err
	})
	_, err := h.CoreV1().ConfigMaps(namespace).List(t.Context(), always)
	want := `access token "` + namespace + `/reader" has the scopes "read:pods", and none of them is mapped to "list" of "configmaps"`
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), want) {
		t.Errorf("out of scope though RBAC allows it: %v, want forbidden: %s", err, want)
	}
	unmapped := issue(t, namespace, "unmapped", forKubernetes, []string{"deploy:shop"})
	unmapped.allow(t)
	if _, err := unmapped.CoreV1().Pods(namespace).List(t.Context(), always); !apierrors.IsForbidden(err) {
		t.Errorf("with a scope that nothing maps: %v, want forbidden", err)
	}
}

func TestATokenNeverGetsMorePowerWhateverRBACAllows(t *testing.T) {
	namespace := testenv.Namespace(t)
	for name, scopes := range map[string][]string{"without-scopes": nil, "with-all": {"all"}} {
		h := issue(t, namespace, name, forKubernetes, scopes)
		h.allow(t)
		eventually(t, func() error {
			_, err := h.CoreV1().ConfigMaps(namespace).List(t.Context(), always)
			return err
		})
		for _, attributes := range []authorizationv1.ResourceAttributes{
			{Verb: "impersonate", Resource: "users", Name: "admin"},
			{Verb: "impersonate:user-info", Group: "authentication.k8s.io", Resource: "users"},
			{Verb: "impersonate-on:user-info:list", Resource: "pods"},
			{Verb: "bind", Group: "rbac.authorization.k8s.io", Resource: "clusterroles", Name: "cluster-admin"},
			{Verb: "escalate", Group: "rbac.authorization.k8s.io", Resource: "roles"},
			{Verb: "approve", Group: "certificates.k8s.io", Resource: "signers"},
			{Verb: "sign", Group: "certificates.k8s.io", Resource: "signers"},
			{Verb: "update", Group: "certificates.k8s.io", Resource: "certificatesigningrequests", Subresource: "approval"},
			{Verb: "create", Resource: "serviceaccounts", Subresource: "token", Namespace: namespace},
			{Verb: "get", Resource: "secrets", Namespace: namespace},
			{Verb: "list", Resource: "secrets", Namespace: namespace},
			{Verb: "watch", Resource: "secrets"},
			{Verb: "create", Group: "accesstoken.dev", Resource: "accesstokens", Namespace: namespace},
			{Verb: "update", Group: "accesstoken.dev", Resource: "tokenrecords", Subresource: "status", Namespace: namespace},
		} {
			review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &attributes}}
			answer, err := h.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), review, metav1.CreateOptions{})
			reason := "by name"
			if attributes.Resource == "accesstokens" {
				reason = "a token cannot write AccessTokens, whatever is mapped"
			}
			if err != nil || answer.Status.Allowed || !strings.Contains(answer.Status.Reason, reason) {
				t.Errorf("%s: %+v = %+v, %v, want denied for our reason", name, attributes, answer.Status, err)
			}
		}
		h.tryForReal(t, namespace)
	}
}

// tryForReal makes requests whose answers would hold power.
func (h *holder) tryForReal(t *testing.T, namespace string) {
	t.Helper()
	for name, err := range map[string]error{
		"read a Secret":             second(h.CoreV1().Secrets(namespace).Get(t.Context(), "any", metav1.GetOptions{})),
		"patch a Secret":            second(h.CoreV1().Secrets(namespace).Patch(t.Context(), "any", "application/merge-patch+json", []byte(`{}`), metav1.PatchOptions{})),
		"issue an account's token":  second(h.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), "default", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})),
		"act as an administrator":   second(clients(t, h.impersonating("admin", "system:masters")).CoreV1().Pods(namespace).List(t.Context(), always)),
		"read Secrets as that user": second(clients(t, h.impersonating("admin", "system:masters")).CoreV1().Secrets(namespace).List(t.Context(), always)),
	} {
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "by name") {
			t.Errorf("%s: %v, want forbidden for our reason", name, err)
		}
	}
}

func (h *holder) impersonating(user string, groups ...string) *rest.Config {
	config := rest.CopyConfig(h.config)
	config.Impersonate.UserName, config.Impersonate.Groups = user, groups
	return config
}

func second[T any](_ T, err error) error { return err }

func TestAMappingByNameOpensWhatItNames(t *testing.T) {
	namespace := testenv.Namespace(t)
	h := issue(t, namespace, "secrets", forKubernetes, []string{"read:secrets"})
	h.allow(t)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "config"}}
	if _, err := clients(t, testenv.Config(t)).CoreV1().Secrets(namespace).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.CoreV1().Secrets(namespace).Get(t.Context(), "config", metav1.GetOptions{}); err != nil {
		t.Errorf("get a Secret: %v", err)
	}
	if _, err := h.CoreV1().Secrets(namespace).List(t.Context(), always); !apierrors.IsForbidden(err) {
		t.Errorf("list Secrets, which the mapping does not name: %v, want forbidden", err)
	}
}

func TestATokenForOthersOpensNoAPIServerAndItsOwnerIsTold(t *testing.T) {
	namespace := testenv.Namespace(t)
	for name, audiences := range map[string][]string{"for-billing": {"billing-api"}, "for-nobody-named": nil} {
		h := issue(t, namespace, name, audiences, nil)
		for range 3 {
			if _, err := h.CoreV1().Pods(namespace).List(t.Context(), always); !apierrors.IsUnauthorized(err) {
				t.Errorf("%s: %v, want unauthorized", name, err)
			}
		}
		if told := the.refusedFor(name); !slices.Equal(told, []string{"kubernetes"}) {
			t.Errorf("%s: told %v, want once that kubernetes was wanted", name, told)
		}
	}
}

func TestAServiceThatAsksGetsExactlyItsAudience(t *testing.T) {
	namespace := testenv.Namespace(t)
	h := issue(t, namespace, "client", []string{"billing-api", "kubernetes"}, []string{"invoices:read"})
	ask := func(audiences ...string) authenticationv1.TokenReviewStatus {
		t.Helper()
		review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: h.text, Audiences: audiences}}
		answer, err := clients(t, testenv.Config(t)).AuthenticationV1().TokenReviews().Create(t.Context(), review, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return answer.Status
	}
	got := ask("shop-api", "billing-api")
	if !got.Authenticated || !slices.Equal(got.Audiences, []string{"billing-api"}) {
		t.Errorf("for billing-api: %+v, want exactly that audience", got)
	}
	if scopes := got.User.Extra[v1alpha1.ExtraScopes]; !slices.Equal(scopes, []string{"invoices:read"}) {
		t.Errorf("scopes for billing-api = %v", scopes)
	}
	if got := ask("shop-api"); got.Authenticated {
		t.Errorf("for shop-api: %+v, want no", got)
	}
	if got := ask(); !got.Authenticated || !slices.Equal(got.Audiences, []string{"https://kubernetes.default.svc"}) {
		t.Errorf("for nobody named: %+v, want the API server's own audience", got)
	}
}

func TestATokenThatTheWatchHasNotToldOfIsGoodOnceItHas(t *testing.T) {
	namespace := testenv.Namespace(t)
	the.ready(t)
	declared := &v1alpha1.AccessToken{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "early"}}
	if err := admin(t).Create(t.Context(), declared); err != nil {
		t.Fatal(err)
	}
	record, text := mint.Default().Declared(t, declared, clock.RealClock{}.Now(), mint.Audiences(forKubernetes...))
	h := newHolder(t, text, record)
	who := func() error {
		return second(h.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{}))
	}
	if err := who(); !apierrors.IsUnauthorized(err) {
		t.Fatalf("before its record is there: %v, want unauthorized", err)
	}
	if err := admin(t).Create(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	eventually(t, who)
}

func TestARevokedTokenIsRefusedWithinTheCachesTime(t *testing.T) {
	namespace := testenv.Namespace(t)
	h := issue(t, namespace, "revoked", forKubernetes, nil)
	who := func() error {
		return second(h.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{}))
	}
	if err := who(); err != nil {
		t.Fatal(err)
	}
	now := clock.RealClock{}.Now()
	before := h.record.DeepCopy()
	h.record.Status.RevokedAt = v1alpha1.NewTimestamp(now)
	if err := admin(t).Status().Patch(t.Context(), h.record, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if err := who(); err == nil {
			return errStillAccepted
		}
		return nil
	})
	took := clock.RealClock{}.Since(now)
	t.Logf("refused %s after its revocation", took.Round(100*time.Millisecond))
	if err := who(); !apierrors.IsUnauthorized(err) {
		t.Errorf("after its revocation: %v, want unauthorized", err)
	}
	// A second for the watch, and one for a machine that is busy.
	if most := tokenCacheTTL + secondCache + 2*time.Second; took > most {
		t.Errorf("refused %s after its revocation, want within %s", took, most)
	}
}

func TestWithoutAVerifierTokensAreRefusedAndAllElseWorks(t *testing.T) {
	namespace := testenv.Namespace(t)
	known := issue(t, namespace, "known", forKubernetes, nil)
	known.allow(t)
	eventually(t, func() error { return second(known.CoreV1().ConfigMaps(namespace).List(t.Context(), always)) })
	fresh := issue(t, namespace, "fresh", forKubernetes, nil)
	var account *rest.Config
	eventually(t, func() (err error) { // it is made a moment after its namespace
		account, err = testenv.ControlPlane(t).ServiceAccountConfig(t.Context(), namespace, "default")
		return err
	})
	the.stop(t)
	defer the.serve(t)
	if err := second(fresh.CoreV1().Pods(namespace).List(t.Context(), always)); !apierrors.IsUnauthorized(err) {
		t.Errorf("a token that nobody can check: %v, want unauthorized", err)
	}
	// Its user is known to kube-apiserver for a while yet; what it may do is not,
	// which is a 500.
	if err := second(known.CoreV1().ServiceAccounts(namespace).List(t.Context(), always)); !apierrors.IsInternalError(err) && !apierrors.IsUnauthorized(err) {
		t.Errorf("a request that nobody can check: %v, want an internal error or unauthorized", err)
	}
	if err := second(clients(t, testenv.Config(t)).CoreV1().Secrets(namespace).List(t.Context(), always)); err != nil {
		t.Errorf("an administrator: %v", err)
	}
	review := &authenticationv1.SelfSubjectReview{}
	who, err := clients(t, account).AuthenticationV1().SelfSubjectReviews().Create(t.Context(), review, metav1.CreateOptions{})
	if err != nil || who.Status.UserInfo.Username != "system:serviceaccount:"+namespace+":default" {
		t.Errorf("a service account: %v, %v", who, err)
	}
}
