package v1alpha1_test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// object is a JSON object.
type object = map[string]any

const recordID = "abcdefgh234567ab"

func tokenRecord() *v1alpha1.TokenRecord {
	record := &v1alpha1.TokenRecord{Spec: v1alpha1.TokenRecordSpec{
		AccessTokenName: "ci",
		AccessTokenUID:  "7f0a7d9e-6f55-4d5b-8f0e-6d2ad1fdbb11",
		Revision:        1,
		Origin:          v1alpha1.OriginDeclared,
		Subject: v1alpha1.Subject{
			Kind: v1alpha1.SubjectKindAccessToken, Name: "accesstoken:ns:ci",
			UID: "7f0a7d9e-6f55-4d5b-8f0e-6d2ad1fdbb11", Groups: []string{"accesstokens", "accesstokens:ns"},
		},
		Scopes:        []string{"deploy:shop"},
		Audiences:     []string{"kubernetes"},
		AllowedCIDRs:  []v1alpha1.CIDR{"10.0.0.0/8"},
		IssuedAt:      "2026-11-24T09:00:00Z",
		MaxAgeSeconds: ptr.To(int64(2592000)),
		NotAfter:      "2026-12-24T09:00:00Z",
		Creator:       &v1alpha1.Creator{Username: "maria", UID: "42"},
		KeyID:         "k1",
		Hash:          strings.Repeat("0f", 32),
		Seal:          strings.Repeat("0f", 32),
	}}
	record.Namespace, record.Name = namespace, recordID
	return record
}

var _ = Describe("TokenRecord", func() {
	DescribeTable("refuses an edit of what was issued, even an administrator's", func(ctx SpecContext, spec object) {
		Expect(admin.Create(ctx, tokenRecord())).To(Succeed())
		err := admin.Patch(ctx, tokenRecord(), merge(object{"spec": spec}))
		expectRefused(err, "spec", "a record cannot be changed: declare a new AccessToken, or request a rotation")
	},
		Entry("more scopes", object{"scopes": []string{"deploy:shop", "admin"}}),
		Entry("no scopes", object{"scopes": nil}),
		Entry("from anywhere", object{"allowedCIDRs": nil}),
		Entry("for anybody", object{"audiences": nil}),
		Entry("a longer age", object{"maxAgeSeconds": 31536000}),
		Entry("no age", object{"maxAgeSeconds": nil}),
		Entry("a later end", object{"notAfter": "2030-01-01T00:00:00Z"}),
		Entry("extended when used", object{"extendWhenUsed": true}),
		Entry("another hash", object{"hash": strings.Repeat("1e", 32)}),
		Entry("another principal", object{"subject": object{"name": "accesstoken:ns:admin"}}),
		Entry("another creator", object{"creator": nil}),
	)

	DescribeTable("refuses to give power back, even to an administrator", func(ctx SpecContext, before object, after object, message string) {
		Expect(admin.Create(ctx, tokenRecord())).To(Succeed())
		Expect(admin.Status().Patch(ctx, tokenRecord(), merge(before))).To(Succeed())
		err := admin.Status().Patch(ctx, tokenRecord(), merge(after))
		expectRefused(err, "status", message)
	},
		Entry("by un-revoking", revoked, object{"status": object{"revokedAt": nil}}, "status.revokedAt cannot be unset or moved: a revoked token stays revoked, ask for a new one"),
		Entry("by revoking later", revoked, object{"status": object{"revokedAt": "2026-12-01T00:00:00Z"}}, "status.revokedAt cannot be unset or moved"),
		Entry("by revoking earlier, to hide when it was", revoked, object{"status": object{"revokedAt": "2026-11-24T00:00:00Z"}}, "status.revokedAt cannot be unset or moved"),
		Entry("by no status at all after a revocation", revoked, object{"status": nil}, "status.revokedAt cannot be unset or moved"),
		Entry("by a later end", ended, object{"status": object{"expiresAt": "2026-11-25T09:00:01Z"}}, "status.expiresAt can only move earlier"),
		Entry("by no end", ended, object{"status": object{"expiresAt": nil}}, "status.expiresAt can only move earlier"),
		Entry("by no status at all after an end", ended, object{"status": nil}, "status.expiresAt can only move earlier"),
		Entry("by a greater age", capped, object{"status": object{"maxAgeSeconds": 3601}}, "status.maxAgeSeconds can only shrink"),
		Entry("by no age", capped, object{"status": object{"maxAgeSeconds": nil}}, "status.maxAgeSeconds can only shrink"),
		Entry("by an earlier use, to hide the later one", used, object{"status": object{"lastUsedAt": "2026-11-24T09:29:59.999999Z"}}, "status.lastUsedAt can only move later"),
		Entry("by no use", used, object{"status": object{"lastUsedAt": nil}}, "status.lastUsedAt can only move later"),
		Entry("by no status at all after a use", used, object{"status": nil}, "status.lastUsedAt can only move later"),
		Entry("by no status at all after a cap", capped, object{"status": nil}, "status.maxAgeSeconds can only shrink"),
	)

	DescribeTable("takes power away", func(ctx SpecContext, steps ...object) {
		Expect(admin.Create(ctx, tokenRecord())).To(Succeed())
		for _, step := range steps {
			Expect(admin.Status().Patch(ctx, tokenRecord(), merge(step))).To(Succeed())
		}
	},
		Entry("by revoking", revoked),
		Entry("by revoking what had an end", ended, revoked),
		Entry("by an end, then an earlier one", ended, object{"status": object{"expiresAt": "2026-11-24T10:00:00.5Z"}}),
		Entry("by a cap, then a lower one", capped, object{"status": object{"maxAgeSeconds": 1}}),
		Entry("again, which changes nothing", revoked, revoked),
	)

	DescribeTable("notes its use", func(ctx SpecContext, steps ...object) {
		Expect(admin.Create(ctx, tokenRecord())).To(Succeed())
		for _, step := range steps {
			Expect(admin.Status().Patch(ctx, tokenRecord(), merge(step))).To(Succeed())
		}
	},
		Entry("once", used),
		Entry("later again, a microsecond at least", used, object{"status": object{"lastUsedAt": "2026-11-24T09:30:00.000001Z"}}),
		Entry("at the same moment again, from elsewhere", used, object{"status": object{"lastUsedAt": "2026-11-24T09:30:00Z", "lastUsedFrom": "10.0.0.2"}}),
		Entry("after it was revoked, which brings nothing back", revoked, used),
		Entry("as long as the texts may be", object{"status": object{
			"lastUsedAt": "2026-11-24T09:30:00Z", "lastUsedFrom": strings.Repeat("f", 45),
			"lastUserAgent": strings.Repeat("x", 256), "lastUsedFor": strings.Repeat("x", 300),
		}}),
	)

	DescribeTable("refuses a status that means nothing", func(ctx SpecContext, status object, field, message string) {
		Expect(admin.Create(ctx, tokenRecord())).To(Succeed())
		err := admin.Status().Patch(ctx, tokenRecord(), merge(object{"status": status}))
		Expect(err).To(MatchError(And(ContainSubstring(field), ContainSubstring(message))))
	},
		Entry("revoked at no instant", object{"revokedAt": "now"}, "status.revokedAt", "should match"),
		Entry("revoked on a day that does not exist", object{"revokedAt": "2026-02-30T00:00:00Z"}, "status.revokedAt", "must be of type date-time"),
		Entry("ending at no instant", object{"expiresAt": "2026-11-24"}, "status.expiresAt", "should match"),
		Entry("ending on a day that does not exist", object{"expiresAt": "2026-02-30T00:00:00Z"}, "status.expiresAt", "must be of type date-time"),
		Entry("used at no instant", object{"lastUsedAt": "2026-11-24T09:30:00+02:00"}, "status.lastUsedAt", "should match"),
		Entry("used on a day that does not exist", object{"lastUsedAt": "2026-02-30T00:00:00Z"}, "status.lastUsedAt", "must be of type date-time"),
		Entry("used from an address that is too long", object{"lastUsedFrom": strings.Repeat("f", 46)}, "status.lastUsedFrom", "may not be more than 45"),
		Entry("used by an agent that is too long a text", object{"lastUserAgent": strings.Repeat("x", 257)}, "status.lastUserAgent", "may not be more than 256"),
		Entry("used for what is too long a text", object{"lastUsedFor": strings.Repeat("x", 301)}, "status.lastUsedFor", "may not be more than 300"),
		Entry("for an unknown reason", object{"reason": "Because"}, "status.reason", "supported values"),
		Entry("with no age", object{"maxAgeSeconds": 0}, "status.maxAgeSeconds", "should be greater than or equal to 1"),
	)

	DescribeTable("refuses what no token could be", func(ctx SpecContext, spec object, field, message string) {
		record := &unstructured.Unstructured{}
		content, err := toUnstructured(tokenRecord())
		Expect(err).NotTo(HaveOccurred())
		record.Object = content
		for name, value := range spec {
			Expect(unstructured.SetNestedField(record.Object, value, append([]string{"spec"}, strings.Split(name, ".")...)...)).To(Succeed())
		}
		expectRefused(admin.Create(ctx, record, client.DryRunAll), field, message)
	},
		Entry("an unknown origin", object{"origin": "Found"}, "spec.origin", `supported values: "Declared"`),
		Entry("an unknown kind of subject", object{"subject.kind": "Group"}, "spec.subject.kind", `supported values: "AccessToken"`),
		Entry("a subject without a name", object{"subject.name": ""}, "spec.subject.name", "at least 1 chars long"),
		Entry("a subject in an empty list of groups", object{"subject.groups": []any{}}, "spec.subject.groups", "should have at least 1 items"),
		Entry("revision 0", object{"revision": int64(0)}, "spec.revision", "greater than or equal to 1"),
		Entry("no age", object{"maxAgeSeconds": int64(0)}, "spec.maxAgeSeconds", "greater than or equal to 1"),
		Entry("no scope in the list", object{"scopes": []any{}}, "spec.scopes", "should have at least 1 items"),
		Entry("no audience in the list", object{"audiences": []any{}}, "spec.audiences", "should have at least 1 items"),
		Entry("no network in the list", object{"allowedCIDRs": []any{}}, "spec.allowedCIDRs", "should have at least 1 items"),
		Entry("no key", object{"keyID": ""}, "spec.keyID", "at least 1 chars long"),
		Entry("a hash that is too long", object{"hash": strings.Repeat("a", 65)}, "spec.hash", "may not be more than 64"),
		Entry("a hash in other letters", object{"hash": strings.Repeat("0F", 32)}, "spec.hash", "should match"),
		Entry("a seal in other letters", object{"seal": strings.Repeat("zz", 32)}, "spec.seal", "should match"),
		Entry("a seal that is too long", object{"seal": strings.Repeat("a", 65)}, "spec.seal", "may not be more than 64"),
		Entry("a creator without a name", object{"creator.username": ""}, "spec.creator.username", "at least 1 chars long"),
	)

	It("is found by the AccessToken that it was issued for", func(ctx SpecContext) {
		Expect(admin.Create(ctx, tokenRecord())).To(Succeed())
		var found v1alpha1.TokenRecordList
		Expect(admin.List(ctx, &found, client.InNamespace(namespace), client.MatchingFields{
			"spec.accessTokenUID": tokenRecord().Spec.AccessTokenUID, "spec.origin": "Declared",
		})).To(Succeed())
		Expect(found.Items).To(HaveLen(1))
		Expect(found.Items[0].Spec).To(Equal(tokenRecord().Spec), "typed round trip")
	})
})

var (
	revoked = object{"status": object{"revokedAt": "2026-11-24T09:30:00Z", "reason": "Revoked"}}
	ended   = object{"status": object{"expiresAt": "2026-11-25T09:00:00Z", "reason": "Superseded"}}
	capped  = object{"status": object{"maxAgeSeconds": 3600}}
	used    = object{"status": object{"lastUsedAt": "2026-11-24T09:30:00Z", "lastUsedFrom": "10.0.0.1", "lastUserAgent": "curl/8.14.1", "lastUsedFor": "ForwardAuth git.example.com"}}
)
