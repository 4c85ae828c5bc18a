package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AccessTokenQuotaName is the name of the one AccessTokenQuota of a namespace.
const AccessTokenQuotaName = "tokens"

// AccessTokenQuotaStatus is the ledger of places. Only the operator writes it, and
// only an AccessToken that is in it gets its first token.
type AccessTokenQuotaStatus struct {
	// used is how many AccessTokens hold a place. It is more than hard where the
	// limit was lowered, or where tokens were issued before there were quotas.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Used int32 `json:"used"`

	// hard is how many may hold a place.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Hard int32 `json:"hard"`

	// hardPerSubject is how many of those that act as the same service account
	// or user may.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	HardPerSubject int32 `json:"hardPerSubject"`

	// holders are the AccessTokens that hold a place, in the order in which they
	// got it. Absent means that there are none.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10000
	Holders []PlaceHolder `json:"holders,omitempty"`

	// grantsFrom is when places are granted again, after the ledger was lost and
	// made anew: whoever held one then may be about to use it. Absent means that
	// nothing holds grants back.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=27
	GrantsFrom Timestamp `json:"grantsFrom,omitempty"`
}

// PlaceHolder is an AccessToken that holds a place.
type PlaceHolder struct {
	// uid is that of the AccessToken: one made again under its name is another.
	//
	// +required
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid"`

	// name is that of the AccessToken.
	//
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// subject is the service account or user that its token acts as, such as
	// ServiceAccount/deployer. Absent for a token that is its own principal.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Subject string `json:"subject,omitempty"`

	// grantedAt is when it got the place.
	//
	// +required
	// +kubebuilder:validation:MaxLength=27
	GrantedAt Timestamp `json:"grantedAt"`
}

// AccessTokenQuota shows how many AccessTokens of a namespace have a token, or are
// about to get one, and how many may. There is one in each namespace with
// AccessTokens, named tokens; the operator makes and keeps it. The limits are set
// by AccessTokenPolicies. One that is deleted is made anew from the tokens that
// there are, and grants nothing for a minute.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=accesstokenquotas,singular=accesstokenquota,shortName=atq,scope=Namespaced
// +kubebuilder:printcolumn:name="USED",type=integer,JSONPath=`.status.used`
// +kubebuilder:printcolumn:name="HARD",type=integer,JSONPath=`.status.hard`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="HARD PER SUBJECT",type=integer,priority=1,JSONPath=`.status.hardPerSubject`
// +kubebuilder:validation:XValidation:rule="self.metadata.name == 'tokens'",fieldPath=`.metadata`,message="a namespace has one AccessTokenQuota, which is named tokens"
type AccessTokenQuota struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata; the name is tokens.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// status is the ledger. Absent means that the operator has not written it
	// yet.
	//
	// +optional
	Status AccessTokenQuotaStatus `json:"status,omitzero"`
}

// AccessTokenQuotaList is a list of AccessTokenQuotas.
//
// +kubebuilder:object:root=true
type AccessTokenQuotaList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []AccessTokenQuota `json:"items"`
}
