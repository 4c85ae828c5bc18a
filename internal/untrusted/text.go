package untrusted

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

// secret finds what follows a token's ID, also where the token was cut or
// mistyped: somebody who pasted one into a header may have done that too.
var secret = regexp.MustCompile(regexp.QuoteMeta(token.Prefix) + `([a-z2-7]{16}_)[0-9A-Za-z]+`)

const redacted = token.Prefix + "${1}[redacted]"

// jwt finds a JSON Web Token, or a part of one: its header begins with {" in
// base64url (RFC 7515 section 7.1). It is a credential of somebody else's, such as
// a service account's, and may be good for more than one of ours.
var jwt = regexp.MustCompile(jwtStart + `[0-9A-Za-z_-]{5,}[0-9A-Za-z_.-]*`)

const (
	jwtStart    = "eyJ"
	redactedJWT = jwtStart + "[redacted]"
)

// headroom is how much more than is kept is looked at: text that is not
// printable makes room for what follows it.
const headroom = 4

// Text returns at most that many bytes of a text, in whole characters: valid
// UTF-8 without control characters, line ends and others that do not show, and
// with the secret of a token, and all of a JWT, replaced by [redacted]. Text that
// is fit already is returned as it is, without allocation.
func Text(text string, most int) string {
	if len(text) <= most && plain(text) {
		return text
	}
	text = cut(text, headroom*most)
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
	// Redacting comes last but for the cut, since what was taken out may have stood
	// in the middle of a token.
	text = secret.ReplaceAllString(text, redacted)
	return cut(jwt.ReplaceAllLiteralString(text, redactedJWT), most)
}

// plain says that a text is printable ASCII in which no token and no JWT can be.
func plain(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return !strings.Contains(text, token.Prefix) && !strings.Contains(text, jwtStart)
}

// cut returns at most that many bytes of a text, and no part of a character.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}
