package securityevents

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/untrusted"
)

const (
	// typ is that of the header of an event (RFC 8417 section 2.3).
	typ = "secevent+jwt"

	// clockTolerance is how far in the future an event may have been issued, by
	// clocks that differ.
	clockTolerance = time.Minute

	// mostUser bounds a user name, in bytes, as a revocation does.
	mostUser = 512

	// mostID bounds the jti of an event, in bytes.
	mostID = 256
)

// revoking are the types of events that revoke, with how people are told of them.
var revoking = map[string]string{ //nolint:gosec // names of events
	"https://schemas.openid.net/secevent/caep/event-type/credential-change": "credential-change",
	"https://schemas.openid.net/secevent/caep/event-type/session-revoked":   "session-revoked",
	"https://schemas.openid.net/secevent/risc/event-type/account-disabled":  "account-disabled",
}

// algorithms are those that events may be signed with: none by a shared secret.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// event is one that was found good.
type event struct {
	issuer *issuer
	id     string
	names  []string  // of its types that revoke
	user   string    // empty for one that revokes nothing
	at     time.Time // when what it tells of happened
}

func (e *event) types() string { return strings.Join(e.names, ", ") }

// revocation is the object that revokes what the event says.
func (e *event) revocation() *v1alpha1.ClusterTokenRevocation {
	sum := sha256.Sum256([]byte(e.issuer.Issuer + "\x00" + e.id))
	return &v1alpha1.ClusterTokenRevocation{
		ObjectMeta: metav1.ObjectMeta{
			Name:        "event-" + hex.EncodeToString(sum[:16]),
			Annotations: map[string]string{v1alpha1.AnnotationSecurityEvent: untrusted.Text(e.id, mostID)},
		},
		Spec: v1alpha1.ClusterTokenRevocationSpec{RevocationSpec: v1alpha1.RevocationSpec{
			Subject: &v1alpha1.RevokedSubject{Kind: v1alpha1.RevokedUser, Name: e.user},
			Before:  v1alpha1.NewTimestamp(e.at),
			Reason:  untrusted.Text(e.types()+", told by "+e.issuer.Issuer, 256),
			Reissue: e.issuer.Reissue,
		}},
	}
}

// claims are those of an event that count here.
type claims struct {
	Issuer   string                     `json:"iss"`
	Audience audience                   `json:"aud"`
	ID       string                     `json:"jti"`
	IssuedAt *float64                   `json:"iat"`
	Happened *float64                   `json:"toe"`
	Subject  *subject                   `json:"sub_id"`
	Events   map[string]json.RawMessage `json:"events"`
}

// audience is one or many (RFC 7519 section 4.1.3).
type audience []string

func (a *audience) UnmarshalJSON(text []byte) error {
	if bytes.HasPrefix(text, []byte(`"`)) {
		*a = make(audience, 1)
		return json.Unmarshal(text, &(*a)[0])
	}
	return json.Unmarshal(text, (*[]string)(a))
}

// subject is a subject identifier (RFC 9493), or one of many parts of Shared
// Signals, of which the user counts.
type subject struct {
	Format  string   `json:"format"`
	Issuer  string   `json:"iss"`
	Subject string   `json:"sub"`
	Email   string   `json:"email"`
	ID      string   `json:"id"`
	User    *subject `json:"user"`
}

// check says which user a pushed event is about, once it is found good.
func (h *handler) check(ctx context.Context, text string) (*event, *problem) {
	signed, err := jose.ParseSignedCompact(text, algorithms)
	var unexpected *jose.ErrUnexpectedSignatureAlgorithm
	switch {
	case errors.As(err, &unexpected):
		return nil, refuse(codeInvalidKey, "the event is signed with an algorithm that is not taken: use RS256, ES256, PS256 or EdDSA")
	case err != nil:
		return nil, refuse(codeInvalidRequest, "the body is no signed security event token")
	case !isType(signed):
		return nil, refuse(codeInvalidRequest, "the typ in the header of the event is not "+typ)
	}
	var c claims
	if err := json.Unmarshal(signed.UnsafePayloadWithoutVerification(), &c); err != nil {
		return nil, refuse(codeInvalidRequest, "the claims of the event cannot be read")
	}
	from, known := h.issuers[c.Issuer]
	if !known {
		return nil, refuse(codeInvalidIssuer, "the iss of the event is not known here")
	}
	key, err := from.keys.find(ctx, signed.Signatures[0].Protected.KeyID)
	switch {
	case errors.Is(err, errNoKey):
		return nil, refuse(codeInvalidKey, "the kid of the event is of no key of its issuer")
	case err != nil:
		h.Log.Error(err, "could not read the keys of an issuer of security events", "issuer", from.Issuer)
		return nil, unavailable("could not read the keys of the issuer: try again")
	}
	if _, err := signed.Verify(key); err != nil {
		return nil, refuse(codeAuthenticationFailed, "the signature of the event does not fit")
	}
	if problem := c.check(from, h.Clock.Now()); problem != nil {
		return nil, problem
	}
	return c.event(from)
}

// isType says that a token is an event and no other JWT of its issuer, such as an
// ID token (RFC 8417 section 4.5).
func isType(signed *jose.JSONWebSignature) bool {
	text, _ := signed.Signatures[0].Protected.ExtraHeaders[jose.HeaderType].(string)
	text = strings.ToLower(text)
	return strings.TrimPrefix(text, "application/") == typ
}

// check checks what every event has to have.
func (c *claims) check(from *issuer, now time.Time) *problem {
	switch {
	case !slices.Contains(c.Audience, from.Audience):
		return refuse(codeInvalidAudience, "the aud of the event is not meant for here")
	case c.ID == "" || len(c.ID) > mostID:
		return refuse(codeInvalidRequest, "the jti of the event is missing, or longer than 256 bytes")
	case c.IssuedAt == nil:
		return refuse(codeInvalidRequest, "the iat of the event is missing")
	case len(c.Events) == 0:
		return refuse(codeInvalidRequest, "the events of the event are missing")
	}
	issued := instant(*c.IssuedAt)
	switch {
	case issued.After(now.Add(clockTolerance)):
		return refuse(codeInvalidRequest, "the iat of the event is in the future")
	case now.Sub(issued) > from.Age():
		return refuse(codeInvalidRequest, "the event is too old")
	}
	return nil
}

// event says what a good event asks for: nothing, where it is of other types.
func (c *claims) event(from *issuer) (*event, *problem) {
	found := &event{issuer: from, id: c.ID}
	for _, kind := range slices.Sorted(maps.Keys(c.Events)) {
		name, revokes := revoking[kind]
		if !revokes {
			continue
		}
		var told struct {
			Subject  *subject `json:"subject"` // of earlier drafts
			Happened *float64 `json:"event_timestamp"`
		}
		if err := json.Unmarshal(c.Events[kind], &told); err != nil {
			return nil, refuse(codeInvalidRequest, "the "+name+" in the event cannot be read")
		}
		about := c.Subject
		if about == nil {
			about = told.Subject
		}
		user, problem := from.user(about)
		switch {
		case problem != nil:
			return nil, problem
		case found.user != "" && user != found.user:
			return nil, refuse(codeInvalidRequest, "the event is about more than one user")
		}
		found.user, found.names = user, append(found.names, name)
		if at := happened(told.Happened, c.Happened, c.IssuedAt); at.After(found.at) {
			found.at = at
		}
	}
	return found, nil
}

// happened is when what an event tells of happened: the first moment that it says,
// though none after its issue.
func happened(candidates ...*float64) time.Time {
	issued := instant(*candidates[len(candidates)-1])
	for _, each := range candidates {
		if each != nil && !instant(*each).After(issued) {
			return instant(*each)
		}
	}
	return issued
}

// latest is the last second that can be written.
const latest = 253402300799

func instant(seconds float64) time.Time {
	return time.Unix(int64(min(max(seconds, 0), latest)), 0)
}

// user is the name of the user that a subject is: one of the issuer's own.
func (i *issuer) user(about *subject) (string, *problem) {
	if about != nil && about.User != nil {
		about = about.User
	}
	if about == nil {
		return "", refuse(codeInvalidRequest, "the event does not say whom it is about: give a sub_id")
	}
	var name string
	switch i.Users.Identifier {
	case config.IdentifierSubject:
		if about.Format == "iss_sub" && about.Issuer == i.Issuer {
			name = about.Subject
		}
	case config.IdentifierEmail:
		if about.Format == "email" {
			name = about.Email
		}
	case config.IdentifierID:
		if about.Format == "opaque" {
			name = about.ID
		}
	}
	name = strings.TrimSpace(name)
	if name == "" {
		return "", refuse(codeInvalidRequest, "the subject of the event is not of the format that this issuer's users are known by, or of another issuer")
	}
	if name = i.Users.Prefix + name; len(name) > mostUser || untrusted.Text(name, mostUser) != name {
		return "", refuse(codeInvalidRequest, "the subject of the event is no user name: it is too long, or not printable")
	}
	return name, nil
}
