// Package operator installs the operator into a development control plane and
// runs its programs, manager and verifier, as child processes, each under the
// rights of its own service account.
//
// It owns what "the operator runs" means for `make up`, the demo, the end-to-end
// tests and the benchmarks: the policies bind and the programs say that they are
// ready. Building them and running the control plane are not its business.
package operator
