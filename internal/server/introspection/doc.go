// Package introspection is the OAuth 2.0 token introspection endpoint (RFC
// 7662): a resource server asks whether a token that it was presented is good
// for it, whose it is and what it may do.
//
// It owns the request and the answer. Who may ask about which audience is for
// internal/caller to find out, whether a token is good for internal/verify. It
// never gives back the token, nor says why one is inactive.
package introspection
