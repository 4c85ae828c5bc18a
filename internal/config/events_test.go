package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
)

func TestEachMistakeInAnIssuerOfEventsIsNamed(t *testing.T) {
	const right = `issuer: https://a.example.com, audience: x, keys: {file: f}, users: {prefix: "a:"}`
	issuers := func(all ...string) string {
		return head + "securityEvents: {issuers: [{" + strings.Join(all, "}, {") + "}]}"
	}
	but := func(part, by string) string {
		if !strings.Contains(right, part) {
			t.Fatalf("%s is no part", part)
		}
		return issuers(strings.Replace(right, part, by, 1))
	}
	if _, err := config.Parse([]byte(issuers(right))); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"an issuer over http":   {but("https://a", "http://a"), `issuers[0].issuer: "http://a.example.com" is no https URL: give the iss of its events`},
		"no issuer":             {but("https://a.example.com", `""`), `issuers[0].issuer: "" is no https URL`},
		"no audience":           {but("audience: x", `audience: ""`), "issuers[0].audience: it is empty"},
		"no keys":               {but("{file: f}", "{}"), "issuers[0].keys: give either a file or a url"},
		"keys twice":            {but("{file: f}", "{file: f, url: 'https://a.example.com'}"), "issuers[0].keys: give either a file or a url"},
		"keys over http":        {but("{file: f}", "{url: 'http://a.example.com'}"), `issuers[0].keys.url: "http://a.example.com" is no https URL`},
		"no prefix":             {but(`"a:"`, `""`), "issuers[0].users.prefix: it is empty, so that the issuer would reach everybody"},
		"users of the system":   {but(`"a:"`, `"system:a:"`), `issuers[0].users.prefix: "system:a:" begins with system:, as no user of an issuer does: give another prefix`},
		"principals":            {but(`"a:"`, `"accesstoken:a:"`), `"accesstoken:a:" begins with accesstoken:`},
		"an unknown identifier": {but(`prefix: "a:"`, `prefix: "a:", identifier: Phone`), `issuers[0].users.identifier: "Phone" is not known: use Subject, Email or ID`},
		"an age that is none":   {but("audience: x", "audience: x, maxAge: 1d"), `issuers[0].maxAge: "1d" is no duration from 1m to 720h`},
		"too great an age":      {but("audience: x", "audience: x, maxAge: 721h"), `issuers[0].maxAge: "721h" is no duration from 1m to 720h`},
		"an issuer twice":       {issuers(right, right), `issuers[1].issuer: "https://a.example.com" is there already: give it once`},
		"prefixes that overlap": {
			issuers(right, `issuer: https://b.example.com, audience: x, keys: {file: f}, users: {prefix: "a:b:"}`),
			`issuers[1].users.prefix: "a:b:" and "a:" begin alike, so that one issuer would reach the users of the other`,
		},
	} {
		if _, err := config.Parse([]byte(c.text)); err == nil || !strings.Contains(err.Error(), "securityEvents."+c.want) && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, fmt.Sprint(err), c.want)
		}
	}
}
