// Package faultproxy stands between a manager and the API server and lets some of
// the writes that tokens are issued by go wrong: conflicts, errors, and answers
// that are lost although the write was done.
//
// It owns which writes may go wrong and how; when they do is the caller's to say.
// Tests and benchmarks use it.
package faultproxy
