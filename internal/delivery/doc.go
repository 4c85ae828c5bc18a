// Package delivery says what a Secret holds for a token, key by key, and reads
// from its managedFields who owns what in it.
//
// It owns the formats of spec.secret and the judgement whether what the
// operator wrote is still as it was written. It makes no request and decides
// nothing about what follows from a Secret that somebody else changed.
package delivery
