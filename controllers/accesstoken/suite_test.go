package accesstoken_test

import (
	"context"
	"os"
	"testing"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/controllers"
	"github.com/accesstoken-dev/accesstoken-operator/internal/index"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

func TestAccessToken(t *testing.T) {
	gomega.RegisterFailHandler(ginkgo.Fail)
	ginkgo.RunSpecs(t, "controllers/accesstoken")
}

// What all specs share: an administrator's client without a cache, and two
// cached clients with the manager's rights, as two replicas have them.
var (
	admin    client.Client
	replicas [2]client.Client
	caches   [2]cache.Cache
	live     client.Client
)

var _ = ginkgo.BeforeSuite(func() {
	t := ginkgo.GinkgoT()
	scheme := runtime.NewScheme()
	gomega.Expect(clientgoscheme.AddToScheme(scheme)).To(gomega.Succeed())
	gomega.Expect(v1alpha1.AddToScheme(scheme)).To(gomega.Succeed())

	var err error
	admin, err = client.New(testenv.Config(t), client.Options{Scheme: scheme})
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	manager := testenv.ManagerConfig(t)
	live, err = client.New(manager, client.Options{Scheme: scheme})
	gomega.Expect(err).NotTo(gomega.HaveOccurred())

	ctx, cancel := context.WithCancel(context.Background())
	ginkgo.DeferCleanup(cancel)
	for i := range replicas {
		replicas[i], caches[i] = startReplica(ctx, manager, scheme)
	}
})

// startReplica starts the cache of one manager and returns its client with it.
func startReplica(ctx context.Context, manager *rest.Config, scheme *runtime.Scheme) (client.Client, cache.Cache) {
	replica, err := cluster.New(manager, func(o *cluster.Options) {
		o.Scheme = scheme
		o.Client = controllers.ClientOptions()
		o.Cache = controllers.CacheOptions()
	})
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	gomega.Expect(index.Setup(ctx, replica.GetFieldIndexer())).To(gomega.Succeed())
	// What the controller watches is there from the start, as in a manager.
	for _, kind := range []string{"Namespace", "ServiceAccount"} {
		metadata := &metav1.PartialObjectMetadata{}
		metadata.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kind))
		_, err := replica.GetCache().GetInformer(ctx, metadata)
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
	}
	_, err = replica.GetCache().GetInformer(ctx, &v1alpha1.AccessTokenPolicy{})
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	go func() {
		defer ginkgo.GinkgoRecover()
		gomega.Expect(replica.Start(ctx)).To(gomega.Succeed())
	}()
	gomega.Expect(replica.GetCache().WaitForCacheSync(ctx)).To(gomega.BeTrue())
	return replica.GetClient(), replica.GetCache()
}

// secretsOf lists the Secrets of a namespace, content and all.
func secretsOf(ctx context.Context, namespace string) []corev1.Secret {
	list := &corev1.SecretList{}
	gomega.Expect(admin.List(ctx, list, client.InNamespace(namespace))).To(gomega.Succeed())
	return list.Items
}
