package v1alpha1

// TokenSubject is the service account or the user that a token acts as. Whoever
// declares it needs the right to act as that subject without a token, which
// admission policy checks, and the operator again at each rotation.
//
// +kubebuilder:validation:XValidation:rule="self.kind != 'ServiceAccount' || !format.dns1123Subdomain().validate(self.name).hasValue()",fieldPath=`.name`,message="must be the name of a service account in this namespace, for example deployer"
// +kubebuilder:validation:XValidation:rule="self.kind != 'User' || !(self.name.startsWith('system:') || self.name.startsWith('accesstoken:'))",fieldPath=`.name`,message="must not begin with system: or accesstoken:, which are not people; for a service account set kind ServiceAccount"
// +kubebuilder:validation:XValidation:rule="!has(self.groups) || self.kind == 'User'",fieldPath=`.groups`,message="belong to a User; those of a service account follow from its namespace"
// +kubebuilder:validation:XValidation:rule="!has(self.onRecreate) || self.kind == 'ServiceAccount'",fieldPath=`.onRecreate`,message="belongs to a ServiceAccount: Kubernetes does not know when a user is made again"
type TokenSubject struct {
	// kind is ServiceAccount, one of this namespace, whose tokens end with it; or
	// User, which an AccessTokenPolicy has to allow in this namespace.
	//
	// +required
	// +kubebuilder:validation:Enum=ServiceAccount;User
	Kind SubjectKind `json:"kind"`

	// name is the name of the service account, or the user name, of up to 256
	// characters. Declaring a service account takes the RBAC verb create on
	// serviceaccounts/token of that name; a user, impersonate on users of that
	// name.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	Name string `json:"name"`

	// groups are those that the user is in when the token is used; at least one, at
	// most 8. Each takes the RBAC verb impersonate on groups of that name. Absent
	// means none. Only with kind User.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:Pattern=`^[^\x00-\x1f\x7f]+$`
	// +kubebuilder:validation:items:XValidation:rule="!self.startsWith('system:') && self != 'accesstokens' && !self.startsWith('accesstokens:')",message="must not be a group of Kubernetes (system:) or of tokens (accesstokens)"
	Groups []string `json:"groups,omitempty"`

	// onRecreate is what becomes of the token when its service account is deleted
	// and made again under the same name. End, the default: the token ended with
	// the old account, and no other is issued. Reissue: a new token is issued for
	// the new account, if the creator still may. Only with kind ServiceAccount.
	//
	// +optional
	// +kubebuilder:validation:Enum=End;Reissue
	OnRecreate OnRecreate `json:"onRecreate,omitempty"`
}

// OnRecreate is what becomes of a token when its subject is made again.
type OnRecreate string

const (
	// OnRecreateEnd: the token stays ended.
	OnRecreateEnd OnRecreate = "End"
	// OnRecreateReissue: a new token is issued for the new subject.
	OnRecreateReissue OnRecreate = "Reissue"
)
