// Package caller finds out who asks an OAuth endpoint of the verifier, and about
// tokens for which audiences they may ask.
//
// A caller is a service account, whose JWT the API server checks and whose
// rights RBAC says, or the holder of a token of ours with the reserved scope
// accesstoken.dev:introspect. Either credential has to be meant for the
// verifier's own audience.
//
// It owns the questions to the API server and how long their answers hold. A
// question that could not be answered is neither yes nor no, and is not
// remembered. Credentials are not kept: answers are found by a keyed digest.
// What a caller gets to know is for the packages below internal/server to say.
package caller
