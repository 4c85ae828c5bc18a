// Package gateway decides whether a request that a gateway received may go on:
// by a policy that the verifier's configuration names, and by the one decision
// of internal/verify.
//
// It owns what is the same for every gateway: how a policy is found, where a
// token may be, whose word on the client's address is taken, what the answers
// are called, and what the service behind the gateway is told of the token. How
// a gateway asks and is answered is for internal/server/forwardauth and
// internal/server/extauthz.
package gateway
