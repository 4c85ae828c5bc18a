package v1alpha1

// Labels select objects; annotations talk to and from the operator.
const (
	// LabelAccessToken on a Secret or TokenRecord names the AccessToken that it
	// belongs to, so that both can be listed by it. On a Secret its presence is
	// what the operator's watch selects by.
	LabelAccessToken = Group + "/access-token"

	// AnnotationRevision on a Secret is the revision of the token in it. It
	// only rises.
	AnnotationRevision = Group + "/revision"

	// AnnotationTokenID on a Secret is the ID of the token in it.
	AnnotationTokenID = Group + "/token-id"

	// AnnotationFormat on a Secret is the SecretFormat that it was made in, which
	// is fixed as long as the Secret lives.
	AnnotationFormat = Group + "/format"

	// AnnotationTemplateHash on a Secret is a digest of the parts of
	// spec.secret that the content was rendered from, so that a change of them
	// is noticed without reading the content.
	AnnotationTemplateHash = Group + "/template-hash"

	// AnnotationRotateRequestedAt on an AccessToken asks for a new token: one
	// issued in the second of this instant (a Timestamp) or before is replaced
	// at the next whole second. Of this and spec.rotation.notIssuedBefore the
	// later counts.
	AnnotationRotateRequestedAt = Group + "/rotate-requested-at"

	// AnnotationCopyOf on a ClusterTokenRevocation is the TokenRevocation that it is
	// the copy of, as namespace/name: it stays in force when that is deleted. The name *
	// is that of all TokenRevocations of a namespace that has too many.
	// Admission policy lets only the operator write or delete a copy.
	AnnotationCopyOf = Group + "/copy-of"

	// AnnotationRevokeTokensBefore on a service account voids the tokens that act as
	// it and were made up to this instant (a Timestamp), or up to when the operator
	// sees it, where that is earlier. It works as a ClusterTokenRevocation does, and
	// the operator makes one.
	AnnotationRevokeTokensBefore = Group + "/revoke-tokens-before"

	// AnnotationServiceAccount on a ClusterTokenRevocation is the service account, as
	// namespace/name, whose AnnotationRevokeTokensBefore it was made from. Admission
	// policy guards it as it guards copies.
	AnnotationServiceAccount = Group + "/service-account"

	// AnnotationSecurityEvent on a ClusterTokenRevocation is the jti of the security
	// event token that it was made from.
	AnnotationSecurityEvent = Group + "/security-event"

	// AnnotationLeader on a TokenRecord is the term of the manager that created it, as
	// HOLDER/TRANSITIONS of the managers' Lease. Admission policy refuses a create
	// with another term than the Lease's. Absent: the manager had no leader election.
	AnnotationLeader = Group + "/leader"

	// AnnotationCanary on a TokenRecord, or on an AccessToken with a subject, makes
	// admission policy refuse it, which proves that the policy is in force.
	AnnotationCanary = Group + "/canary"

	// AnnotationCreatedBy on an AccessToken is the user name of whoever created
	// it, written and guarded by admission policy.
	AnnotationCreatedBy = Group + "/created-by"

	// AnnotationCreatedByUID on an AccessToken is that user's UID, absent where
	// the authenticator gives none.
	AnnotationCreatedByUID = Group + "/created-by-uid"

	// AnnotationCreatedByGroups on an AccessToken is the groups that this user was
	// in then, separated by commas; a comma in a group is %2C there, and a percent
	// sign %25.
	AnnotationCreatedByGroups = Group + "/created-by-groups"
)

// VerbIssue is the RBAC verb on tokenrecords, held cluster-wide by the
// project's own accounts only, that admission policy asks of whoever writes
// records or statuses.
const VerbIssue = "issue"

// VerbIssueWithoutExpiry is the RBAC verb on accesstokens that admission
// policy asks of whoever declares a token with maxAge Never.
const VerbIssueWithoutExpiry = "issue-without-expiry"

// ReservedScopePrefix begins the scopes that mean something to this project
// itself. Admission policy asks for the RBAC verb VerbUse on scopes of that name
// of whoever declares a token with one.
const ReservedScopePrefix = Group + ":"

// VerbUse is the RBAC verb on scopes that a reserved scope takes. There are no
// objects of that kind.
const VerbUse = "use"

// ScopeIntrospect is the reserved scope by which the holder of a token may ask
// the verifier about other tokens. A token has to name it: one that was declared
// without scopes does not have it.
const ScopeIntrospect = ReservedScopePrefix + "introspect"

// A token that is its own principal has the user name PrincipalPrefix +
// NAMESPACE + ":" + NAME, and is in the groups GroupAccessTokens and
// GroupAccessTokens + ":" + NAMESPACE.
const (
	PrincipalPrefix   = "accesstoken:"
	GroupAccessTokens = "accesstokens"
)

// Keys of the extra that the user of a token has in Kubernetes, as the verifier's
// TokenReview says. They are in lower case, because they are handed on in
// headers.
const (
	// ExtraTokenID is the token's ID.
	ExtraTokenID = Group + "/token-id"
	// ExtraName is the AccessToken, as namespace/name.
	ExtraName = Group + "/name"
	// ExtraScopes are the token's scopes; absent for one that is not limited by
	// scope.
	ExtraScopes = Group + "/scopes"
)
