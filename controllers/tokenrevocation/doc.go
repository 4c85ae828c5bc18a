// Package tokenrevocation writes into records what a TokenRevocation or
// ClusterTokenRevocation revokes, keeps a copy of each TokenRevocation where its
// namespace cannot delete it, or one that stands for all where there are too many,
// counts, and deletes revocations of no more use.
//
// Verifiers refuse what is revoked by the revocation itself: this package makes it
// last. It issues nothing: package accesstoken does, where a record asks for it.
package tokenrevocation
