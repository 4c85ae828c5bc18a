// Package token owns the text of an access token: how it is made, read,
// checked for typing errors and kept out of logs, and how the ID of a declared
// token follows from its AccessToken.
//
//	kat_abcdefghijklmnop_SSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSCCCCCC
//	│   │                │                                          └ checksum, 6 characters
//	│   │                └ secret, 43 characters
//	│   └ token ID, 16 characters
//	└ prefix
//
// It is pure: no clock, no store, no logger. Whether a token is good is for
// internal/record to say, which compares digests and never sees the text.
// docs/token-format.md describes the format for readers outside the project.
package token
