// Package delegation proves that whoever declared an AccessToken has the rights that
// it takes: to act as the subject that the token acts as, to give it reserved scopes,
// to have it without expiry. That is, that admission policy asked for the right when
// it was declared, and that the creator has it still. No proof, no issue.
//
// It decides nothing else about a token. Each proof is made when it is needed; all
// that is kept is since when the policies are as they are. Whether policies bind the
// manager's own account is the business of package canary.
package delegation
