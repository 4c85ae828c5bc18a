package introspection

import (
	"strings"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/oauthwire"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// inactive is the whole answer about a token that is not good for the caller
// (RFC 7662 section 2.2): there is no word on why.
type inactive struct {
	Active bool `json:"active"`
}

// active is the answer about a token that is good (RFC 7662 section 2.2). Names
// of ours begin with a domain of ours, so that they collide with nobody's.
type active struct {
	Active    bool     `json:"active"`
	Scope     string   `json:"scope,omitempty"` // absent: not limited by scope
	ClientID  string   `json:"client_id"`       // the AccessToken that declares it
	Username  string   `json:"username"`        // the user that it acts as
	TokenType string   `json:"token_type"`      // Bearer
	Exp       int64    `json:"exp,omitempty"`   // absent: it does not end by itself
	Iat       int64    `json:"iat"`             //
	Sub       string   `json:"sub"`             // the user's UID, which no other user ever has
	Aud       []string `json:"aud"`             // those that the caller may ask about
	Iss       string   `json:"iss,omitempty"`   //
	Jti       string   `json:"jti"`             // the token ID
	Namespace string   `json:"accesstoken.dev/namespace"`
	Name      string   `json:"accesstoken.dev/name"`
	Groups    []string `json:"accesstoken.dev/groups,omitempty"`
}

// describe says what the caller gets to know of a token that is good for these
// audiences.
func (h *handler) describe(t *verify.Token, audiences []string) active {
	answer := active{
		Active:    true,
		Scope:     strings.Join(t.Scopes().Items(), " "),
		ClientID:  v1alpha1.PrincipalPrefix + t.Namespace() + ":" + t.Name(),
		Username:  t.Subject(),
		TokenType: oauthwire.TokenTypeBearer,
		Iat:       t.IssuedAt().Unix(),
		Sub:       t.SubjectUID(),
		Aud:       audiences,
		Iss:       h.Issuer,
		Jti:       t.ID(),
		Namespace: t.Namespace(),
		Name:      t.Name(),
		Groups:    t.Groups().Items(),
	}
	if answer.Sub == "" {
		answer.Sub = t.Subject()
	}
	if end, ends := t.Lifetime().End(h.Clock.Now()); ends {
		answer.Exp = end.Unix() // the second in which it ends: cut, never later
	}
	return answer
}
