// Package operator installs the operator into a development control plane and
// runs its manager as a child process under the rights of the manager's own
// service account.
//
// It owns what "the operator runs" means for `make up`, the demo, the end-to-end
// tests and the benchmarks: the policies bind and the manager says that it is
// ready. Building the manager and running the control plane are not its business.
package operator
