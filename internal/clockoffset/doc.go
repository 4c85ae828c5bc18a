// Package clockoffset measures how far this program's clock is from the API
// server's, by the Date header of every answer. Issue and expiry are decided by
// the local clock and checked against the API server's: a program whose clock is
// far off must say so before it does harm. It sets no clock.
package clockoffset
