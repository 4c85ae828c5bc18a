// Package credential takes the token out of a request: out of one Authorization
// header, and from nowhere else. It refuses what could be read in two ways, and
// finds tokens where they must not be.
//
// Whether a token is good is for internal/verify to say.
package credential
