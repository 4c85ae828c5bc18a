package accesstoken

import (
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Watches lets tests wake a reconciler by what a running controller is woken by.
func (r *Reconciler) Watches(informers cache.Cache) []source.Source { return r.watches(informers) }
