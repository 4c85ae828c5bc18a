package main

import (
	"strings"
	"testing"

	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
)

func TestTheSummarySaysWhereAndHowTheVerifierIsAsked(t *testing.T) {
	configuration, err := config.Parse([]byte(verifierConfig))
	if err != nil {
		t.Fatal(err)
	}
	s := summary{dir: "/clone/.dev", verifier: verifierSummary{
		url: "https://127.0.0.1:1", extAuthz: "127.0.0.1:2", metrics: "http://127.0.0.1:3/metrics", authority: "/clone/.dev/pki/ca.crt",
		log: "/clone/.dev/logs/verifier.log", configFile: "/clone/.dev/verifier.yaml", config: configuration,
	}}
	wants := []string{
		"https://127.0.0.1:1, certified by /clone/.dev/pki/ca.crt", "https://127.0.0.1:1/introspect", "https://127.0.0.1:1/revoke",
		"127.0.0.1:2\n", "http://127.0.0.1:3/metrics", "/clone/.dev/logs/verifier-audit.jsonl", "/clone/.dev/verifier.yaml",
	}
	for _, policy := range configuration.Policies {
		wants = append(wants, "/auth/forwarded/"+policy.Name+" for the audience "+policy.Audience)
		wants = append(wants, policy.Scopes...)
	}
	for _, want := range wants {
		if !strings.Contains(s.String(), want) {
			t.Errorf("it does not say %q:%s", want, s)
		}
	}
	for want, issuers := range map[string][]config.EventIssuer{
		"https://127.0.0.1:1/security-events, once securityEvents of the configuration names an issuer\n": nil,
		"https://127.0.0.1:1/security-events of https://a.example, https://b.example\n":                   {{Issuer: "https://a.example"}, {Issuer: "https://b.example"}},
	} {
		if s.verifier.config.SecurityEvents.Issuers = issuers; !strings.Contains(s.String(), want) {
			t.Errorf("it does not say %q:%s", want, s)
		}
	}
	for path, want := range map[string]string{stdout: "/clone/.dev/logs/verifier.log", "/var/log/audit": "/var/log/audit"} {
		if s.verifier.config.Audit.Path = path; !strings.Contains(s.String(), want+"\n") {
			t.Errorf("the audit log at %s is not %s:%s", path, want, s)
		}
	}
}
