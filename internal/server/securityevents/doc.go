// Package securityevents receives what identity providers tell of their users:
// security event tokens (RFC 8417), pushed as RFC 8935 says, of OpenID Shared
// Signals (CAEP credential-change and session-revoked, RISC account-disabled). Each
// becomes a ClusterTokenRevocation of the user's tokens.
//
// It owns the check of an event, which user of which issuer it is about, and the
// keys of issuers. It revokes nothing itself: the object does.
package securityevents
