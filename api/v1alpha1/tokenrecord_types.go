package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TokenRecordSpec is what was issued: sealed, immutable, and without a secret.
type TokenRecordSpec struct {
	// accessTokenName is the name of the AccessToken that this token was issued
	// for. Absent for a token that nobody declared.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=63
	AccessTokenName string `json:"accessTokenName,omitempty"`

	// accessTokenUID is the UID of that AccessToken: one made again under the
	// same name is another. Absent for a token that nobody declared.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	AccessTokenUID string `json:"accessTokenUID,omitempty"`

	// revision counts the tokens of one AccessToken from 1. Absent for a token
	// that nobody declared.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	Revision int64 `json:"revision,omitempty"`

	// origin is how the token came to be. Declared: by an AccessToken.
	//
	// +required
	Origin Origin `json:"origin"`

	// subject is who the token acts as.
	//
	// +required
	Subject Subject `json:"subject"`

	// scopes are what the token may be used for. Absent means that it is not
	// limited by scope.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=128
	Scopes []string `json:"scopes,omitempty"`

	// audiences are who may accept the token. Absent means the installation's
	// default audience.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=256
	Audiences []string `json:"audiences,omitempty"`

	// allowedCIDRs are the networks from which the token may be used. Absent
	// means from anywhere.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=43
	AllowedCIDRs []CIDR `json:"allowedCIDRs,omitempty"`

	// issuedAt is when the token was issued, in whole seconds. The record is
	// good only while metadata.creationTimestamp is within 5 minutes of it, so
	// that one made again or restored from a backup is not.
	//
	// +required
	// +kubebuilder:validation:MaxLength=27
	IssuedAt Timestamp `json:"issuedAt"`

	// maxAgeSeconds is how long after issuedAt the token lives, or with
	// extendWhenUsed after its last use. Absent means that it does not expire by
	// age.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxAgeSeconds *int64 `json:"maxAgeSeconds,omitempty"`

	// extendWhenUsed makes maxAgeSeconds count from the last use, which is in
	// status.lastUsedAt, once there was one. Absent or false means that it counts
	// from issuedAt.
	//
	// +optional
	ExtendWhenUsed bool `json:"extendWhenUsed,omitempty"`

	// notAfter is the moment from which the token is refused whatever else
	// holds. Absent means that there is none.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=27
	NotAfter Timestamp `json:"notAfter,omitempty"`

	// creator is who declared the token, as admission policy stamped it on the
	// AccessToken. Absent where no policy did.
	//
	// +optional
	Creator *Creator `json:"creator,omitempty"`

	// keyID names the key that hash and seal were made with.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	KeyID string `json:"keyID"`

	// hash is the keyed hash by which a presented token is verified: 32 bytes
	// in lower-case hexadecimal.
	//
	// +required
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{64}$`
	Hash string `json:"hash"`

	// seal is the keyed hash over every other field of this spec, the cluster,
	// the namespace and the name: 32 bytes in lower-case hexadecimal. A record
	// whose seal does not fit verifies nothing.
	//
	// +required
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{64}$`
	Seal string `json:"seal"`
}

// Origin is how a token came to be.
//
// +kubebuilder:validation:Enum=Declared
type Origin string

// OriginDeclared: an AccessToken declares the token.
const OriginDeclared Origin = "Declared"

// SubjectKind is what kind of identity a token acts as.
type SubjectKind string

const (
	// SubjectKindAccessToken: the token is its own principal, bound to its
	// namespace, with no rights until RBAC grants some.
	SubjectKindAccessToken SubjectKind = "AccessToken"
	// SubjectKindServiceAccount: a service account of the token's namespace, bound
	// to its UID.
	SubjectKindServiceAccount SubjectKind = "ServiceAccount"
	// SubjectKindUser: a person or a machine that Kubernetes keeps no object of.
	SubjectKindUser SubjectKind = "User"
)

// Subject is the identity that a token acts as.
type Subject struct {
	// kind is what kind of identity it is. AccessToken: the token is its own
	// principal. ServiceAccount: one of this namespace. User: a user.
	//
	// +required
	// +kubebuilder:validation:Enum=AccessToken;ServiceAccount;User
	Kind SubjectKind `json:"kind"`

	// name is the user name: accesstoken:NAMESPACE:NAME for a token that is its
	// own principal, system:serviceaccount:NAMESPACE:NAME for a service account.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Name string `json:"name"`

	// uid is the identity's UID: of the AccessToken for a token that is its own
	// principal, of the service account for one. Absent where the identity has
	// none.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`

	// groups are the groups that the identity is in: accesstokens and
	// accesstokens:NAMESPACE for a token that is its own principal. Absent
	// means none.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=256
	Groups []string `json:"groups,omitempty"`
}

// Creator is who declared a token.
type Creator struct {
	// username is the creator's user name.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Username string `json:"username"`

	// uid is the creator's UID. Absent where the authenticator gave none.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=256
	UID string `json:"uid,omitempty"`

	// groupsDigest is the SHA-256 of the annotation accesstoken.dev/created-by-groups
	// when the token was issued, in lower-case hexadecimal, so that a later change of
	// it is noticed. Absent where there was none, and where checked is.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{64}$`
	GroupsDigest string `json:"groupsDigest,omitempty"`

	// checked is how it was proved that the creator may act as the subject, and give
	// the token its reserved scopes and no expiry. Admission: by admission policy, when
	// the AccessToken was created. AccessReview: by a SubjectAccessReview, when this
	// token was issued. Absent for a token that takes no such right.
	//
	// +optional
	// +kubebuilder:validation:Enum=Admission;AccessReview
	Checked CreatorCheck `json:"checked,omitempty"`
}

// CreatorCheck is how a creator's right was proved.
type CreatorCheck string

const (
	// CreatorCheckAdmission: by admission policy, when the AccessToken was created.
	CreatorCheckAdmission CreatorCheck = "Admission"
	// CreatorCheckAccessReview: by a SubjectAccessReview, when the token was issued.
	CreatorCheckAccessReview CreatorCheck = "AccessReview"
)

// TokenRecordStatus takes power away from a token, or records; it never gives
// any.
type TokenRecordStatus struct {
	// revokedAt is the moment from which the token is refused. Absent means not
	// revoked. Once set it stays as it is.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=27
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z$`
	RevokedAt Timestamp `json:"revokedAt,omitempty"`

	// reason says why revokedAt or expiresAt was set. Absent means neither was:
	// the token ends, or ended, by its age.
	//
	// +optional
	Reason EndReason `json:"reason,omitempty"`

	// revokedBy is the revocation that voids the token, as its kind and name:
	// TokenRevocation/NAME, of the record's namespace, or
	// ClusterTokenRevocation/NAME. Absent means that none does.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=300
	RevokedBy string `json:"revokedBy,omitempty"`

	// reissue says that the revocation, or a later one, asks for a new token in the
	// place of this one. Absent or false means that none does.
	//
	// +optional
	Reissue bool `json:"reissue,omitempty"`

	// expiresAt is an end that comes before the token's own, such as that of
	// the overlap after a rotation. Absent means none. Once set it only moves
	// earlier.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=27
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z$`
	ExpiresAt Timestamp `json:"expiresAt,omitempty"`

	// maxAgeSeconds is a lower cap on the age than the spec's. Absent means
	// none. Once set it only shrinks.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxAgeSeconds *int64 `json:"maxAgeSeconds,omitempty"`

	// lastUsedAt is when the token was last accepted, written within ten minutes,
	// and sooner where the end depends on it. Absent means never, as far as is
	// known. Once set it only moves later; a time to come counts as now.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=27
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z$`
	LastUsedAt Timestamp `json:"lastUsedAt,omitempty"`

	// lastUsedFrom is the client's address at that use. Absent where the protocol
	// did not tell it.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=45
	LastUsedFrom string `json:"lastUsedFrom,omitempty"`

	// lastUserAgent is what the client called itself at that use, cut to 256 bytes
	// and without control characters. Absent where the protocol did not tell it.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=256
	LastUserAgent string `json:"lastUserAgent,omitempty"`

	// lastUsedFor is what the token opened at that use: the protocol of the check,
	// and the host where it is known. Absent means unknown.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=300
	LastUsedFor string `json:"lastUsedFor,omitempty"`
}

// EndReason is why a token ended before its age.
//
// +kubebuilder:validation:Enum=Superseded;Suspended;Revoked;Unpublished;Shortened;RevokedByHolder;SubjectGone;CutOff;PolicyViolation;Unused
type EndReason string

const (
	// EndReasonSuperseded: a later token replaced it and the overlap is over.
	EndReasonSuperseded EndReason = "Superseded"
	// EndReasonSuspended: spec.state of its AccessToken was Suspended.
	EndReasonSuspended EndReason = "Suspended"
	// EndReasonRevoked: spec.state of its AccessToken was Revoked.
	EndReasonRevoked EndReason = "Revoked"
	// EndReasonUnpublished: it never reached a Secret, so nobody holds it.
	EndReasonUnpublished EndReason = "Unpublished"
	// EndReasonShortened: spec.maxLifetime became shorter, or spec.extendWhenUsed
	// was taken away.
	EndReasonShortened EndReason = "Shortened"
	// EndReasonRevokedByHolder: whoever held the token revoked it (RFC 7009).
	EndReasonRevokedByHolder EndReason = "RevokedByHolder"
	// EndReasonSubjectGone: the service account that it acted as was deleted.
	EndReasonSubjectGone EndReason = "SubjectGone"
	// EndReasonCutOff: a TokenRevocation or ClusterTokenRevocation voids it; see
	// status.revokedBy.
	EndReasonCutOff EndReason = "CutOff"
	// EndReasonPolicyViolation: an AccessTokenPolicy does not allow it, and ends
	// what it does not allow.
	EndReasonPolicyViolation EndReason = "PolicyViolation"
	// EndReasonUnused: nobody used it for as long as an AccessTokenPolicy allows.
	EndReasonUnused EndReason = "Unused"
)

// TokenRecord is one issued credential; its name is the token ID. Only the
// project's own accounts write records, and what they hold is sealed: an
// edited, copied, re-created or restored record verifies nothing. Deleting one
// ends its token.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=tokenrecords,singular=tokenrecord,shortName=atr,scope=Namespaced
// +kubebuilder:selectablefield:JSONPath=`.spec.origin`
// +kubebuilder:selectablefield:JSONPath=`.spec.accessTokenUID`
// +kubebuilder:selectablefield:JSONPath=`.spec.subject.name`
// +kubebuilder:printcolumn:name="ACCESSTOKEN",type=string,JSONPath=`.spec.accessTokenName`
// +kubebuilder:printcolumn:name="REVISION",type=integer,JSONPath=`.spec.revision`
// +kubebuilder:printcolumn:name="ISSUED",type=string,JSONPath=`.spec.issuedAt`
// +kubebuilder:printcolumn:name="NOT AFTER",type=string,JSONPath=`.spec.notAfter`
// +kubebuilder:printcolumn:name="AGE CAP",type=integer,description="a lower maximum age than the one it was issued with, in seconds",JSONPath=`.status.maxAgeSeconds`
// +kubebuilder:printcolumn:name="ENDS EARLIER",type=string,JSONPath=`.status.expiresAt`
// +kubebuilder:printcolumn:name="REVOKED",type=string,JSONPath=`.status.revokedAt`
// +kubebuilder:printcolumn:name="REASON",type=string,JSONPath=`.status.reason`
// +kubebuilder:printcolumn:name="LAST USED",type=date,JSONPath=`.status.lastUsedAt`
// +kubebuilder:printcolumn:name="REVOKED BY",type=string,priority=1,JSONPath=`.status.revokedBy`
// +kubebuilder:printcolumn:name="SUBJECT",type=string,priority=1,JSONPath=`.spec.subject.name`
// +kubebuilder:printcolumn:name="KEY",type=string,priority=1,JSONPath=`.spec.keyID`
// +kubebuilder:printcolumn:name="USED FROM",type=string,priority=1,JSONPath=`.status.lastUsedFrom`
// +kubebuilder:printcolumn:name="USED BY",type=string,priority=1,JSONPath=`.status.lastUserAgent`
// +kubebuilder:validation:XValidation:rule="self.spec == oldSelf.spec",fieldPath=`.spec`,reason=FieldValueForbidden,message="a record cannot be changed: declare a new AccessToken, or request a rotation"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.revokedAt) || (has(self.status) && has(self.status.revokedAt) && self.status.revokedAt == oldSelf.status.revokedAt)",fieldPath=`.status`,reason=FieldValueForbidden,message="status.revokedAt cannot be unset or moved: a revoked token stays revoked, ask for a new one"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.expiresAt) || (has(self.status) && has(self.status.expiresAt) && timestamp(self.status.expiresAt) <= timestamp(oldSelf.status.expiresAt))",fieldPath=`.status`,reason=FieldValueForbidden,message="status.expiresAt can only move earlier"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.maxAgeSeconds) || (has(self.status) && has(self.status.maxAgeSeconds) && self.status.maxAgeSeconds <= oldSelf.status.maxAgeSeconds)",fieldPath=`.status`,reason=FieldValueForbidden,message="status.maxAgeSeconds can only shrink"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.lastUsedAt) || (has(self.status) && has(self.status.lastUsedAt) && timestamp(self.status.lastUsedAt) >= timestamp(oldSelf.status.lastUsedAt))",fieldPath=`.status`,reason=FieldValueForbidden,message="status.lastUsedAt can only move later"
type TokenRecord struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata; the name is the token ID.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what was issued. It cannot be changed.
	//
	// +required
	Spec TokenRecordSpec `json:"spec"`

	// status takes power away. Absent means that nothing was taken yet.
	//
	// +optional
	Status TokenRecordStatus `json:"status,omitzero"`
}

// TokenRecordList is a list of TokenRecords.
//
// +kubebuilder:object:root=true
type TokenRecordList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []TokenRecord `json:"items"`
}
