// Package extauthz answers Envoy, and what is built on it, by its external
// authorization protocol: gRPC, envoy.service.auth.v3.
//
// The policy is the context extension of that name, which Envoy's configuration
// sets and no client can. What is decided, and by what, is for internal/gateway;
// here is how Envoy tells of a request and what it does with an answer.
package extauthz
