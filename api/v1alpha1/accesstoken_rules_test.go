package v1alpha1_test

import (
	"context"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// many writes a YAML list of n strings that begin with prefix.
func many(n int, prefix, suffix string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = `"` + prefix + strconv.Itoa(i) + suffix + `"`
	}
	return "[" + strings.Join(items, ",") + "]"
}

// texts writes a YAML map of n keys that all have this text.
func texts(n int, text string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = "key" + strconv.Itoa(i) + `: "` + text + `"`
	}
	return "{" + strings.Join(items, ", ") + "}"
}

var _ = Describe("AccessToken", func() {
	DescribeTable("takes a spec", func(ctx SpecContext, spec string) {
		Expect(admin.Create(ctx, accessToken("x", spec), client.DryRunAll)).To(Succeed())
	},
		Entry("with every default", `{}`),
		Entry("that is described", `{description: Déploie la boutique}`),
		Entry("with a description as long as it may be", `{description: "`+strings.Repeat("é", 256)+`"}`),
		Entry("with the shortest age", `{maxAge: 10m}`),
		Entry("with the longest age", `{maxAge: 87600h}`),
		Entry("with an age of several units", `{maxAge: 1h30m5s}`),
		Entry("that never expires", `{maxAge: Never}`),
		Entry("extended when used", `{extendWhenUsed: true}`),
		Entry("extended when used, from the shortest age on", `{maxAge: 10m, extendWhenUsed: true}`),
		Entry("extended when used, for as long as its age at most", `{maxAge: 720h, extendWhenUsed: true, maxLifetime: 720h}`),
		Entry("extended when used, under the default age", `{extendWhenUsed: true, maxLifetime: 2160h}`),
		Entry("extended when used, for as long as may be", `{maxAge: 720h, extendWhenUsed: true, maxLifetime: 87600h}`),
		Entry("that is said not to be extended", `{maxAge: Never, extendWhenUsed: false}`),
		Entry("extended when used, and rotated later than its age", `{maxAge: 720h, extendWhenUsed: true, maxLifetime: 2160h, rotation: {interval: 2159h}}`),
		Entry("extended when used, and rotated later than its age, under the default lifetime", `{maxAge: 720h, extendWhenUsed: true, rotation: {interval: 721h}}`),
		Entry("with scopes of all printable characters", `{scopes: ["deploy:shop", "https://x.example/a?b=[c]&d~!#"]}`),
		Entry("with as many scopes as there may be", `{scopes: `+many(64, "s", strings.Repeat("x", 120))+`}`),
		Entry("with audiences", `{audiences: [kubernetes, "https://billing.example.com"]}`),
		Entry("with as many audiences as there may be", `{audiences: `+many(16, "a", strings.Repeat("x", 250))+`}`),
		Entry("with networks", `{allowedCIDRs: [10.0.0.0/8, 192.0.2.7/32, "2001:db8::/32", "::/0", 0.0.0.0/0]}`),
		Entry("with as many networks as there may be", `{allowedCIDRs: `+many(32, "10.", ".0.0/16")+`}`),
		Entry("rotated by an interval", `{maxAge: 720h, rotation: {interval: 168h, overlap: 24h}}`),
		Entry("rotated each minute", `{rotation: {interval: 1m}}`),
		Entry("rotated by an interval under the default age", `{rotation: {interval: 168h}}`),
		Entry("rotated automatically", `{maxAge: 720h, rotation: {interval: Auto}}`),
		Entry("rotated though it never expires", `{maxAge: Never, rotation: {interval: 168h}}`),
		Entry("rotated without overlap", `{rotation: {interval: 168h, overlap: 0s}}`),
		Entry("rotated by a schedule in a time zone", `{rotation: {schedule: "0 3 * * MON", timeZone: America/Argentina/Buenos_Aires}}`),
		Entry("rotated by a schedule in a time zone with a sign", `{rotation: {schedule: "*/15 3-5 1,15 JAN-MAR *", timeZone: Etc/GMT+3}}`),
		Entry("rotated by a named schedule", `{rotation: {schedule: "@daily"}}`),
		Entry("rotated on request only", `{rotation: {}}`),
		Entry("rotated on request", `{rotation: {notIssuedBefore: "2026-11-24T09:00:00Z"}}`),
		Entry("rotated on request to the microsecond", `{rotation: {notIssuedBefore: "2026-11-24T09:00:00.123456Z"}}`),
		Entry("delivered for basic authentication", `{secret: {name: ci.token-1, format: BasicAuth}}`),
		Entry("delivered for image registries", `{secret: {format: DockerConfigJson, servers: [registry.example.com:5000, localhost]}}`),
		Entry("delivered for git", `{secret: {format: Netrc, servers: [git.example.com]}}`),
		Entry("delivered for kubectl", `{secret: {format: Kubeconfig, servers: [kubernetes.default.svc]}}`),
		Entry("with as many servers as there may be", `{secret: {format: Netrc, servers: `+many(16, "git", ".example.com")+`}}`),
		Entry("with a key of its own", `{secret: {data: {config.json: '{"token": "{{ .Token }}"}'}}}`),
		Entry("with a key of its own that is empty", `{secret: {data: {a: ""}}}`),
		Entry("with a text that looks like another template", `{secret: {data: {a: "{{ range }}{{ .Env.HOME }}$(id)"}}}`),
		Entry("with a key beside that of a format", `{secret: {format: Netrc, servers: [git.example.com], data: {url: "https://git.example.com"}}}`),
		Entry("with labels and annotations", `{secret: {labels: {team: shop, example.com/stage: ""}, annotations: {example.com/note: "Ask Zoë, or {{ .Name }}", mykubernetes.io/x: v}}}`),
		Entry("with as many labels and annotations as there may be", `{secret: {labels: `+texts(32, strings.Repeat("x", 63))+`, annotations: `+texts(32, strings.Repeat("é", 1024))+`}}`),
		Entry("with keys as long as they may be", `{secret: {data: {"`+strings.Repeat("x", 253)+`": a}}}`),
		Entry("with as many keys as there may be", `{secret: {data: `+texts(32, "a")+`}}`),
		Entry("with as much text as there may be", `{secret: {data: `+texts(32, strings.Repeat("é", 1024))+`}}`),
		Entry("with as much text under one key as there may be", `{secret: {data: `+texts(1, strings.Repeat("x", 32768))+`}}`),
		Entry("that acts as a service account", `{subject: {kind: ServiceAccount, name: deployer.v2}}`),
		Entry("that acts as a service account which may be made again", `{subject: {kind: ServiceAccount, name: deployer, onRecreate: Reissue}}`),
		Entry("that acts as a user", `{maxAge: 24h, subject: {kind: User, name: "alice@example.com"}}`),
		Entry("that acts as a user in as many groups as there may be", `{maxAge: 24h, subject: {kind: User, name: "Zoë Müller", groups: `+many(8, "g", strings.Repeat("x", 250))+`}}`),
		Entry("that suspends the token", `{state: Suspended}`),
		Entry("that revokes the token", `{state: Revoked}`),
		Entry("deleted as soon as it ended", `{ttlAfterFinished: 0s}`),
		Entry("deleted a while after it ended", `{ttlAfterFinished: 168h}`),
	)

	DescribeTable("refuses a spec and says what to do", func(ctx SpecContext, spec, field, message string) {
		err := admin.Create(ctx, accessToken("x", spec), client.DryRunAll)
		expectRefused(err, field, message)
	},
		Entry("with a description that is too long", `{description: "`+strings.Repeat("x", 257)+`"}`, "spec.description", "may not be more than 256"),
		Entry("with an age that is too short", `{maxAge: 9m59s}`, "spec.maxAge", "must be a duration from 10m to 87600h, for example 720h for 30 days, or Never"),
		Entry("with an age that is too long", `{maxAge: 87600h1s}`, "spec.maxAge", "must be a duration from 10m to 87600h"),
		Entry("with an age in days", `{maxAge: 30d}`, "spec.maxAge", "must be a duration from 10m to 87600h"),
		Entry("with an empty age", `{maxAge: ""}`, "spec.maxAge", "must be a duration from 10m to 87600h"),
		Entry("with an age beyond what a duration holds", `{maxAge: 99999999999999h}`, "spec.maxAge", "must be a duration from 10m to 87600h"),
		Entry("with an age in capitals", `{maxAge: NEVER}`, "spec.maxAge", "must be a duration from 10m to 87600h"),
		Entry("with an age that is far too long a text", `{maxAge: "`+strings.Repeat("1", 17)+`"}`, "spec.maxAge", "may not be more than 16"),
		Entry("extended when used, with no age that use could extend", `{maxAge: Never, extendWhenUsed: true}`, "spec.extendWhenUsed", "use extends maxAge, which is Never: give a maxAge such as 720h, or remove extendWhenUsed"),
		Entry("with a lifetime that use does not reach", `{maxLifetime: 2160h}`, "spec.maxLifetime", "belongs to extendWhenUsed: set extendWhenUsed to true, or remove maxLifetime"),
		Entry("with a lifetime though use is said not to extend", `{extendWhenUsed: false, maxLifetime: 2160h}`, "spec.maxLifetime", "belongs to extendWhenUsed: set extendWhenUsed to true, or remove maxLifetime"),
		Entry("with a lifetime that is shorter than the age", `{maxAge: 720h, extendWhenUsed: true, maxLifetime: 719h59m59s}`, "spec.maxLifetime", "must not be shorter than maxAge: lengthen maxLifetime or shorten maxAge"),
		Entry("with a lifetime that is too long", `{extendWhenUsed: true, maxLifetime: 87600h1s}`, "spec.maxLifetime", "must be a duration up to 87600h, for example 2160h for 90 days"),
		Entry("with no lifetime at all", `{extendWhenUsed: true, maxLifetime: 0s}`, "spec.maxLifetime", "must be a duration up to 87600h"),
		Entry("with a lifetime in days", `{maxAge: 720h, extendWhenUsed: true, maxLifetime: 90d}`, "spec.maxLifetime", "must be a duration up to 87600h"),
		Entry("with an empty lifetime", `{extendWhenUsed: true, maxLifetime: ""}`, "spec.maxLifetime", "must be a duration up to 87600h"),
		Entry("with a lifetime without an end", `{extendWhenUsed: true, maxLifetime: Never}`, "spec.maxLifetime", "must be a duration up to 87600h"),
		Entry("with a lifetime that is far too long a text", `{extendWhenUsed: true, maxLifetime: "`+strings.Repeat("1", 17)+`"}`, "spec.maxLifetime", "may not be more than 16"),
		Entry("with no scope in the list", `{scopes: []}`, "spec.scopes", "should have at least 1 items"),
		Entry("with too many scopes", `{scopes: `+many(65, "s", "")+`}`, "spec.scopes", "must have at most 64 items"),
		Entry("with one scope twice", `{scopes: [a, a]}`, "spec.scopes[1]", "Duplicate value"),
		Entry("with an empty scope", `{scopes: [""]}`, "spec.scopes[0]", "must be printable ASCII characters"),
		Entry("with a scope that is too long", `{scopes: ["`+strings.Repeat("x", 129)+`"]}`, "spec.scopes[0]", "may not be more than 128"),
		Entry("with two scopes in one", `{scopes: ["a b"]}`, "spec.scopes[0]", "must be printable ASCII characters without space, quote or backslash, for example deploy:shop"),
		Entry("with a scope in quotes", `{scopes: ['"a"']}`, "spec.scopes[0]", "must be printable ASCII characters"),
		Entry("with a backslash in a scope", `{scopes: ['a\b']}`, "spec.scopes[0]", "must be printable ASCII characters"),
		Entry("with a scope beyond ASCII", `{scopes: [déployer]}`, "spec.scopes[0]", "must be printable ASCII characters"),
		Entry("with no audience in the list", `{audiences: []}`, "spec.audiences", "should have at least 1 items"),
		Entry("with too many audiences", `{audiences: `+many(17, "a", "")+`}`, "spec.audiences", "must have at most 16 items"),
		Entry("with one audience twice", `{audiences: [a, a]}`, "spec.audiences[1]", "Duplicate value"),
		Entry("with an empty audience", `{audiences: [""]}`, "spec.audiences[0]", "should be at least 1 chars long"),
		Entry("with an audience that is too long", `{audiences: ["`+strings.Repeat("x", 257)+`"]}`, "spec.audiences[0]", "may not be more than 256"),
		Entry("with no network in the list", `{allowedCIDRs: []}`, "spec.allowedCIDRs", "should have at least 1 items"),
		Entry("with too many networks", `{allowedCIDRs: `+many(33, "10.", ".0.0/16")+`}`, "spec.allowedCIDRs", "must have at most 32 items"),
		Entry("with one network twice", `{allowedCIDRs: [10.0.0.0/8, 10.0.0.0/8]}`, "spec.allowedCIDRs[1]", "Duplicate value"),
		Entry("with host bits in a network", `{allowedCIDRs: [10.0.0.1/8]}`, "spec.allowedCIDRs[0]", "must be a network in canonical form, for example 10.0.0.0/8 or fd00::/8: without host bits, IPv6 in lower case and shortest form"),
		Entry("with an address for a network", `{allowedCIDRs: [10.0.0.1]}`, "spec.allowedCIDRs[0]", "must be a network in canonical form"),
		Entry("with a network in capitals", `{allowedCIDRs: ["2001:DB8::/32"]}`, "spec.allowedCIDRs[0]", "must be a network in canonical form"),
		Entry("with a network that is not in its shortest form", `{allowedCIDRs: ["2001:db8:0::/48"]}`, "spec.allowedCIDRs[0]", "must be a network in canonical form"),
		Entry("with an IPv4 network in IPv6", `{allowedCIDRs: ["::ffff:10.0.0.0/104"]}`, "spec.allowedCIDRs[0]", "must be a network in canonical form"),
		Entry("with a network that is too long a text", `{allowedCIDRs: ["`+strings.Repeat("1", 44)+`"]}`, "spec.allowedCIDRs[0]", "may not be more than 43"),
		Entry("that acts as something unknown", `{subject: {kind: Group, name: devs}}`, "spec.subject.kind", `supported values: "ServiceAccount", "User"`),
		Entry("that acts as its own principal in so many words", `{subject: {kind: AccessToken, name: x}}`, "spec.subject.kind", `supported values: "ServiceAccount", "User"`),
		Entry("that acts as nobody", `{subject: {kind: ServiceAccount}}`, "spec.subject.name", "Required value"),
		Entry("that acts as a service account by its user name", `{subject: {kind: ServiceAccount, name: "system:serviceaccount:ci:deployer"}}`, "spec.subject.name", "must be the name of a service account in this namespace, for example deployer"),
		Entry("that acts as a service account in groups of its choice", `{subject: {kind: ServiceAccount, name: deployer, groups: [devs]}}`, "spec.subject.groups", "belong to a User"),
		Entry("that acts as a user for ever", `{maxAge: Never, subject: {kind: User, name: alice}}`, "spec.maxAge", "is required for a User, and cannot be Never"),
		Entry("that acts as a user for it does not say how long", `{subject: {kind: User, name: alice}}`, "spec.maxAge", "is required for a User, and cannot be Never"),
		Entry("that acts as a user of Kubernetes itself", `{maxAge: 24h, subject: {kind: User, name: "system:admin"}}`, "spec.subject.name", "must not begin with system: or accesstoken:"),
		Entry("that acts as another token", `{maxAge: 24h, subject: {kind: User, name: "accesstoken:ci:deploy"}}`, "spec.subject.name", "must not begin with system: or accesstoken:"),
		Entry("that acts as a user with a line break in the name", `{maxAge: 24h, subject: {kind: User, name: "a\nb"}}`, "spec.subject.name", "should match"),
		Entry("that acts as a user who may be made again", `{maxAge: 24h, subject: {kind: User, name: alice, onRecreate: End}}`, "spec.subject.onRecreate", "belongs to a ServiceAccount"),
		Entry("that acts as a master of the cluster", `{maxAge: 24h, subject: {kind: User, name: alice, groups: ["system:masters"]}}`, "spec.subject.groups[0]", "must not be a group of Kubernetes (system:) or of tokens (accesstokens)"),
		Entry("that acts as a member of the tokens", `{maxAge: 24h, subject: {kind: User, name: alice, groups: [accesstokens]}}`, "spec.subject.groups[0]", "must not be a group of Kubernetes"),
		Entry("that acts as a member of a namespace's tokens", `{maxAge: 24h, subject: {kind: User, name: alice, groups: ["accesstokens:ci"]}}`, "spec.subject.groups[0]", "must not be a group of Kubernetes"),
		Entry("that acts as a user in no group of the list", `{maxAge: 24h, subject: {kind: User, name: alice, groups: []}}`, "spec.subject.groups", "should have at least 1 items"),
		Entry("that acts as a user in too many groups", `{maxAge: 24h, subject: {kind: User, name: alice, groups: `+many(9, "g", "")+`}}`, "spec.subject.groups", "must have at most 8 items"),
		Entry("in an unknown state", `{state: Paused}`, "spec.state", `supported values: "Active", "Suspended", "Revoked"`),
		Entry("deleted after something else than a duration", `{ttlAfterFinished: 1w}`, "spec.ttlAfterFinished", "must be a duration from 0s to 87600h, for example 168h for a week"),
		Entry("deleted after too long a time", `{ttlAfterFinished: 87601h}`, "spec.ttlAfterFinished", "must be a duration from 0s to 87600h"),
	)

	for _, field := range []string{"labels", "annotations"} {
		DescribeTable("refuses "+field+" of the Secret and says what to do", func(ctx SpecContext, entries, message string) {
			err := admin.Create(ctx, accessToken("x", `{secret: {`+field+`: `+entries+`}}`), client.DryRunAll)
			expectRefused(err, "spec.secret."+field, message)
		},
			Entry("too many", texts(33, "x"), "must have at most 32 items"),
			Entry("with an empty key", `{"": x}`, "each key must be that of"),
			Entry("with a key that is none", `{"a b": x}`, "for example team or example.com/team"),
			Entry("with a key that is too long", `{`+strings.Repeat("x", 64)+`: x}`, "each key must be that of"),
			Entry("with a key in a name of capitals", `{Kubernetes.io/x: v}`, "each key must be that of"),
			Entry("with two slashes in a key", `{a/kubernetes.io/x: v}`, "each key must be that of"),
			Entry("of Kubernetes", `{kubernetes.io/x: v}`, "keys under kubernetes.io, k8s.io, argocd.argoproj.io, toolkit.fluxcd.io and accesstoken.dev, and under names below them, mean something to others"),
			Entry("of a part of Kubernetes", `{app.kubernetes.io/name: v}`, "mean something to others: choose another key, for example example.com/team"),
			Entry("of a project of Kubernetes", `{a.b.k8s.io/x: v}`, "mean something to others"),
			Entry("of Argo CD", `{argocd.argoproj.io/secret-type: cluster}`, "mean something to others"),
			Entry("of Flux", `{kustomize.toolkit.fluxcd.io/name: v}`, "mean something to others"),
			Entry("of the operator", `{accesstoken.dev/access-token: other}`, "mean something to others"),
			Entry("below the operator's", `{x.accesstoken.dev/revision: "9"}`, "mean something to others"),
		)
	}

	DescribeTable("refuses values of labels and annotations and says what to do", func(ctx SpecContext, secret, field, message string) {
		expectRefused(admin.Create(ctx, accessToken("x", `{secret: `+secret+`}`), client.DryRunAll), field, message)
	},
		Entry("no label", `{labels: {team: "a b"}}`, "spec.secret.labels[team]", "must be the value of a label"),
		Entry("a label that is too long", `{labels: {team: `+strings.Repeat("x", 64)+`}}`, "spec.secret.labels.team", "may not be more than 63"),
		Entry("an annotation that is too long", `{annotations: `+texts(1, strings.Repeat("x", 32769))+`}`, "spec.secret.annotations.key0", "may not be more than 32768"),
		Entry("annotations that are too long", `{annotations: `+texts(32, strings.Repeat("x", 1025))+`}`, "spec.secret.annotations", "must have at most 32768 characters in all values together"),
	)

	DescribeTable("refuses a rotation and says what to do", func(ctx SpecContext, spec, field, message string) {
		err := admin.Create(ctx, accessToken("x", spec), client.DryRunAll)
		expectRefused(err, field, message)
	},
		Entry("by interval and schedule", `{rotation: {interval: 24h, schedule: "@daily"}}`, "spec.rotation", "interval and schedule exclude each other: remove one of them"),
		Entry("by something else than an interval", `{rotation: {interval: weekly}}`, "spec.rotation.interval", "must be a duration from 1m to 87600h, for example 168h for a week, or Auto"),
		Entry("by an empty interval", `{rotation: {interval: ""}}`, "spec.rotation.interval", "must be a duration from 1m to 87600h"),
		Entry("every second", `{rotation: {interval: 59s}}`, "spec.rotation.interval", "must be a duration from 1m to 87600h"),
		Entry("all the time", `{rotation: {interval: 0s}}`, "spec.rotation.interval", "must be a duration from 1m to 87600h"),
		Entry("by an interval that is too long", `{maxAge: Never, rotation: {interval: 87601h}}`, "spec.rotation.interval", "must be a duration from 1m to 87600h"),
		Entry("that comes when the token has expired", `{maxAge: 24h, rotation: {interval: 24h}}`, "spec.rotation.interval", "must be shorter than maxAge, else the token expires before it is rotated"),
		Entry("that comes when a token that was used has expired", `{maxAge: 24h, extendWhenUsed: true, maxLifetime: 96h, rotation: {interval: 96h}}`, "spec.rotation.interval", "must be shorter than maxLifetime, else the token expires before it is rotated"),
		Entry("at two thirds of no age", `{maxAge: Never, rotation: {interval: Auto}}`, "spec.rotation.interval", "Auto is two thirds of maxAge, which is Never: give an interval such as 720h, or a maxAge"),
		Entry("with an overlap as long as the interval", `{rotation: {interval: 24h, overlap: 24h}}`, "spec.rotation.overlap", "must be shorter than interval, else more than two tokens would be good at once"),
		Entry("with something else than an overlap", `{rotation: {overlap: 1d}}`, "spec.rotation.overlap", "must be a duration from 0s to 8760h, for example 24h"),
		Entry("with an overlap that is too long", `{rotation: {overlap: 8761h}}`, "spec.rotation.overlap", "must be a duration from 0s to 8760h"),
		Entry("by a schedule of six fields", `{rotation: {schedule: "0 0 3 * * 1"}}`, "spec.rotation.schedule", "must be a cron expression of five fields such as 0 3 * * 1, or @daily and the like; a time zone goes into timeZone"),
		Entry("by a schedule with a time zone in it", `{rotation: {schedule: "TZ=Europe/Helsinki 0 3 * * 1"}}`, "spec.rotation.schedule", "a time zone goes into timeZone"),
		Entry("by an unknown name", `{rotation: {schedule: "@fortnightly"}}`, "spec.rotation.schedule", "must be a cron expression of five fields"),
		Entry("by an empty schedule", `{rotation: {schedule: ""}}`, "spec.rotation.schedule", "must be a cron expression of five fields"),
		Entry("by a schedule that is too long a text", `{rotation: {schedule: "`+strings.Repeat("1", 129)+`"}}`, "spec.rotation.schedule", "may not be more than 128"),
		Entry("in a time zone without a schedule", `{rotation: {interval: 24h, timeZone: Europe/Helsinki}}`, "spec.rotation.timeZone", "belongs to a schedule: add rotation.schedule or remove timeZone"),
		Entry("in an empty time zone", `{rotation: {schedule: "@daily", timeZone: ""}}`, "spec.rotation.timeZone", "must be the IANA name of a time zone"),
		Entry("in a time zone with a space", `{rotation: {schedule: "@daily", timeZone: Europe Helsinki}}`, "spec.rotation.timeZone", "must be the IANA name of a time zone, for example Europe/Helsinki"),
		Entry("in the operator's own time zone", `{rotation: {schedule: "@daily", timeZone: Local}}`, "spec.rotation.timeZone", "must be the IANA name of a time zone"),
		Entry("in a time zone that is too long a text", `{rotation: {schedule: "@daily", timeZone: `+strings.Repeat("x", 65)+`}}`, "spec.rotation.timeZone", "may not be more than 64"),
		Entry("at no instant", `{rotation: {notIssuedBefore: now}}`, "spec.rotation.notIssuedBefore", "must be an instant in UTC, for example 2026-11-24T09:00:00Z"),
		Entry("at an instant in another zone", `{rotation: {notIssuedBefore: "2026-11-24T09:00:00+02:00"}}`, "spec.rotation.notIssuedBefore", "must be an instant in UTC"),
		Entry("on a day that does not exist", `{rotation: {notIssuedBefore: "2026-02-30T09:00:00Z"}}`, "spec.rotation.notIssuedBefore", "must be an instant in UTC"),
		Entry("at an instant that is too long a text", `{rotation: {notIssuedBefore: "`+strings.Repeat("1", 28)+`"}}`, "spec.rotation.notIssuedBefore", "may not be more than 27"),
	)

	DescribeTable("refuses a Secret and says what to do", func(ctx SpecContext, spec, field, message string) {
		err := admin.Create(ctx, accessToken("x", spec), client.DryRunAll)
		expectRefused(err, field, message)
	},
		Entry("of an unknown format", `{secret: {format: Yaml}}`, "spec.secret.format", `supported values: "Opaque", "BasicAuth", "DockerConfigJson", "Netrc", "Kubeconfig"`),
		Entry("with a name in capitals", `{secret: {name: CI}}`, "spec.secret.name", "must be a name for a Secret: lower-case letters, digits, - and ., for example ci-token"),
		Entry("with an empty name", `{secret: {name: ""}}`, "spec.secret.name", "must be a name for a Secret"),
		Entry("with a name that is too long", `{secret: {name: "`+strings.Repeat("x", 254)+`"}}`, "spec.secret.name", "may not be more than 253"),
		Entry("for git at no server", `{secret: {format: Netrc}}`, "spec.secret.servers", "names the hosts that a Netrc, DockerConfigJson or Kubeconfig is for: required with these formats, and with these only"),
		Entry("for images at no server", `{secret: {format: DockerConfigJson}}`, "spec.secret.servers", "required with these formats"),
		Entry("for kubectl at no server", `{secret: {format: Kubeconfig}}`, "spec.secret.servers", "required with these formats"),
		Entry("for kubectl at two servers", `{secret: {format: Kubeconfig, servers: [a.example.com, b.example.com]}}`, "spec.secret.servers", "a Kubeconfig is for one server: give one, such as kubernetes.default.svc"),
		Entry("of a format without servers, with one", `{secret: {servers: [git.example.com]}}`, "spec.secret.servers", "with these only"),
		Entry("with no server in the list", `{secret: {format: Netrc, servers: []}}`, "spec.secret.servers", "should have at least 1 items"),
		Entry("with too many servers", `{secret: {format: Netrc, servers: `+many(17, "a", "")+`}}`, "spec.secret.servers", "must have at most 16 items"),
		Entry("with one server twice", `{secret: {format: Netrc, servers: [a, a]}}`, "spec.secret.servers[1]", "Duplicate value"),
		Entry("with a URL for a server", `{secret: {format: Netrc, servers: ["https://git.example.com"]}}`, "spec.secret.servers[0]", "must be a host name, with a port where one is needed, for example git.example.com"),
		Entry("with a line break in a server", `{secret: {format: Netrc, servers: ["a\nmachine b"]}}`, "spec.secret.servers[0]", "must be a host name"),
		Entry("with an empty server", `{secret: {format: Netrc, servers: [""]}}`, "spec.secret.servers[0]", "must be a host name"),
		Entry("with a key that is none for a Secret", `{secret: {data: {"a/b": x}}}`, "spec.secret.data", "each key must be one for a Secret: up to 253 letters, digits, - _ and ., not . alone and not beginning with .., for example config.json"),
		Entry("with an empty key", `{secret: {data: {"": x}}}`, "spec.secret.data", "each key must be one for a Secret"),
		Entry("with the folder itself for a key", `{secret: {data: {".": x}}}`, "spec.secret.data", "each key must be one for a Secret"),
		Entry("with the folder above for a key", `{secret: {data: {"..": x}}}`, "spec.secret.data", "each key must be one for a Secret"),
		Entry("with a key that the kubelet needs", `{secret: {data: {"..data": x}}}`, "spec.secret.data", "each key must be one for a Secret"),
		Entry("with a line break in a key", `{secret: {data: {"a\n": x}}}`, "spec.secret.data", "each key must be one for a Secret"),
		Entry("with a key that is too long", `{secret: {data: {"`+strings.Repeat("x", 254)+`": a}}}`, "spec.secret.data", "each key must be one for a Secret"),
		Entry("with the key of its format", `{secret: {data: {token: x}}}`, "spec.secret.data", "token, username, password, .dockerconfigjson, .netrc and kubeconfig are keys of formats: choose another key, or secret.format"),
		Entry("with the user name of another format", `{secret: {data: {username: x}}}`, "spec.secret.data", "are keys of formats"),
		Entry("with the password of another format", `{secret: {data: {password: x}}}`, "spec.secret.data", "are keys of formats"),
		Entry("with the image registries of another format", `{secret: {data: {.dockerconfigjson: x}}}`, "spec.secret.data", "are keys of formats"),
		Entry("with the file of another format", `{secret: {data: {.netrc: x}}}`, "spec.secret.data", "are keys of formats"),
		Entry("with the cluster of another format", `{secret: {data: {kubeconfig: x}}}`, "spec.secret.data", "are keys of formats"),
		Entry("with too many keys", `{secret: {data: `+texts(33, "a")+`}}`, "spec.secret.data", "must have at most 32 items"),
		Entry("with too much text", `{secret: {data: `+texts(32, strings.Repeat("é", 1025))+`}}`, "spec.secret.data", "must have at most 32768 characters in all texts together"),
		Entry("with too much text under one key", `{secret: {data: `+texts(1, strings.Repeat("x", 32769))+`}}`, "spec.secret.data.key0", "may not be more than 32768"),
		Entry("with a server that is too long", `{secret: {format: Netrc, servers: [`+strings.Repeat("x", 261)+`]}}`, "spec.secret.servers[0]", "may not be more than 260"),
	)

	It("takes a name of 63 characters and no longer one", func(ctx SpecContext) {
		Expect(admin.Create(ctx, accessToken(strings.Repeat("x", 63), `{}`), client.DryRunAll)).To(Succeed())
		err := admin.Create(ctx, accessToken(strings.Repeat("x", 64), `{}`), client.DryRunAll)
		expectRefused(err, "metadata", "name must be at most 63 characters, since it is a label value on the Secret and the records")
	})

	It("needs a spec", func(ctx SpecContext) {
		object := accessToken("x", `{}`)
		delete(object.Object, "spec")
		expectRefused(admin.Create(ctx, object), "spec", "Required value")
	})
})

var _ = Describe("What an AccessToken may do", func() {
	const fixed = "cannot be changed, added or removed after creation: create a new AccessToken instead"

	DescribeTable("is fixed at creation", func(ctx SpecContext, field, one, other string) {
		with := func(value string) string { return "{" + field + ": " + value + "}" }
		Expect(admin.Create(ctx, accessToken("with", with(one)))).To(Succeed())
		Expect(admin.Create(ctx, accessToken("without", `{}`))).To(Succeed())

		expectRefused(setSpec(ctx, "with", with(other)), "spec."+field, fixed)
		expectRefused(setSpec(ctx, "with", `{}`), "spec."+field, fixed)
		expectRefused(setSpec(ctx, "without", with(one)), "spec."+field, fixed)

		Expect(setSpec(ctx, "with", "{description: changed, "+field+": "+one+"}")).To(Succeed())
	},
		Entry("scopes", "scopes", `[deploy:shop]`, `[deploy:shop, admin]`),
		Entry("audiences", "audiences", `[billing]`, `[kubernetes]`),
		Entry("networks", "allowedCIDRs", `[10.0.0.0/8]`, `[0.0.0.0/0]`),
	)

	DescribeTable("format of a Secret is fixed while its name stays", func(ctx SpecContext, before, after string, allowed bool) {
		Expect(admin.Create(ctx, accessToken("ci", before))).To(Succeed())
		err := setSpec(ctx, "ci", after)
		if allowed {
			Expect(err).NotTo(HaveOccurred())
			return
		}
		expectRefused(err, "spec.secret", "format cannot change while name stays, since the type of a Secret is fixed: change secret.name too")
	},
		Entry("changed", `{secret: {name: a, format: Opaque}}`, `{secret: {name: a, format: BasicAuth}}`, false),
		Entry("added", `{}`, `{secret: {format: BasicAuth}}`, false),
		Entry("removed", `{secret: {format: BasicAuth}}`, `{}`, false),
		Entry("changed while the default name is spelt out", `{}`, `{secret: {name: ci, format: BasicAuth}}`, false),
		Entry("the default spelt out", `{}`, `{secret: {format: Opaque}}`, true),
		Entry("changed together with the name", `{}`, `{secret: {name: ci-basic, format: BasicAuth}}`, true),
		Entry("kept while the name changes", `{secret: {name: a}}`, `{secret: {name: b}}`, true),
	)

	It("stays when two managers apply one manifest again and again", func(ctx SpecContext) {
		const spec = `{maxAge: 720h, scopes: [b, a], audiences: [kubernetes], allowedCIDRs: [10.0.0.0/8], secret: {format: Netrc, servers: [git.example.com]}}`
		apply := func(ctx context.Context, manager string) *unstructured.Unstructured {
			object := accessToken("ci", spec)
			Expect(admin.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner(manager), client.ForceOwnership)).To(Succeed())
			return object
		}
		apply(ctx, "flux")
		first := apply(ctx, "argo")
		for range 3 {
			apply(ctx, "flux")
			last := apply(ctx, "argo")
			Expect(last.GetResourceVersion()).To(Equal(first.GetResourceVersion()))
		}
		Expect(first.GetGeneration()).To(Equal(int64(1)))
	})

	It("does not depend on the order in which it is written", func(ctx SpecContext) {
		Expect(admin.Create(ctx, accessToken("ci", `{scopes: [a, b]}`))).To(Succeed())
		err := setSpec(ctx, "ci", `{scopes: [b, a]}`)
		Expect(err).NotTo(HaveOccurred())
		live := &v1alpha1.AccessToken{}
		Expect(admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "ci"}, live)).To(Succeed())
		Expect(live.Spec.Scopes).To(ConsistOf("a", "b"))
	})
})
