package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AccessTokenPolicySpec sets limits for the AccessTokens of some namespaces. Of
// several policies that select a namespace, the strictest holds, field by field.
// A default of the operator holds only where no selecting policy sets that field,
// so that a policy can also raise it.
type AccessTokenPolicySpec struct {
	// namespaceSelector selects the namespaces that this policy is about, by
	// their labels. Absent or empty means every namespace.
	//
	// +optional
	NamespaceSelector *NamespaceSelector `json:"namespaceSelector,omitempty"`

	// requireDescription says that an AccessToken has to have a description, and
	// not one of white space alone. Absent or false means that this policy does not
	// ask for one.
	//
	// +optional
	RequireDescription bool `json:"requireDescription,omitempty"`

	// maxAge sets how long tokens live. Absent means that this policy does not.
	//
	// +optional
	MaxAge *PolicyMaxAge `json:"maxAge,omitempty"`

	// rotation limits how long a token goes without being replaced. Absent means
	// that this policy does not.
	//
	// +optional
	Rotation *PolicyRotation `json:"rotation,omitempty"`

	// scopes limits what tokens may be used for. Absent means that this policy does
	// not.
	//
	// +optional
	Scopes *PolicyScopes `json:"scopes,omitempty"`

	// audiences limits who tokens may be meant for. Absent means that this policy
	// does not.
	//
	// +optional
	Audiences *PolicyAudiences `json:"audiences,omitempty"`

	// subjects limits who tokens may act as. Absent means that this policy does
	// not; tokens for users then take another policy that names them.
	//
	// +optional
	Subjects *PolicySubjects `json:"subjects,omitempty"`

	// retirement takes back tokens that nobody uses. Absent means that this policy
	// does not.
	//
	// +optional
	Retirement *PolicyRetirement `json:"retirement,omitempty"`

	// onViolation is what becomes of the token of an AccessToken that was declared
	// before this policy and does not keep it. Keep, the default: it lives on until
	// its end, and no other follows. End: it is ended.
	//
	// +optional
	OnViolation OnViolation `json:"onViolation,omitempty"`

	// quota limits how many AccessTokens have a token. Absent means that this
	// policy does not.
	//
	// +optional
	Quota *PolicyQuota `json:"quota,omitempty"`
}

// PolicyQuota limits how many AccessTokens have a token. One that is suspended
// keeps its place; one that expired with nothing to follow, was revoked or is
// deleted has none. A lower limit takes no token away: it only lets no other one
// follow.
//
// +kubebuilder:validation:MinProperties=1
type PolicyQuota struct {
	// tokens is how many there are in a namespace at most, from 0 to 10000.
	// Absent means that this policy does not say; where none does, it is 100.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	Tokens *int32 `json:"tokens,omitempty"`

	// tokensPerSubject is how many act as the same service account or user in a
	// namespace at most, from 0 to 10000. It does not concern tokens that are
	// their own principals. Absent means that this policy does not say; where
	// none does, it is 10.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	TokensPerSubject *int32 `json:"tokensPerSubject,omitempty"`
}

// NamespaceSelector selects namespaces by their labels. All of matchLabels and
// matchExpressions have to hold.
type NamespaceSelector struct {
	// matchLabels are labels that a namespace has to have, with these values;
	// at most 16. Absent means that none are asked for.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 317 && !format.qualifiedName().validate(k).hasValue())",message="each key must be the key of a label, for example team or example.com/team"
	MatchLabels map[string]LabelValue `json:"matchLabels,omitempty"`

	// matchExpressions are requirements on labels; at most 16. Absent means
	// none.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	MatchExpressions []NamespaceRequirement `json:"matchExpressions,omitempty"`
}

// NamespaceRequirement is a requirement on one label.
//
// +kubebuilder:validation:XValidation:rule="(self.operator in ['In', 'NotIn']) == has(self.values)",fieldPath=`.values`,message="belongs to the operators In and NotIn: required with these, and with these only"
type NamespaceRequirement struct {
	// key is the label that the requirement is about.
	//
	// +required
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:XValidation:rule="!format.qualifiedName().validate(self).hasValue()",message="must be the key of a label, for example team or example.com/team"
	Key string `json:"key"`

	// operator is how values relate to the label. In: its value is one of them.
	// NotIn: it is none of them, or there is no such label. Exists: there is the
	// label, whatever its value. DoesNotExist: there is not.
	//
	// +required
	// +kubebuilder:validation:Enum=In;NotIn;Exists;DoesNotExist
	Operator metav1.LabelSelectorOperator `json:"operator"`

	// values are what the label is compared with; at least one, at most 32.
	// Required with In and NotIn, absent with the others.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Values []LabelValue `json:"values,omitempty"`
}

// LabelValue is the value of a label.
//
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="!format.labelValue().validate(self).hasValue()",message="must be the value of a label: at most 63 letters, digits, -, _ and ., with a letter or digit at both ends"
type LabelValue string

// AccessTokenPolicy sets limits for the AccessTokens of the namespaces that it
// selects. It grants no rights.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=accesstokenpolicies,singular=accesstokenpolicy,shortName=atp,scope=Cluster
// +kubebuilder:printcolumn:name="MAX AGE",type=string,description="the longest maxAge",JSONPath=`.spec.maxAge.max`
// +kubebuilder:printcolumn:name="SCOPES",type=string,description="the scopes that may be named",JSONPath=`.spec.scopes.allowed`
// +kubebuilder:printcolumn:name="SUBJECTS",type=string,description="the kinds of subjects that tokens may have",JSONPath=`.spec.subjects.kinds`
// +kubebuilder:printcolumn:name="TOKENS",type=integer,description="how many tokens a namespace may have",JSONPath=`.spec.quota.tokens`
// +kubebuilder:printcolumn:name="ON VIOLATION",type=string,description="what becomes of tokens that were there before; empty means Keep",JSONPath=`.spec.onViolation`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="DEFAULT AGE",type=string,priority=1,description="the maxAge of what names none",JSONPath=`.spec.maxAge.default`
// +kubebuilder:printcolumn:name="MAX INTERVAL",type=string,priority=1,description="the longest time between rotations",JSONPath=`.spec.rotation.maxInterval`
// +kubebuilder:printcolumn:name="UNUSED FOR",type=string,priority=1,description="after how long without a use a token is taken back",JSONPath=`.spec.retirement.unusedFor`
// +kubebuilder:printcolumn:name="AUDIENCES",type=string,priority=1,description="the audiences that may be named",JSONPath=`.spec.audiences.allowed`
// +kubebuilder:printcolumn:name="USERS",type=string,priority=1,description="the users that tokens may act as",JSONPath=`.spec.subjects.users`
// +kubebuilder:printcolumn:name="PER SUBJECT",type=integer,priority=1,description="how many tokens a service account or user may have in a namespace",JSONPath=`.spec.quota.tokensPerSubject`
// +kubebuilder:printcolumn:name="DESCRIPTION",type=boolean,priority=1,description="whether one is required",JSONPath=`.spec.requireDescription`
type AccessTokenPolicy struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what the policy sets.
	//
	// +required
	Spec AccessTokenPolicySpec `json:"spec"`
}

// AccessTokenPolicyList is a list of AccessTokenPolicies.
//
// +kubebuilder:object:root=true
type AccessTokenPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []AccessTokenPolicy `json:"items"`
}
