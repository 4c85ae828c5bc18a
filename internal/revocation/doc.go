// Package revocation says which tokens a TokenRevocation or ClusterTokenRevocation
// revokes: one meaning for the verifier, which refuses them, and the manager,
// which writes it into their records.
//
// It owns the effective time, how a subject becomes a user name, and the
// comparison with a record. It reads no cluster and no clock.
package revocation
