package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/onsi/gomega"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// auditActions are the actions of an audit log about the tokens of a namespace.
func auditActions(t *testing.T, path, namespace string) []string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var actions []string
	for line := range bytes.Lines(content) {
		var event struct {
			Action    string `json:"event.action"`
			Namespace string `json:"accesstoken.namespace"`
		}
		if err := json.Unmarshal(line, &event); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if event.Namespace == namespace {
			actions = append(actions, event.Action)
		}
	}
	return actions
}

func TestTheAuditLogIsAFileThatCanBeMovedAway(t *testing.T) {
	g := gomega.NewWithT(t)
	path := filepath.Join(t.TempDir(), "audit.log")
	m := readyManager(t, "--audit-log="+path)
	namespace := testenv.Namespace(t)
	key := declare(t, namespace, "deploy", v1alpha1.AccessTokenSpec{})
	awaitReason(t, key, v1alpha1.ReasonIssued)
	g.Eventually(func() []string { return auditActions(t, path, namespace) }).WithTimeout(soon).WithPolling(often).Should(gomega.Equal([]string{"token.issued"}))
	info, err := os.Stat(path)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(info.Mode().Perm()).To(gomega.Equal(os.FileMode(0o600)))

	g.Expect(os.Rename(path, path+".1")).To(gomega.Succeed())
	g.Expect(syscall.Kill(m.PID(), syscall.SIGHUP)).To(gomega.Succeed())
	g.Eventually(func() error {
		_, err := os.Stat(path)
		return err
	}).WithTimeout(soon).WithPolling(often).Should(gomega.Succeed())
	edit(t, key, func(at *v1alpha1.AccessToken) { at.Spec.State = v1alpha1.StateRevoked })
	g.Eventually(func() []string { return auditActions(t, path, namespace) }).WithTimeout(soon).WithPolling(often).Should(gomega.Equal([]string{"token.revoked"}))
	g.Expect(auditActions(t, path+".1", namespace)).To(gomega.Equal([]string{"token.issued"}))
}
