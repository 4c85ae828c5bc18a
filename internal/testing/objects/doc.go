// Package objects declares AccessTokens on the control plane of testenv, as an
// administrator, and shows what becomes of them: for tests of running programs. The
// clients of other tests come from here too.
package objects
