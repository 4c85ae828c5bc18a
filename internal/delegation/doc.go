// Package delegation proves that whoever created an AccessToken may act as the
// subject that the token acts as: that admission policy asked for the right when
// the AccessToken was created, and that the creator has it still. No proof, no
// issue.
//
// It decides nothing else about a token, and keeps nothing: each proof is made
// when it is needed. Whether policies bind the manager's own account is the
// business of package canary.
package delegation
