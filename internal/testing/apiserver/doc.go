// Package apiserver drives the two webhooks of kube-apiserver through a real one,
// which is configured with the files of config/apiserver: what a token may do
// there, what it may not, and how long after its end.
//
// The verifier runs in the test binary, over a store that is fed by watches.
// What the webhooks answer in which case is tested beside them.
package apiserver
