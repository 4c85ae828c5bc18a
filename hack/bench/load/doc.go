// Package load asks a server over and over, and tells how fast it answered. It
// takes as little CPU time as it can, so that on a small machine the server is
// what is measured: requests are bytes that were made before, and of an answer
// only the status line and the length are read.
//
// It knows nothing of tokens. What is asked is the caller's business.
package load
