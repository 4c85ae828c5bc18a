package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// SecurityEvents are what identity providers tell of their users, by security event
// tokens (RFC 8417) that they push (RFC 8935): OpenID Shared Signals.
type SecurityEvents struct {
	// Issuers are those that are believed, each about its own users. Absent means
	// that no events are received.
	Issuers []EventIssuer `json:"issuers,omitempty"`
}

// EventIssuer is one that is believed about its users.
type EventIssuer struct {
	// Issuer is the iss of its events, an https URL. Required.
	Issuer string `json:"issuer"`

	// Audience is what the aud of its events has to be or hold. Required.
	Audience string `json:"audience"`

	// Keys are what its events are signed with. Required.
	Keys EventKeys `json:"keys"`

	// Users says which user an event is about. Required.
	Users EventUsers `json:"users"`

	// MaxAge is how long after its issue an event is taken, such as 24h: from 1m to
	// 720h. Absent means 24h.
	MaxAge string `json:"maxAge,omitempty"`

	// Reissue gives AccessTokens whose tokens an event revokes new ones at once.
	// Absent means that somebody has to ask for them.
	Reissue bool `json:"reissue,omitempty"`
}

// EventKeys are where a JSON Web Key Set (RFC 7517) is: exactly one of both.
type EventKeys struct {
	// File is its path. It is read anew when a key is missing, and every ten minutes.
	File string `json:"file,omitempty"`

	// URL is where it is fetched from, over https, likewise.
	URL string `json:"url,omitempty"`
}

// EventUsers says which user an event is about.
type EventUsers struct {
	// Identifier is what of the subject (RFC 9493) is the user's name: Subject, the
	// sub of an iss_sub whose iss is the issuer; Email, the address of an email; ID,
	// the id of an opaque one. Absent means Subject.
	Identifier UserIdentifier `json:"identifier,omitempty"`

	// Prefix stands before it in the user name, as where kube-apiserver is told of
	// the issuer: an issuer reaches no users but those whose names begin so. No
	// issuer's prefix begins with that of another. Required.
	Prefix string `json:"prefix"`
}

// UserIdentifier is what of a subject is the user's name.
type UserIdentifier string

// What of a subject can be the user's name.
const (
	IdentifierSubject UserIdentifier = "Subject"
	IdentifierEmail   UserIdentifier = "Email"
	IdentifierID      UserIdentifier = "ID"
)

const (
	defaultEventAge  = "24h"
	leastEventAge    = time.Minute
	greatestEventAge = 720 * time.Hour // far less than revocations are kept: a replay finds what it made
)

// Age is MaxAge as a duration.
func (e *EventIssuer) Age() time.Duration {
	age, err := time.ParseDuration(e.MaxAge)
	if err != nil {
		return 0
	}
	return age
}

func (s *SecurityEvents) applyDefaults() {
	for i := range s.Issuers {
		issuer := &s.Issuers[i]
		if issuer.MaxAge == "" {
			issuer.MaxAge = defaultEventAge
		}
		if issuer.Users.Identifier == "" {
			issuer.Users.Identifier = IdentifierSubject
		}
	}
}

func (s *SecurityEvents) validate(p *problems) {
	for i := range s.Issuers {
		issuer, field := &s.Issuers[i], fmt.Sprintf("securityEvents.issuers[%d]", i)
		issuer.validate(p, field)
		for _, other := range s.Issuers[:i] {
			switch mine, others := issuer.Users.Prefix, other.Users.Prefix; {
			case issuer.Issuer == other.Issuer:
				p.add(field+".issuer", "%q is there already: give it once", issuer.Issuer)
			case strings.HasPrefix(mine, others) || strings.HasPrefix(others, mine):
				p.add(field+".users.prefix", "%q and %q begin alike, so that one issuer would reach the users of the other: choose prefixes neither of which begins with the other", mine, others)
			}
		}
	}
}

func (e *EventIssuer) validate(p *problems, field string) {
	if !isHTTPS(e.Issuer) {
		p.add(field+".issuer", "%q is no https URL: give the iss of its events", e.Issuer)
	}
	if e.Audience == "" {
		p.add(field+".audience", "it is empty: give what the aud of its events is or holds")
	}
	if (e.Keys.File == "") == (e.Keys.URL == "") {
		p.add(field+".keys", "give either a file or a url")
	} else if e.Keys.URL != "" && !isHTTPS(e.Keys.URL) {
		p.add(field+".keys.url", "%q is no https URL", e.Keys.URL)
	}
	if age, err := time.ParseDuration(e.MaxAge); err != nil || age < leastEventAge || age > greatestEventAge {
		p.add(field+".maxAge", "%q is no duration from 1m to 720h, such as 24h", e.MaxAge)
	}
	if !slices.Contains([]UserIdentifier{IdentifierSubject, IdentifierEmail, IdentifierID}, e.Users.Identifier) {
		p.add(field+".users.identifier", "%q is not known: use Subject, Email or ID", e.Users.Identifier)
	}
	if e.Users.Prefix == "" {
		p.add(field+".users.prefix", "it is empty, so that the issuer would reach everybody: give what the names of its users begin with")
	}
	for _, reserved := range []string{"system:", v1alpha1.PrincipalPrefix} {
		if strings.HasPrefix(e.Users.Prefix, reserved) {
			p.add(field+".users.prefix", "%q begins with %s, as no user of an issuer does: give another prefix", e.Users.Prefix, reserved)
		}
	}
}

func isHTTPS(text string) bool {
	parsed, err := url.Parse(text)
	return err == nil && parsed.Scheme == "https" && parsed.Host != "" && parsed.User == nil
}
