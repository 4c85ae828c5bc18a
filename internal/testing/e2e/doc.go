// Package e2e lets programs that people really use, git, curl and skopeo, sign in
// with what the operator puts into Secrets, at a server that checks each token
// against its sealed record; and an OAuth client library ask the verifier.
//
// It shows that formats and protocols are right for their consumers and that
// issuing, rotation and revocation mean what they say from outside. It runs
// bin/manager and bin/verifier on a real control plane; what a part does in which
// case is tested beside it. The tests are behind the build tag e2e, since they
// need packages of Debian and npm: run them by `make e2e`.
package e2e
