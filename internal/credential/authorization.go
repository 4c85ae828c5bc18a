package credential

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

// Scheme is an HTTP authentication scheme.
type Scheme string

// The schemes in which a token can be presented. With Basic it is the password.
const (
	Bearer Scheme = "Bearer" // RFC 6750
	Basic  Scheme = "Basic"  // RFC 7617
)

var (
	// ErrMissing says that there is no Authorization header, or nothing in it.
	ErrMissing = errors.New("no Authorization header")

	// ErrAmbiguous says that there are two Authorization headers, or one that
	// proxies may read as two.
	ErrAmbiguous = errors.New("more than one Authorization header, or one with a comma")

	// ErrScheme says that the scheme is not one that is accepted here.
	ErrScheme = errors.New("authentication scheme is not accepted here")

	// ErrMalformed says that what follows the scheme cannot be read.
	ErrMalformed = errors.New("malformed Authorization header")

	// ErrMisplaced says that a token is in the query string or in a cookie, where
	// logs and other sites get to see it (RFC 6750 section 2.3).
	ErrMisplaced = errors.New("a token is in the query string or in a cookie: send it in the Authorization header only")
)

// mostHeader bounds what is looked at: a token in Basic with a long user name is
// far shorter.
const mostHeader = 4096

// FromAuthorization returns the token in the values of the Authorization header.
// The error is one of this package's, and holds no part of the values.
func FromAuthorization(values []string, accepted ...Scheme) (string, error) {
	switch {
	case len(values) == 0, len(values) == 1 && strings.Trim(values[0], " \t") == "":
		return "", ErrMissing
	case len(values) > 1, strings.Contains(values[0], ","):
		return "", ErrAmbiguous
	case len(values[0]) > mostHeader:
		return "", ErrMalformed
	}
	name, rest, _ := strings.Cut(values[0], " ")
	for _, scheme := range accepted {
		if strings.EqualFold(name, string(scheme)) {
			return read(scheme, strings.Trim(rest, " "))
		}
	}
	return "", ErrScheme
}

func read(scheme Scheme, credentials string) (string, error) {
	if scheme == Basic {
		if strings.ContainsAny(credentials, "\r\n") {
			return "", ErrMalformed // the decoder would pass over them
		}
		decoded, err := base64.StdEncoding.DecodeString(credentials)
		if err != nil {
			return "", ErrMalformed
		}
		_, password, ok := strings.Cut(string(decoded), ":")
		if !ok {
			return "", ErrMalformed
		}
		credentials = password
	}
	if credentials == "" || strings.ContainsAny(credentials, " \t\r\n") {
		return "", ErrMalformed
	}
	return credentials, nil
}

// CheckPlacement fails with ErrMisplaced when a token of ours is in a query
// string or in one of the Cookie headers, as it is or percent-encoded.
func CheckPlacement(rawQuery string, cookies []string) error {
	if misplaced(rawQuery) || slices.ContainsFunc(cookies, misplaced) {
		return ErrMisplaced
	}
	return nil
}

func misplaced(text string) bool {
	return token.In(text) || strings.Contains(text, "%") && token.In(unescape(text))
}

// unescape decodes what is percent-encoded, and leaves what is not well encoded
// as it is: one % of the client's must not hide the rest.
func unescape(text string) string {
	var decoded strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if b, err := hex.DecodeString(text[i+1 : i+3]); err == nil {
				decoded.WriteByte(b[0])
				i += 2
				continue
			}
		}
		decoded.WriteByte(text[i])
	}
	return decoded.String()
}
