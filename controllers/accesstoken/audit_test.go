package accesstoken_test

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/audit"
)

var _ = Describe("The audit log", func() {
	It("tells who got and lost which token, and why", func(ctx context.Context) {
		path := filepath.Join(GinkgoT().TempDir(), "audit.log")
		var log *audit.Log
		run := func(w *world) *process {
			var err error
			log, err = audit.Open(audit.Options{Path: path, Clock: w.clock})
			Expect(err).NotTo(HaveOccurred())
			p := w.start(0)
			p.reconciler.Audit = log
			p.restWithin(ctx, 0)
			return p
		}
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{Scopes: []string{"deploy:shop"}, MaxAge: "720h", Rotation: &v1alpha1.Rotation{Interval: "1h", Overlap: "10m"}})
		p := run(w)
		ids := []string{w.token(ctx).Status.TokenID}
		next := func(change func()) {
			change()
			p.restWithin(ctx, 0)
			ids = append(ids, w.token(ctx).Status.TokenID)
		}
		state := func(wanted v1alpha1.State) {
			w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.State = wanted })
		}
		next(func() { w.clock.SetTime(w.clock.Now().Add(time.Hour)) })
		next(func() {
			Expect(admin.Delete(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: w.key.Name}})).To(Succeed())
			w.seenOrGone(ctx)
		})
		next(func() { state(v1alpha1.StateSuspended) })
		next(func() { state(v1alpha1.StateActive) })
		next(func() { state(v1alpha1.StateRevoked) })
		Expect(log.Close()).To(Succeed())

		other := newWorld(ctx)
		other.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "1h"})
		q := run(other)
		expiring := other.token(ctx).Status.TokenID
		other.clock.SetTime(other.clock.Now().Add(time.Hour))
		q.restWithin(ctx, 0)
		Expect(log.Close()).To(Succeed())

		lines := auditLines(path)
		Expect(lines[0]).To(SatisfyAll(
			HaveKeyWithValue("accesstoken.namespace", w.namespace), HaveKeyWithValue("accesstoken.name", w.key.Name),
			HaveKeyWithValue("accesstoken.scopes", ConsistOf("deploy:shop")), HaveKeyWithValue("accesstoken.revision", BeEquivalentTo(1)),
			HaveKeyWithValue("user.name", v1alpha1.PrincipalPrefix+w.namespace+":"+w.key.Name),
		))
		var told [][4]any
		for _, line := range lines {
			told = append(told, [4]any{line["event.action"], line["event.reason"], line["accesstoken.id"], line["accesstoken.replaced_id"]})
		}
		// The Secret's deletion brings the third token, whose predecessor stays good
		// for the overlap: so it is suspended too.
		Expect(told).To(ContainElements(
			[4]any{"token.issued", "First", ids[0], nil},
			[4]any{"token.rotated", "Interval", ids[1], ids[0]},
			[4]any{"token.repaired", "SecretDeleted", ids[2], ids[1]},
			[4]any{"token.suspended", "Suspended", ids[2], nil},
			[4]any{"token.issued", "Reactivated", ids[4], nil},
			[4]any{"token.revoked", "Revoked", ids[4], nil},
			[4]any{"token.issued", "First", expiring, nil},
			[4]any{"token.expired", nil, expiring, nil},
		))
		actions := map[any]int{}
		for _, each := range told {
			actions[each[0]]++
		}
		Expect(actions).To(SatisfyAll(
			HaveKeyWithValue("token.issued", 3), HaveKeyWithValue("token.rotated", 1), HaveKeyWithValue("token.repaired", 1),
			HaveKeyWithValue("token.revoked", 1), HaveKeyWithValue("token.expired", 1), HaveLen(6),
		))
	})
})

// auditLines reads an audit log.
func auditLines(path string) []map[string]any {
	file, err := os.Open(path)
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = file.Close() }()
	var lines []map[string]any
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		var line map[string]any
		Expect(json.Unmarshal(scanner.Bytes(), &line)).To(Succeed())
		lines = append(lines, line)
	}
	return lines
}
