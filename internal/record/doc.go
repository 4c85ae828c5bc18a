// Package record owns what makes a TokenRecord trustworthy: its canonical
// encoding, the seal and the hash over it, the rule that a record is good once,
// and the moment at which it ends.
//
//	C    = canonical encoding of the spec without hash and seal, the cluster,
//	       the namespace and the name
//	seal = HMAC-SHA-256(K, "accesstoken.dev/seal/v1\0"  ‖ SHA-256(C))
//	hash = HMAC-SHA-256(K, "accesstoken.dev/token/v1\0" ‖ SHA-256(C) ‖ SHA-256(secret))
//
// Whoever edits a record, copies it to another namespace or cluster, makes it
// anew or restores it from a backup gets one that does not open. An edited hash
// opens and verifies nothing.
//
// It is pure: it reads no clock, fetches no key and stores nothing. Keys live
// in internal/keys; what is done about an end is for internal/lifecycle to say.
// docs/token-format.md describes the encoding byte by byte.
package record
