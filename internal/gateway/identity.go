package gateway

import (
	"strings"

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
		one(t.Subject()), joined(t.Groups(), ","), joined(t.Scopes(), " "), one(t.ID()), one(t.Name()), one(t.Namespace()),
	}
}

func one(item string) string {
	if item == "" {
		return Absent
	}
	return encoded(item)
}

func joined(list verify.List, separator string) string {
	if list.Absent() {
		return Absent
	}
	var all string
	var rest strings.Builder
	for item := range list.All() {
		if all == "" {
			all = encoded(item) // most lists have one item: no copy
			continue
		}
		if rest.Len() == 0 {
			rest.WriteString(all)
		}
		rest.WriteString(separator)
		rest.WriteString(encoded(item))
	}
	if rest.Len() > 0 {
		return rest.String()
	}
	return all
}

func encoded(item string) string {
	if item == Absent {
		return "%2D"
	}
	for i := range len(item) {
		if !plain(item[i]) {
			return encodeFrom(item, i)
		}
	}
	return item
}

func plain(c byte) bool { return c > ' ' && c < 0x7F && c != ',' && c != '%' }

func encodeFrom(item string, start int) string {
	const digits = "0123456789ABCDEF"
	out := append(make([]byte, 0, len(item)+16), item[:start]...)
	for _, c := range []byte(item[start:]) {
		if plain(c) {
			out = append(out, c)
		} else {
			out = append(out, '%', digits[c>>4], digits[c&0xF])
		}
	}
	return string(out)
}
