package main

import (
	"testing"
	"time"

	"github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/keys"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// TestKeysRotateAndAreDropped leads tokens of every kind through a rotation of
// the key, and then through the loss of one key on purpose.
func TestKeysRotateAndAreDropped(t *testing.T) {
	g := gomega.NewWithT(t)
	admin := adminClient(t)
	readyManager(t)
	namespace := testenv.Namespace(t)
	declareMany(t, namespace, "early", 3, v1alpha1.AccessTokenSpec{MaxAge: "1h"})
	ended := declareEnded(t, namespace)
	awaitAll(t, v1alpha1.ReasonIssued, client.InNamespace(namespace), client.MatchingLabels{"ended": ""})
	before := secretOf(t, keySecretKey)

	newest := requestKey(t)
	g.Expect(before.Data).NotTo(gomega.HaveKey(newest))
	for id, material := range before.Data {
		g.Expect(secretOf(t, keySecretKey).Data).To(gomega.HaveKeyWithValue(id, material), "earlier keys stay")
	}
	g.Eventually(func() int { return len(keySecretEvents(t, "KeyRotated")) }).WithTimeout(soon).Should(gomega.BeNumerically(">=", 1))

	late := declare(t, namespace, "late", v1alpha1.AccessTokenSpec{MaxAge: "1h"})
	awaitReason(t, late, v1alpha1.ReasonIssued)
	sealedWith := keysOfRecords(t, namespace)
	tokens := allTokens(t, client.InNamespace(namespace))
	for key, at := range tokens {
		if key == late {
			g.Expect(sealedWith[at.Status.TokenID]).To(gomega.Equal(newest))
		} else {
			g.Expect(before.Data).To(gomega.HaveKey(sealedWith[at.Status.TokenID]))
		}
		if !ended[key] {
			g.Expect(verify(t.Context(), admin, key)).To(gomega.Succeed())
		}
	}

	drop(t, before.Data)
	replaced := func(key client.ObjectKey) bool { return key != late && !ended[key] }
	for key, at := range tokens {
		if replaced(key) {
			g.Eventually(func() string { return tokenOf(t, key).Status.TokenID }).WithTimeout(soon).WithPolling(often).ShouldNot(gomega.Equal(at.Status.TokenID))
		}
	}
	g.Consistently(func(g gomega.Gomega) {
		for key, at := range allTokens(t, client.InNamespace(namespace)) {
			revisions := at.Status.Revision - tokens[key].Status.Revision
			g.Expect(revisions > 0).To(gomega.Equal(replaced(key)), "%s is %s, %d revisions later", key, reason(at), revisions)
			g.Expect(revisions).To(gomega.BeNumerically("<=", 1), "%s", key)
			if !ended[key] {
				g.Expect(verify(t.Context(), admin, key)).To(gomega.Succeed(), "%s", key)
			}
		}
	}).WithTimeout(aWhile).WithPolling(5 * often).Should(gomega.Succeed())
}

// declareEnded declares tokens that end in each way.
func declareEnded(t *testing.T, namespace string) map[client.ObjectKey]bool {
	t.Helper()
	expired := declare(t, namespace, "expired", v1alpha1.AccessTokenSpec{MaxAge: "2s"})
	suspended := declare(t, namespace, "suspended", v1alpha1.AccessTokenSpec{})
	revoked := declare(t, namespace, "revoked", v1alpha1.AccessTokenSpec{})
	for _, key := range []client.ObjectKey{suspended, revoked} {
		awaitReason(t, key, v1alpha1.ReasonIssued)
	}
	edit(t, suspended, func(at *v1alpha1.AccessToken) { at.Spec.State = v1alpha1.StateSuspended })
	edit(t, revoked, func(at *v1alpha1.AccessToken) { at.Spec.State = v1alpha1.StateRevoked })
	awaitReason(t, suspended, v1alpha1.ReasonSuspended)
	awaitReason(t, revoked, v1alpha1.ReasonRevoked)
	awaitReason(t, expired, v1alpha1.ReasonExpired)
	return map[client.ObjectKey]bool{expired: true, suspended: true, revoked: true}
}

// requestKey asks for a new key by annotation and returns its ID.
func requestKey(t *testing.T) string {
	t.Helper()
	g := gomega.NewWithT(t)
	secret := secretOf(t, keySecretKey)
	known := len(secret.Data)
	// With a fraction: an ID tells whole seconds, and one request adds one key.
	requested := time.Now().UTC().Add(time.Second).Truncate(time.Second).Add(500 * time.Millisecond)
	secret.Annotations = map[string]string{keys.AnnotationRotateRequestedAt: requested.Format(time.RFC3339Nano)}
	g.Expect(adminClient(t).Update(t.Context(), secret)).To(gomega.Succeed())
	g.Eventually(func() map[string][]byte { return secretOf(t, keySecretKey).Data }).WithTimeout(soon).WithPolling(often).Should(gomega.HaveLen(known + 1))
	g.Consistently(func() map[string][]byte { return secretOf(t, keySecretKey).Data }).WithTimeout(aWhile / 2).WithPolling(often).Should(gomega.HaveLen(known + 1))
	newest := ""
	for id := range secretOf(t, keySecretKey).Data {
		newest = max(newest, id)
	}
	return newest
}

// drop takes keys out of the key Secret, as one does with those that may be in
// other hands.
func drop(t *testing.T, compromised map[string][]byte) {
	t.Helper()
	secret := secretOf(t, keySecretKey)
	for id := range compromised {
		delete(secret.Data, id)
	}
	if err := adminClient(t).Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
}

// keysOfRecords tells with which key each record was sealed.
func keysOfRecords(t *testing.T, namespace string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, r := range recordsOf(t, client.InNamespace(namespace)) {
		found[r.Name] = r.Spec.KeyID
	}
	return found
}
