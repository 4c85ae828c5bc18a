// Package e2e lets programs that people really use, git, curl and skopeo, sign in
// with what the operator puts into Secrets, at a server that checks each token
// against its sealed record.
//
// It shows that formats are right for their consumers and that issuing, rotation
// and revocation mean what they say from outside. It runs bin/manager on a real
// control plane; what a controller does in which case is tested beside it. The
// tests are behind the build tag e2e, since they need Debian packages: run them
// by `make e2e`.
package e2e
