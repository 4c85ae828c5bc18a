// Package accesstokenquota keeps the AccessTokenQuota of each namespace: it
// observes who wants a place, who holds one and who has no more use for it, lets
// internal/quota settle the ledger, and writes it, once for all that changed.
//
// It is the only writer of the ledger, and of nothing else. It issues and ends no
// token (package accesstoken does, to those who are in the ledger), and sets no
// limit (AccessTokenPolicies do).
package accesstokenquota
