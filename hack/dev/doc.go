// Command dev runs the operator on a control plane of its own: `up` keeps it in
// the foreground with its state in .dev/, `demo` takes a scripted tour of it.
//
// It owns what a person sees of that. Control plane and operator are started by
// internal/controlplane; the programs are built by hack/dev/build.
package main
