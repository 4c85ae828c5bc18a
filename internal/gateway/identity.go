package gateway

import (
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// The headers by which the service behind a gateway learns of the token. All are
// always sent: a gateway that copies them then leaves none of the client's.
const (
	HeaderSubject   = "X-Accesstoken-Subject"   // the user name that the token acts as
	HeaderGroups    = "X-Accesstoken-Groups"    // its groups, separated by commas
	HeaderScopes    = "X-Accesstoken-Scopes"    // its scopes, separated by spaces
	HeaderID        = "X-Accesstoken-Id"        // the token's ID
	HeaderName      = "X-Accesstoken-Name"      // the AccessToken's name
	HeaderNamespace = "X-Accesstoken-Namespace" // the AccessToken's namespace
)

// Headers are the names of all of them, in the order of Identity.
var Headers = [...]string{HeaderSubject, HeaderGroups, HeaderScopes, HeaderID, HeaderName, HeaderNamespace}

// Absent is the value of a header of which there is nothing to say.
const Absent = "-"

// Identity returns the values of Headers. None is empty, and each is printable
// ASCII: anything else in an item, and the comma, the percent sign and a hyphen
// that stands alone, is percent-encoded.
func Identity(t *verify.Token) [len(Headers)]string {
	return [...]string{
		one(t.Subject()), joined(t.Groups(), ','), joined(t.Scopes(), ' '), one(t.ID()), one(t.Name()), one(t.Namespace()),
	}
}

func one(item string) string {
	switch {
	case item == "":
		return Absent
	case isPlain(item):
		return item
	}
	return string(appendEncoded(nil, item))
}

func joined(list verify.List, separator byte) string {
	if list.Absent() {
		return Absent
	}
	var buffer [256]byte // on the stack, and enough for most
	text := buffer[:0]
	for item := range list.All() {
		if len(text) > 0 {
			text = append(text, separator)
		}
		text = appendEncoded(text, item)
	}
	return string(text)
}

// isPlain says that an item stands for itself.
func isPlain(item string) bool {
	for i := range len(item) {
		if !plain(item[i]) {
			return false
		}
	}
	return item != Absent
}

func plain(c byte) bool { return c > ' ' && c < 0x7F && c != ',' && c != '%' }

func appendEncoded(text []byte, item string) []byte {
	if item == Absent {
		return append(text, "%2D"...)
	}
	const digits = "0123456789ABCDEF"
	for i := range len(item) {
		if c := item[i]; plain(c) {
			text = append(text, c)
		} else {
			text = append(text, '%', digits[c>>4], digits[c&0xF])
		}
	}
	return text
}
