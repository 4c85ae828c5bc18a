// Package store is the read model that the verifier decides from: every token
// whose record opens, by its ID, and what is known of the AccessTokens and
// namespaces that they depend on, and the revocations. It is fed by watches and read
// without locks.
//
// It owns which records enter the index and when one leaves it, how fresh the
// whole is, and the watches themselves. It keeps no decoded object, reads no
// Secret but that of the keys, and decides about no request: internal/verify
// does.
package store
