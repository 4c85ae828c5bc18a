package tokenrevocation

// SetMost has fewer TokenRevocations of a namespace count one by one.
func (r *Reconciler) SetMost(most int) { r.most = most }
