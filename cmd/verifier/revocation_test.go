package main

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/revocation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// quiet is longer than a token is awaited that takes the place of a revoked one.
const quiet = 4 * time.Second

// asOwner is a client of somebody who may edit the tokens of a namespace.
func asOwner(t *testing.T, namespace string) client.Client {
	t.Helper()
	const owner = "owner"
	createOnce(t, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: owner},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "accesstoken-editor"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: owner}},
	})
	config := testenv.Config(t)
	config.Impersonate.UserName, config.Impersonate.Groups = owner, []string{"system:authenticated"}
	owned, err := client.New(config, client.Options{Scheme: adminClient(t).Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	// The authorizer reads bindings from a watch.
	gomega.NewWithT(t).Eventually(func() error {
		return owned.List(t.Context(), &v1alpha1.TokenRevocationList{}, client.InNamespace(namespace))
	}).WithTimeout(soon).WithPolling(often).Should(gomega.Succeed())
	return owned
}

// revoking makes a TokenRevocation.
func revoking(t *testing.T, namespace, name string, spec v1alpha1.RevocationSpec) *v1alpha1.TokenRevocation {
	t.Helper()
	made := &v1alpha1.TokenRevocation{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.TokenRevocationSpec{RevocationSpec: spec},
	}
	if err := adminClient(t).Create(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	return made
}

// revokingWide makes a ClusterTokenRevocation, until the test ends.
func revokingWide(t *testing.T, name, namespace string, spec v1alpha1.RevocationSpec) *v1alpha1.ClusterTokenRevocation {
	t.Helper()
	made := &v1alpha1.ClusterTokenRevocation{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1alpha1.ClusterTokenRevocationSpec{Namespace: namespace, RevocationSpec: spec},
	}
	if err := adminClient(t).Create(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := adminClient(t).Delete(context.WithoutCancel(t.Context()), made); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
	return made
}

// awaitRevoked waits until a revocation says that it is done, and returns how many
// tokens it counts.
func awaitRevoked(t *testing.T, object client.Object, status *v1alpha1.RevocationStatus) (revoked int64) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func(g gomega.Gomega) {
		g.Expect(adminClient(t).Get(t.Context(), client.ObjectKeyFromObject(object), object)).To(gomega.Succeed())
		g.Expect(meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReady)).To(gomega.BeTrue(), "%+v", status)
	}).WithTimeout(soon).WithPolling(often).Should(gomega.Succeed())
	return *status.Revoked
}

// nextSecond waits until a second has begun in which a revocation that was made
// before voids nothing any more.
func nextSecond(t *testing.T, revocation client.Object) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func() bool {
		return time.Now().After(revocation.GetCreationTimestamp().Add(time.Second))
	}).WithTimeout(soon).WithPolling(often).Should(gomega.BeTrue())
}

func TestARevocationIsInForceEverywhereWithinASecondWithoutAManager(t *testing.T) {
	verifiers := []*process{}
	var mine, others []issued
	namespace, elsewhere := testenv.Namespace(t), testenv.Namespace(t)
	t.Run("with a manager", func(t *testing.T) { // which ends with this part
		startManager(t)
		mine = issueMany(t, namespace, "mine", endings, v1alpha1.AccessTokenSpec{})
		others = issueMany(t, elsewhere, "mine", 2, v1alpha1.AccessTokenSpec{})
	})
	verifiers = append(verifiers, startVerifier(t, "revoking-a"), startVerifier(t, "revoking-b"))
	for _, i := range append(mine, others...) {
		for _, v := range verifiers {
			v.awaitUse(t, i.text, http.StatusOK)
		}
	}
	var took []time.Duration
	var made *v1alpha1.TokenRevocation
	for n, i := range mine[1:] {
		took = append(took, untilRefused(t, verifiers, i, func() {
			made = revoking(t, namespace, i.key.Name, v1alpha1.RevocationSpec{
				Subject: &v1alpha1.RevokedSubject{Kind: v1alpha1.RevokedAccessToken, Name: i.key.Name}, Reason: "for a test",
			})
		})...)
		if n == 0 && i.record(t).Status.RevokedAt != "" {
			t.Fatal("somebody wrote the record: a manager runs")
		}
	}
	expectPrompt(t, took)

	t.Log("what it does not name goes on")
	for _, i := range append([]issued{mine[0]}, others...) {
		for _, v := range verifiers {
			v.awaitUse(t, i.text, http.StatusOK)
		}
	}
	t.Log("nobody takes it back meanwhile, whatever rights in the namespace they have")
	if err := asOwner(t, namespace).Delete(t.Context(), made); !apierrors.IsForbidden(err) {
		t.Errorf("deleted before it was written into the records: %v", err)
	}
	late := startVerifier(t, "revoking-late")
	if status := late.use(t, mine[1].text); status != http.StatusUnauthorized {
		t.Errorf("a verifier that started later answers %d", status)
	}
	took = untilRefused(t, verifiers, mine[0], func() { made = revoking(t, namespace, "all", v1alpha1.RevocationSpec{All: true}) })
	expectPrompt(t, took)
	for _, v := range verifiers {
		v.awaitUse(t, others[0].text, http.StatusOK)
	}

	t.Log("then a manager comes, and it can be deleted")
	startManager(t)
	awaitRevoked(t, made, &made.Status)
	if err := asOwner(t, namespace).Delete(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	again := startVerifier(t, "revoking-again")
	for _, i := range mine {
		if rec := i.record(t); rec.Status.Reason != v1alpha1.EndReasonCutOff || rec.Status.RevokedBy == "" {
			t.Errorf("record of AccessToken %s: %+v", i.key, rec.Status)
		}
		for _, v := range append(verifiers, again, late) {
			if status := v.use(t, i.text); status != http.StatusUnauthorized {
				t.Errorf("%s answers %d for a revoked token", v.Name(), status)
			}
		}
	}
}

// TestTooManyRevocationsEndTheTokensOfTheirNamespaceAlone has an owner make one more
// than count one by one, none of which names a token.
func TestTooManyRevocationsEndTheTokensOfTheirNamespaceAlone(t *testing.T) {
	g, namespace := gomega.NewWithT(t), testenv.Namespace(t)
	var mine, other issued
	t.Run("with a manager", func(t *testing.T) { // which ends with this part
		startManager(t)
		mine = issue(t, namespace, "mine", v1alpha1.AccessTokenSpec{})
		other = issue(t, testenv.Namespace(t), "other", v1alpha1.AccessTokenSpec{})
	})
	verifiers := []*process{startVerifier(t, "crowded")}
	none := v1alpha1.RevocationSpec{TokenIDs: []string{"abcdefgh234567ab"}}
	owner := asOwner(t, namespace)
	t.Cleanup(func() { // other tests have the same control plane
		err := adminClient(t).DeleteAllOf(context.WithoutCancel(t.Context()), &v1alpha1.TokenRevocation{}, client.InNamespace(namespace))
		if err != nil {
			t.Error(err)
		}
	})
	var group errgroup.Group
	group.SetLimit(16)
	for i := range revocation.MostOfNamespace {
		group.Go(func() error {
			return owner.Create(t.Context(), &v1alpha1.TokenRevocation{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("many-%d", i)},
				Spec:       v1alpha1.TokenRevocationSpec{RevocationSpec: none},
			})
		})
	}
	g.Expect(group.Wait()).To(gomega.Succeed())
	verifiers[0].awaitUse(t, mine.text, http.StatusOK)
	expectPrompt(t, untilRefused(t, verifiers, mine, func() { revoking(t, namespace, "one-more", none) }))
	late := startVerifier(t, "crowded-late")
	for _, v := range append(verifiers, late) {
		v.awaitUse(t, other.text, http.StatusOK)
		if status := v.use(t, mine.text); status != http.StatusUnauthorized {
			t.Errorf("%s answers %d", v.Name(), status)
		}
	}

	t.Log("then a manager comes, and writes it down")
	startManager(t)
	g.Eventually(func() v1alpha1.EndReason { return mine.record(t).Status.Reason }).WithTimeout(time.Minute).WithPolling(often).Should(gomega.Equal(v1alpha1.EndReasonCutOff))
	if status := other.record(t).Status; status.RevokedAt != "" {
		t.Errorf("elsewhere: %+v", status)
	}
}

func TestARevocationForTheFutureReachesNothingThatIsYetToBeMade(t *testing.T) {
	startManager(t)
	v := startVerifier(t, "future")
	namespace := testenv.Namespace(t)
	before := issue(t, namespace, "before", v1alpha1.AccessTokenSpec{})
	v.awaitUse(t, before.text, http.StatusOK)
	made := revokingWide(t, namespace, namespace, v1alpha1.RevocationSpec{Before: "2999-01-01T00:00:00Z", Reissue: true})
	v.awaitUse(t, before.text, http.StatusUnauthorized)
	nextSecond(t, made)
	after := issue(t, namespace, "after", v1alpha1.AccessTokenSpec{})
	v.awaitUse(t, after.text, http.StatusOK)
	if revoked := awaitRevoked(t, made, &made.Status); revoked != 1 || made.Status.EffectiveBefore != v1alpha1.NewTimestamp(made.CreationTimestamp.Time) {
		t.Errorf("%d are revoked, up to %s, created %s", revoked, made.Status.EffectiveBefore, made.CreationTimestamp)
	}
	t.Log("what was made in the place of the first stays")
	var again issued
	gomega.NewWithT(t).Eventually(func(g gomega.Gomega) {
		again = tokenIn(t, before.key)
		g.Expect(again.text).NotTo(gomega.Equal(before.text))
		g.Expect(adminClient(t).Get(t.Context(), client.ObjectKeyFromObject(made), made)).To(gomega.Succeed())
		g.Expect(made.Status.Reissued).To(gomega.HaveValue(gomega.BeEquivalentTo(1)))
	}).WithTimeout(soon).WithPolling(often).Should(gomega.Succeed())
	v.awaitUse(t, again.text, http.StatusOK)
	gomega.NewWithT(t).Consistently(func() string { return tokenIn(t, before.key).text }).
		WithTimeout(quiet).WithPolling(often).Should(gomega.Equal(again.text))
	if rec := again.record(t); rec.Spec.Revision != 2 {
		t.Errorf("revision %d", rec.Spec.Revision)
	}
}

func TestWithoutReissueATokenComesBackWhenAPersonAsks(t *testing.T) {
	startManager(t)
	v := startVerifier(t, "asked")
	namespace := testenv.Namespace(t)
	i := issue(t, namespace, "deploy", v1alpha1.AccessTokenSpec{})
	made := revoking(t, namespace, "leak", v1alpha1.RevocationSpec{TokenIDs: []string{i.id(t)}, Reason: "it was in a log"})
	at := awaitReason(t, i.key, v1alpha1.ReasonCutOff)
	for kind, status := range map[string]metav1.ConditionStatus{
		v1alpha1.ConditionReady: metav1.ConditionFalse, v1alpha1.ConditionValid: metav1.ConditionFalse, v1alpha1.ConditionStalled: metav1.ConditionTrue,
	} {
		condition := meta.FindStatusCondition(at.Status.Conditions, kind)
		if condition == nil || condition.Status != status || condition.Reason != v1alpha1.ReasonCutOff {
			t.Errorf("%s: %+v", kind, condition)
			continue
		}
		gomega.NewWithT(t).Expect(condition.Message).To(gomega.ContainSubstring(
			"token " + i.id(t) + " was revoked by TokenRevocation/leak: request a new one with the annotation accesstoken.dev/rotate-requested-at"))
	}
	awaitRevoked(t, made, &made.Status)
	nextSecond(t, made)
	edit(t, i.key, func(at *v1alpha1.AccessToken) {
		at.Annotations = map[string]string{v1alpha1.AnnotationRotateRequestedAt: string(v1alpha1.NewTimestamp(time.Now()))}
	})
	awaitReason(t, i.key, v1alpha1.ReasonIssued)
	v.awaitUse(t, tokenIn(t, i.key).text, http.StatusOK)
	if status := v.use(t, i.text); status != http.StatusUnauthorized {
		t.Errorf("the revoked one is answered with %d", status)
	}
}
