package main

import (
	"testing"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

func TestDeletingTakesSecretAndRecordsAlong(t *testing.T) {
	g := gomega.NewWithT(t)
	m := readyManager(t)
	namespace := testenv.Namespace(t)
	key := declare(t, namespace, "token", v1alpha1.AccessTokenSpec{Rotation: &v1alpha1.Rotation{Interval: "1h"}})
	awaitReason(t, key, v1alpha1.ReasonIssued)

	output, err := kubectl(t, "delete", "accesstoken", key.Name, "-n", namespace, "--cascade=orphan")
	g.Expect(err).To(gomega.HaveOccurred(), output)
	g.Expect(output).To(gomega.ContainSubstring("leave the Secret and the records of an AccessToken behind"))
	g.Expect(tokenOf(t, key).DeletionTimestamp.IsZero()).To(gomega.BeTrue())

	output, err = kubectl(t, "delete", "accesstoken", key.Name, "-n", namespace)
	g.Expect(err).NotTo(gomega.HaveOccurred(), output)
	g.Eventually(func(g gomega.Gomega) {
		err := adminClient(t).Get(t.Context(), key, &corev1.Secret{})
		g.Expect(apierrors.IsNotFound(err)).To(gomega.BeTrue(), "the Secret: %v", err)
		g.Expect(recordsOf(t, client.InNamespace(namespace))).To(gomega.BeEmpty())
	}).WithTimeout(later).WithPolling(often).Should(gomega.Succeed())
	g.Expect(m.errorsLogged(t, 0)).To(gomega.BeEmpty())
}
