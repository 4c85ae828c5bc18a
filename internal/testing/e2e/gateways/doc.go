// Package gateways puts real gateways, nginx and Caddy, between clients and a
// service, set up by the very files of config/gateways, and asks what the service
// gets to see.
//
// The verifier's handler and its decision are the real ones, over TLS; its tokens
// are issued in memory, so no control plane is needed. The tests are behind the
// build tag e2e, since they need Debian packages: run them by `make e2e`.
package gateways
