// Package controlplane runs a real Kubernetes control plane, etcd,
// kube-apiserver and kube-controller-manager, as child processes on loopback,
// for development, tests, the demo and benchmarks.
//
// It owns the processes, their certificates, keys and state folder, and gives
// out client configurations. It does not know the operator: what is installed
// is a kustomize folder that the caller names. It is no cluster for production:
// etcd does not wait for the disk.
//
// Processes never outlive the caller: Stop ends them, and on Linux the kernel
// does when the caller itself is killed. They have process groups of their own,
// so that an interrupt at the terminal reaches the caller first.
package controlplane
