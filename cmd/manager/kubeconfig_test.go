package main

import (
	"strings"
	"testing"

	"github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// TestAKubeconfigTrustsTheAPIServerOfTheManager asks that API server for something.
// It knows no tokens, so it refuses; but it is asked, which it would not be if its
// certificate were not trusted.
func TestAKubeconfigTrustsTheAPIServerOfTheManager(t *testing.T) {
	g := gomega.NewWithT(t)
	readyManager(t)
	host := strings.TrimPrefix(testenv.Config(t).Host, "https://")
	key := declare(t, testenv.Namespace(t), "kubectl", v1alpha1.AccessTokenSpec{
		Audiences: []string{"kubernetes"}, Secret: &v1alpha1.SecretTemplate{Format: v1alpha1.SecretFormatKubeconfig, Servers: []string{host}},
	})
	awaitReason(t, key, v1alpha1.ReasonIssued)
	config, err := clientcmd.RESTConfigFromKubeConfig(secretOf(t, key).Data["kubeconfig"])
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(config.Insecure).To(gomega.BeFalse())
	g.Expect(config.BearerToken).To(gomega.MatchRegexp(tokenPattern.String()))

	theirs, err := client.New(config, client.Options{Scheme: adminClient(t).Scheme()})
	if err == nil {
		err = theirs.List(t.Context(), &v1alpha1.AccessTokenList{}, client.InNamespace(key.Namespace))
	}
	g.Expect(apierrors.IsUnauthorized(err)).To(gomega.BeTrue(), "asked: %v", err)
}
