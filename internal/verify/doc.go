// Package verify decides about one presented token: is it good, who is it, and
// what may it do? It is the one decision behind every protocol, taken from
// memory.
//
// There are three answers and never two: active, inactive with a reason, and
// could not check, which is an error. Before the secret has proved right, every
// refusal says the same to whoever presented the token and takes the same time.
// A constraint that a protocol cannot check makes the token inactive there.
//
// It owns the order of the checks, the closed set of reasons and what is kept of
// a token in memory. It makes no request, reads no header and writes nothing:
// internal/store fills the index, the packages below internal/server speak the
// protocols, internal/lastused and internal/audit stand around a Verifier.
package verify
