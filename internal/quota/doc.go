// Package quota keeps the ledger of places: which AccessTokens of a namespace have
// a token, or are about to get one.
//
// It owns who gets a place and who loses one, as pure functions of the ledger, of
// what is known of the AccessTokens, of the limits and of the time; and the Fence
// that keeps an issue and a loss of its place apart within one process. It reads
// and writes nothing: controllers/accesstokenquota observes and persists,
// controllers/accesstoken issues to those who are in the ledger.
package quota
