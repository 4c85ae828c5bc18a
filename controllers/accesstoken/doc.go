// Package accesstoken reconciles AccessTokens: it observes the records and
// Secrets of each, performs what internal/lifecycle decides (issue, publish,
// end, withdraw), and owns the AccessToken's status.
//
// It is the only writer of tokens into Secrets. It does not delete ended
// records (package tokenrecord does), make keys (package key), or decide when
// something is due.
package accesstoken
