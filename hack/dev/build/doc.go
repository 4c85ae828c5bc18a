// Command build builds what development needs from source: the control plane
// (etcd, kube-apiserver, kube-controller-manager, kubectl) into a cache folder
// outside the clone, and pinned tools into bin/. Programs of the control plane
// that are in the cache, or that KUBEBUILDER_ASSETS provides, are left alone.
//
// It owns how things are built and how that is shown. Which versions they have
// is in the go.mod files below hack/; where the control plane goes is
// internal/controlplane/assets. It needs only the standard library, so that it
// starts at once in a fresh clone.
package main
