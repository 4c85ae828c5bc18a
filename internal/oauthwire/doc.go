// Package oauthwire is how OAuth 2.0 endpoints read requests and write answers:
// the form, the error codes and the headers of RFC 6749, which RFC 7662 and RFC
// 7009 build on.
//
// It refuses every request that could be read in two ways. It knows no token, no
// caller and no endpoint: internal/caller and the packages below internal/server
// do.
package oauthwire
