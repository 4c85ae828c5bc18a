// Package revocation is the OAuth 2.0 token revocation endpoint (RFC 7009):
// whoever holds a token can end it, whatever it was meant for.
//
// It owns the request and the write to the token's record. The token is the
// proof, so nobody else authenticates. Success means that the end is stored. Of
// a token that proves nothing it only says that there is nothing to do. That
// holds for one, too, whose record this verifier has not seen yet: a moment
// after the issue.
package revocation
