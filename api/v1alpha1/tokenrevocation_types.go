package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RevocationSpec is what is common to both kinds of revocation: which tokens are
// revoked, and until when they were made.
type RevocationSpec struct {
	// subject is whom the tokens act as. Absent means whoever it is; then tokenIDs
	// or all has to say which tokens are meant.
	//
	// +optional
	Subject *RevokedSubject `json:"subject,omitempty"`

	// tokenIDs are the tokens themselves, at most 100, each by its ID: the 16
	// characters between the first two underscores of the token. For more make several
	// revocations. Absent means that subject or all says which tokens are meant.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[a-z2-7]{16}$')",reason=FieldValueForbidden,message="must be the ID of a token, which is the 16 characters between its first two underscores, and never the token itself"
	TokenIDs []string `json:"tokenIDs,omitempty"`

	// all means every token: of the namespace for a TokenRevocation, of the cluster
	// for a ClusterTokenRevocation. Absent means false.
	//
	// +optional
	All bool `json:"all,omitempty"`

	// before is a moment in UTC: tokens that were made in its second or earlier are
	// revoked, later ones are not. Absent means when this object was created, and so
	// does a time after that: what is yet to be made is never revoked.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=27
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?Z$') && !format.datetime().validate(self).hasValue()",message="must be an instant in UTC, for example 2026-11-24T09:00:00Z"
	Before Timestamp `json:"before,omitempty"`

	// reason says why, in words for people: up to 256 characters. Absent means that
	// nobody said.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason,omitempty"`

	// reissue gives every AccessToken whose token is revoked a new one at once. The
	// old one is not good beside it. Absent or false means that the AccessToken has
	// no token until somebody asks for one.
	//
	// +optional
	Reissue bool `json:"reissue,omitempty"`
}

// RevokedSubject is whom tokens act as that are revoked.
type RevokedSubject struct {
	// kind is what kind of identity it is. AccessToken: the tokens of an AccessToken
	// that are their own principal. ServiceAccount: those that act as a service
	// account. User: those that act as a user of this name.
	//
	// +required
	Kind RevokedSubjectKind `json:"kind"`

	// name is that of the AccessToken or of the service account, in the namespace
	// of the revocation, or the user name.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Name string `json:"name"`
}

// RevokedSubjectKind is what kind of identity a RevokedSubject is.
//
// +kubebuilder:validation:Enum=AccessToken;ServiceAccount;User
type RevokedSubjectKind string

const (
	// RevokedAccessToken: tokens of an AccessToken that are their own principal.
	RevokedAccessToken RevokedSubjectKind = "AccessToken"
	// RevokedServiceAccount: tokens that act as a service account.
	RevokedServiceAccount RevokedSubjectKind = "ServiceAccount"
	// RevokedUser: tokens that act as a user of this name.
	RevokedUser RevokedSubjectKind = "User"
)

// TokenRevocationSpec is which tokens of the namespace are revoked. It cannot be
// changed.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",reason=FieldValueForbidden,message="a revocation cannot be changed: create another one"
// +kubebuilder:validation:XValidation:rule="(has(self.subject) ? 1 : 0) + (has(self.tokenIDs) ? 1 : 0) + (has(self.all) && self.all ? 1 : 0) == 1",message="say what is revoked by exactly one of subject, tokenIDs and all: true"
// +kubebuilder:validation:XValidation:rule="!has(self.subject) || self.subject.kind == 'User' || !self.subject.name.contains(':')",fieldPath=`.subject.name`,message="must be the name of the AccessToken or service account alone, without namespace or prefix; for a user name set kind to User"
type TokenRevocationSpec struct {
	RevocationSpec `json:",inline"`
}

// ClusterTokenRevocationSpec is which tokens of the cluster are revoked. It cannot
// be changed.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",reason=FieldValueForbidden,message="a revocation cannot be changed: create another one"
// +kubebuilder:validation:XValidation:rule="(has(self.subject) ? 1 : 0) + (has(self.tokenIDs) ? 1 : 0) + (has(self.all) && self.all ? 1 : 0) + (has(self.namespace) && !has(self.subject) && !has(self.tokenIDs) ? 1 : 0) == 1",message="say what is revoked by exactly one of subject, tokenIDs and all: true, or by a namespace alone for all that is in it"
// +kubebuilder:validation:XValidation:rule="!has(self.subject) || self.subject.kind == 'User' || !self.subject.name.contains(':')",fieldPath=`.subject.name`,message="must be the name of the AccessToken or service account alone, without namespace or prefix; for a user name set kind to User"
// +kubebuilder:validation:XValidation:rule="!has(self.subject) || self.subject.kind == 'User' || has(self.namespace)",fieldPath=`.namespace`,reason=FieldValueRequired,message="is needed for a subject of kind AccessToken or ServiceAccount: name the namespace that it is in"
type ClusterTokenRevocationSpec struct {
	// namespace limits the revocation to tokens in a namespace; alone it means all
	// of them. Absent means wherever they are.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	RevocationSpec `json:",inline"`
}

// RevocationStatus is what became of a revocation. Verifiers do not wait for it.
type RevocationStatus struct {
	// conditions say how far it is; see the Condition constants of revocations.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation that the status is about.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// effectiveBefore is the moment that counts: spec.before, or the creation of
	// this object where that is earlier.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=27
	EffectiveBefore Timestamp `json:"effectiveBefore,omitempty"`

	// revoked counts the tokens that were good until this revocation. Those that
	// had ended before do not count. It never falls.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Revoked *int64 `json:"revoked,omitempty"`

	// reissued counts the AccessTokens that have a new token since, where
	// spec.reissue asks for one. It never falls.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Reissued *int64 `json:"reissued,omitempty"`
}

// TokenRevocation voids tokens of its namespace that were made up to a moment.
// Every verifier refuses them within a second. Deleting it brings nothing back.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=tokenrevocations,singular=tokenrevocation,shortName=trev,scope=Namespaced
// +kubebuilder:printcolumn:name="READY",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="REASON",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="KIND",type=string,description="what the subject is",JSONPath=`.spec.subject.kind`
// +kubebuilder:printcolumn:name="SUBJECT",type=string,description="whom the tokens act as; empty for IDs and for all",JSONPath=`.spec.subject.name`
// +kubebuilder:printcolumn:name="ALL",type=boolean,description="whether every token is meant",JSONPath=`.spec.all`
// +kubebuilder:printcolumn:name="BEFORE",type=string,description="tokens made until then are revoked",JSONPath=`.status.effectiveBefore`
// +kubebuilder:printcolumn:name="REVOKED",type=integer,JSONPath=`.status.revoked`
// +kubebuilder:printcolumn:name="REISSUED",type=integer,JSONPath=`.status.reissued`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="WHY",type=string,priority=1,JSONPath=`.spec.reason`
type TokenRevocation struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what is revoked. It cannot be changed.
	//
	// +required
	Spec TokenRevocationSpec `json:"spec"`

	// status is what became of it.
	//
	// +optional
	Status RevocationStatus `json:"status,omitzero"`
}

// TokenRevocationList is a list of TokenRevocations.
//
// +kubebuilder:object:root=true
type TokenRevocationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []TokenRevocation `json:"items"`
}

// ClusterTokenRevocation voids tokens anywhere in the cluster that were made up to
// a moment. Every verifier refuses them within a second.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=clustertokenrevocations,singular=clustertokenrevocation,shortName=ctrev,scope=Cluster
// +kubebuilder:selectablefield:JSONPath=`.spec.namespace`
// +kubebuilder:printcolumn:name="READY",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="REASON",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="NAMESPACE",type=string,description="the namespace that it is limited to",JSONPath=`.spec.namespace`
// +kubebuilder:printcolumn:name="KIND",type=string,description="what the subject is",JSONPath=`.spec.subject.kind`
// +kubebuilder:printcolumn:name="SUBJECT",type=string,description="whom the tokens act as; empty for IDs and for all",JSONPath=`.spec.subject.name`
// +kubebuilder:printcolumn:name="ALL",type=boolean,description="whether every token is meant",JSONPath=`.spec.all`
// +kubebuilder:printcolumn:name="BEFORE",type=string,description="tokens made until then are revoked",JSONPath=`.status.effectiveBefore`
// +kubebuilder:printcolumn:name="REVOKED",type=integer,JSONPath=`.status.revoked`
// +kubebuilder:printcolumn:name="REISSUED",type=integer,JSONPath=`.status.reissued`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="WHY",type=string,priority=1,JSONPath=`.spec.reason`
type ClusterTokenRevocation struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what is revoked. It cannot be changed.
	//
	// +required
	Spec ClusterTokenRevocationSpec `json:"spec"`

	// status is what became of it.
	//
	// +optional
	Status RevocationStatus `json:"status,omitzero"`
}

// ClusterTokenRevocationList is a list of ClusterTokenRevocations.
//
// +kubebuilder:object:root=true
type ClusterTokenRevocationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []ClusterTokenRevocation `json:"items"`
}
