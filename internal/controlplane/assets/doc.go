// Package assets knows which programs a control plane is made of, which
// Kubernetes version they have, and where they are looked up.
//
// It owns the name of the cache folder and uses only the standard library, so
// that the program that fills the cache starts at once. Building the programs
// is hack/dev/build; running them is internal/controlplane.
package assets
