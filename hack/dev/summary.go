package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
)

// The audit logs, below the state folder.
const (
	managerAudit = "logs/manager-audit.jsonl"
	stdout       = "-"
)

// howTo names paths in full: they are pasted into another terminal.
const howTo = `
Up. In another terminal:

  export KUBECONFIG=%s
  export PATH=%s:$PATH
  kubectl apply -k %s
  kubectl get accesstokens -A -o wide
  kubectl explain accesstoken.spec
`

const afterwards = `
Here maxAge may be as short as 2s, rotation.interval 1s, and retirement.unusedFor
of an AccessTokenPolicy 2s; in production 10m, 1m and 24h, which is what kubectl
explain says.

Ctrl-C stops it; objects, ports, logs, your part of the kubeconfig and the
verifier's configuration are kept in %s.
`

// summary is what somebody needs to know of a cluster to use it.
type summary struct {
	root, dir           string
	kubeconfig, kubectl string
	apiServerAudit      string
	managerMetrics      string
	verifier            verifierSummary
}

type verifierSummary struct {
	url, extAuthz, metrics string
	authority              string // a path
	log                    string // a path
	configFile             string
	config                 config.Verifier
}

func summarize(c *cluster, root, dir string) (summary, error) {
	configuration, err := config.Load(c.verifier.Config())
	if err != nil {
		return summary{}, err
	}
	return summary{
		root: root, dir: dir, kubeconfig: c.controlPlane.Kubeconfig(), kubectl: c.controlPlane.KubectlPath(),
		apiServerAudit: c.controlPlane.AuditLog(), managerMetrics: c.operator.MetricsURL(),
		verifier: verifierSummary{
			url: c.verifier.URL(), extAuthz: c.verifier.ExtAuthzAddress(), metrics: c.verifier.MetricsURL(),
			authority: filepath.Join(dir, "pki", "ca.crt"), log: c.verifier.Log(), configFile: c.verifier.Config(), config: configuration,
		},
	}, nil
}

func (s summary) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, howTo, s.kubeconfig, filepath.Dir(s.kubectl), filepath.Join(s.root, "config", "samples"))
	section := func(title string, lines ...[2]string) {
		fmt.Fprintf(&text, "\n%s\n", title)
		for _, line := range lines {
			fmt.Fprintf(&text, "  %-16s%s\n", line[0], line[1])
		}
	}
	section("API server", [2]string{"audit log", s.apiServerAudit})
	section("Manager", [2]string{"audit log", filepath.Join(s.dir, managerAudit)}, [2]string{"metrics", s.managerMetrics})
	section("Verifier", s.verifier.lines(s.dir)...)
	section("Logs", [2]string{"of all", filepath.Join(s.dir, "logs")})
	fmt.Fprintf(&text, afterwards, s.dir)
	return text.String()
}

func (v verifierSummary) lines(dir string) [][2]string {
	lines := [][2]string{
		{"address", v.url + ", certified by " + v.authority},
		{"introspection", v.url + "/introspect"},
		{"revocation", v.url + "/revoke"},
		{"security events", v.securityEvents()},
	}
	for _, policy := range v.config.Policies {
		lines = append(lines, [2]string{"forward auth", v.url + "/auth/forwarded/" + policy.Name + " for " + required(policy)})
	}
	audit := filepath.Join(dir, v.config.Audit.Path)
	switch {
	case v.config.Audit.Path == stdout:
		audit = v.log
	case filepath.IsAbs(v.config.Audit.Path):
		audit = v.config.Audit.Path
	}
	return append(lines,
		[2]string{"ext_authz", v.extAuthz},
		[2]string{"audit log", audit},
		[2]string{"metrics", v.metrics},
		[2]string{"configured by", v.configFile + ", which is yours: edit it, and start again"},
	)
}

// securityEvents says where identity providers push events to, and who may.
func (v verifierSummary) securityEvents() string {
	issuers := v.config.SecurityEvents.Issuers
	if len(issuers) == 0 {
		return v.url + "/security-events, once securityEvents of the configuration names an issuer"
	}
	names := make([]string, 0, len(issuers))
	for i := range issuers {
		names = append(names, issuers[i].Issuer)
	}
	return v.url + "/security-events of " + strings.Join(names, ", ")
}

// required says what a policy requires of a token.
func required(policy config.Policy) string {
	text := "the audience " + policy.Audience
	if len(policy.Scopes) > 0 {
		text += ", the scopes " + strings.Join(policy.Scopes, " ")
	}
	schemes := make([]string, 0, len(policy.Schemes))
	for _, scheme := range policy.Schemes {
		schemes = append(schemes, string(scheme))
	}
	return text + ", by " + strings.Join(schemes, " or ")
}
