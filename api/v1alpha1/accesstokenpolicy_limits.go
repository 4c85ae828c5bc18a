package v1alpha1

// OnViolation is what becomes of a token that a policy does not allow.
//
// +kubebuilder:validation:Enum=Keep;End
type OnViolation string

const (
	// OnViolationKeep: it lives on until its end, and no other follows.
	OnViolationKeep OnViolation = "Keep"
	// OnViolationEnd: it is ended.
	OnViolationEnd OnViolation = "End"
)

// PolicyMaxAge sets how long tokens live.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="!has(self.default) || !has(self.max) || [self.default, self.max].exists(d, size(d) == 0 || !d.matches('^([0-9]{1,5}h)?([0-9]{1,4}m)?([0-9]{1,4}s)?$')) || duration(self.default) <= duration(self.max)",fieldPath=`.default`,message="must not be longer than max"
type PolicyMaxAge struct {
	// default is the maxAge of an AccessToken that names none: a duration from 10m
	// to 87600h such as 720h. Absent means that this policy does not say; where none
	// does, it is the operator's own, or max if that is shorter.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}h)?([0-9]{1,4}m)?([0-9]{1,4}s)?$') && self != '' && duration(self) >= duration('10m') && duration(self) <= duration('87600h')",message="must be a duration from 10m to 87600h, for example 720h for 30 days"
	Default Duration `json:"default,omitempty"`

	// max is the longest maxAge, and with extendWhenUsed the longest maxLifetime,
	// that an AccessToken may name: a duration from 10m to 87600h. Never is longer
	// than any. Absent means that this policy does not limit it.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}h)?([0-9]{1,4}m)?([0-9]{1,4}s)?$') && self != '' && duration(self) >= duration('10m') && duration(self) <= duration('87600h')",message="must be a duration from 10m to 87600h, for example 2160h for 90 days"
	Max Duration `json:"max,omitempty"`
}

// PolicyRotation limits how long a token goes without being replaced.
type PolicyRotation struct {
	// maxInterval is the longest rotation.interval that an AccessToken may name: a
	// duration from 10m to 87600h. The times of a schedule may be no further apart,
	// unless the token lives no longer than this: the operator looks at that, and the
	// API server does not. A token with neither has to live no longer than this, and
	// one with Auto no longer than one and a half times this. Where maxAge is absent,
	// this policy's own default counts.
	//
	// +required
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}h)?([0-9]{1,4}m)?([0-9]{1,4}s)?$') && self != '' && duration(self) >= duration('10m') && duration(self) <= duration('87600h')",message="must be a duration from 10m to 87600h, for example 720h for 30 days"
	MaxInterval Duration `json:"maxInterval"`
}

// PolicyScopes limits what tokens may be used for.
type PolicyScopes struct {
	// allowed are the scopes that an AccessToken may name; at least one, at most
	// 64. One that ends in * stands for all that begin so. An AccessToken then has
	// to name scopes, since a token without any is not limited by scope.
	//
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:XValidation:rule="self.matches(r'^[\\x21\\x23-\\x5B\\x5D-\\x7E]+$') && self.indexOf('*') in [-1, size(self) - 1]",message="matches no scope, or not what it seems to: give a scope, or how scopes begin and one * at the end, for example deploy:shop or deploy:*"
	Allowed []string `json:"allowed"`
}

// PolicyAudiences limits who tokens may be meant for.
type PolicyAudiences struct {
	// allowed are the audiences that an AccessToken may name; at least one, at most
	// 64. One that ends in * stands for all that begin so. One that names none is
	// not concerned: its tokens are for the installation's own audience, which can
	// be named only where it is allowed here.
	//
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:XValidation:rule="self.indexOf('*') in [-1, size(self) - 1]",message="does not match what it seems to: give an audience, or how audiences begin and one * at the end, for example kubernetes or https://*"
	Allowed []string `json:"allowed"`
}

// PolicySubjects limits who tokens may act as. It grants nothing: whoever declares
// a token needs the right to its subject too.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="!has(self.users) || !has(self.kinds) || 'User' in self.kinds",fieldPath=`.users`,message="can match nobody, since kinds lacks User: add User to kinds, or remove users"
type PolicySubjects struct {
	// kinds are the kinds of subjects that an AccessToken may have: AccessToken for
	// one that is its own principal, ServiceAccount, User. Absent means that this
	// policy does not limit them.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=3
	// +kubebuilder:validation:items:Enum=AccessToken;ServiceAccount;User
	Kinds []SubjectKind `json:"kinds,omitempty"`

	// users are the user names that a token may act as; at least one, at most 64,
	// each the whole name. Each policy that has users has to name the one of an
	// AccessToken, and at least one policy has to. Absent means that this policy
	// names none.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:XValidation:rule="!self.contains('*') && !self.startsWith('system:') && !self.startsWith('accesstoken:')",message="can match nobody: give the whole name of a user, without *; names that begin with system: or accesstoken: are not people"
	Users []string `json:"users,omitempty"`
}

// PolicyRetirement takes back tokens that nobody uses, in two steps: first the token
// is ended and can be had again on request, then the AccessToken counts as finished.
type PolicyRetirement struct {
	// unusedFor is how long nobody has to have used a token before it is taken back,
	// and again before the AccessToken counts as finished: a duration from 24h to
	// 87600h. It counts from the last use, or what came later of the creation of the
	// AccessToken, the last request for a new token, and the first start of a
	// verifier. A token whose Secret a running Pod uses is never taken back.
	//
	// +required
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}h)?([0-9]{1,4}m)?([0-9]{1,4}s)?$') && self != '' && duration(self) >= duration('24h') && duration(self) <= duration('87600h')",message="must be a duration from 24h to 87600h, for example 2160h for 90 days"
	UnusedFor Duration `json:"unusedFor"`
}
