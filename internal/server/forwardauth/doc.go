// Package forwardauth answers gateways that ask over HTTP before they let a
// request through: nginx by auth_request, and Traefik and Caddy by forward auth.
//
// Each dialect has a path of its own and reads its own headers only, since a
// gateway passes on what else the client sends. The path names the policy; a
// query decides nothing. What is decided, and by what, is for internal/gateway.
package forwardauth
