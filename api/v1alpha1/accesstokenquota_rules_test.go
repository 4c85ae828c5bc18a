package v1alpha1_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

func accessTokenQuota(name string) *v1alpha1.AccessTokenQuota {
	return &v1alpha1.AccessTokenQuota{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
}

var _ = Describe("AccessTokenQuota", func() {
	It("is one in a namespace", func(ctx SpecContext) {
		Expect(admin.Create(ctx, accessTokenQuota(v1alpha1.AccessTokenQuotaName))).To(Succeed())
		err := admin.Create(ctx, accessTokenQuota("more"))
		expectRefused(err, "metadata", "a namespace has one AccessTokenQuota, which is named tokens")
	})

	It("begins without places, whatever is written beside it", func(ctx SpecContext) {
		quota := accessTokenQuota(v1alpha1.AccessTokenQuotaName)
		quota.Status = v1alpha1.AccessTokenQuotaStatus{Used: 1, Hard: 5, Holders: []v1alpha1.PlaceHolder{{UID: "u", Name: "ci", GrantedAt: "2026-11-24T09:00:00Z"}}}
		Expect(admin.Create(ctx, quota)).To(Succeed())
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(quota), quota)).To(Succeed())
		Expect(quota.Status).To(BeZero())
	})

	It("keeps who holds a place, in order", func(ctx SpecContext) {
		quota := accessTokenQuota(v1alpha1.AccessTokenQuotaName)
		Expect(admin.Create(ctx, quota)).To(Succeed())
		holders := []v1alpha1.PlaceHolder{
			{UID: "u2", Name: "nightly", GrantedAt: "2026-11-24T09:00:00Z", Subject: "ServiceAccount/deployer"},
			{UID: "u1", Name: "ci", GrantedAt: "2026-11-24T09:00:00Z"},
		}
		quota.Status = v1alpha1.AccessTokenQuotaStatus{Used: 2, Hard: 5, HardPerSubject: 1, Holders: holders, GrantsFrom: "2026-11-24T09:01:00Z"}
		Expect(admin.Status().Update(ctx, quota)).To(Succeed())
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(quota), quota)).To(Succeed())
		Expect(quota.Status.Holders).To(Equal(holders))
		Expect(quota.Status.GrantsFrom).To(BeEquivalentTo("2026-11-24T09:01:00Z"))
	})
})
