package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AccessTokenSpec is what is declared of a token. What a token may do (scopes,
// audiences, allowedCIDRs) is fixed at creation; what it is called, how long it
// lives and how it is delivered can change.
//
// +kubebuilder:validation:XValidation:rule="has(self.subject) == has(oldSelf.subject) && (!has(self.subject) || (self.subject.kind == oldSelf.subject.kind && self.subject.name == oldSelf.subject.name && has(self.subject.groups) == has(oldSelf.subject.groups) && (!has(self.subject.groups) || self.subject.groups == oldSelf.subject.groups)))",fieldPath=`.subject`,reason=FieldValueForbidden,message="cannot be changed, added or removed after creation: create a new AccessToken instead"
// +kubebuilder:validation:XValidation:rule="!has(self.subject) || self.subject.kind != 'User' || (has(self.maxAge) && self.maxAge != 'Never')",fieldPath=`.maxAge`,message="is required for a User, and cannot be Never: Kubernetes does not know when a user ends, give an age such as 720h"
// +kubebuilder:validation:XValidation:rule="has(self.scopes) == has(oldSelf.scopes) && (!has(self.scopes) || self.scopes == oldSelf.scopes)",fieldPath=`.scopes`,reason=FieldValueForbidden,message="cannot be changed, added or removed after creation: create a new AccessToken instead"
// +kubebuilder:validation:XValidation:rule="has(self.audiences) == has(oldSelf.audiences) && (!has(self.audiences) || self.audiences == oldSelf.audiences)",fieldPath=`.audiences`,reason=FieldValueForbidden,message="cannot be changed, added or removed after creation: create a new AccessToken instead"
// +kubebuilder:validation:XValidation:rule="has(self.allowedCIDRs) == has(oldSelf.allowedCIDRs) && (!has(self.allowedCIDRs) || self.allowedCIDRs == oldSelf.allowedCIDRs)",fieldPath=`.allowedCIDRs`,reason=FieldValueForbidden,message="cannot be changed, added or removed after creation: create a new AccessToken instead"
// +kubebuilder:validation:XValidation:rule="!has(self.rotation) || !has(self.rotation.interval) || !has(self.maxAge) || self.maxAge != 'Never' || self.rotation.interval != 'Auto'",fieldPath=`.rotation.interval`,message="Auto is two thirds of maxAge, which is Never: give an interval such as 720h, or a maxAge"
// +kubebuilder:validation:XValidation:rule="!has(self.rotation) || !has(self.rotation.interval) || !has(self.maxAge) || (has(self.extendWhenUsed) && self.extendWhenUsed) || [self.maxAge, self.rotation.interval].exists(d, size(d) == 0 || !d.matches('^([0-9]{1,5}h)?([0-9]{1,4}m)?([0-9]{1,4}s)?$')) || duration(self.rotation.interval) < duration(self.maxAge)",fieldPath=`.rotation.interval`,message="must be shorter than maxAge, else the token expires before it is rotated"
// +kubebuilder:validation:XValidation:rule="!has(self.rotation) || !has(self.rotation.interval) || !has(self.maxLifetime) || [self.maxLifetime, self.rotation.interval].exists(d, size(d) == 0 || !d.matches('^([0-9]{1,5}h)?([0-9]{1,4}m)?([0-9]{1,4}s)?$')) || duration(self.rotation.interval) < duration(self.maxLifetime)",fieldPath=`.rotation.interval`,message="must be shorter than maxLifetime, else the token expires before it is rotated"
// +kubebuilder:validation:XValidation:rule="!has(self.maxLifetime) || (has(self.extendWhenUsed) && self.extendWhenUsed)",fieldPath=`.maxLifetime`,message="belongs to extendWhenUsed: set extendWhenUsed to true, or remove maxLifetime"
// +kubebuilder:validation:XValidation:rule="!has(self.extendWhenUsed) || !self.extendWhenUsed || !has(self.maxAge) || self.maxAge != 'Never'",fieldPath=`.extendWhenUsed`,message="use extends maxAge, which is Never: give a maxAge such as 720h, or remove extendWhenUsed"
// +kubebuilder:validation:XValidation:rule="!has(self.maxLifetime) || !has(self.maxAge) || [self.maxAge, self.maxLifetime].exists(d, size(d) == 0 || !d.matches('^([0-9]{1,5}h)?([0-9]{1,4}m)?([0-9]{1,4}s)?$')) || duration(self.maxLifetime) >= duration(self.maxAge)",fieldPath=`.maxLifetime`,message="must not be shorter than maxAge: lengthen maxLifetime or shorten maxAge"
type AccessTokenSpec struct {
	// description says in free text what the token is for, up to 256
	// characters. Absent means none. It can be changed at any time and changes
	// nothing about the token.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Description string `json:"description,omitempty"`

	// maxAge is how long an issued token lives: a duration from 10m to 87600h
	// such as 720h for 30 days, or Never, which takes the RBAC verb
	// issue-without-expiry on accesstokens in the namespace. Absent means what an
	// AccessTokenPolicy sets, and where none does, 2160h (90 days), or 720h (30
	// days) with extendWhenUsed; status.maxAge says which. A shorter maxAge binds
	// the live token at once, a longer one the next token.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self == 'Never' || (self.matches('^([0-9]{1,5}h)?([0-9]{1,4}m)?([0-9]{1,4}s)?$') && self != '' && duration(self) >= duration('10m') && duration(self) <= duration('87600h'))",message="must be a duration from 10m to 87600h, for example 720h for 30 days, or Never"
	MaxAge MaxAge `json:"maxAge,omitempty"`

	// extendWhenUsed makes maxAge count from the last use instead of from the
	// issue: a token in use lives on until maxLifetime, one that nobody uses for
	// maxAge expires. Absent or false means that maxAge counts from the issue.
	// Setting it holds from the next token on; taking it away binds the live token
	// at once.
	//
	// +optional
	ExtendWhenUsed bool `json:"extendWhenUsed,omitempty"`

	// maxLifetime is how long an issued token lives at most, however much it is
	// used: a duration up to 87600h that is not shorter than maxAge. It belongs to
	// extendWhenUsed. Absent means four times maxAge up to 8760h (365 days), or
	// maxAge if that is longer. A shorter maxLifetime binds the live token at once,
	// a longer one the next token.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}h)?([0-9]{1,4}m)?([0-9]{1,4}s)?$') && self != '' && duration(self) > duration('0s') && duration(self) <= duration('87600h')",message="must be a duration up to 87600h, for example 2160h for 90 days"
	MaxLifetime Duration `json:"maxLifetime,omitempty"`

	// subject is who the token acts as. Absent means that the token is its own
	// principal: user accesstoken:NAMESPACE:NAME, with no rights until RBAC grants
	// some. Fixed at creation, but for onRecreate.
	//
	// +optional
	Subject *TokenSubject `json:"subject,omitempty"`

	// scopes are what the token may be used for, in the words of whoever
	// accepts it, such as deploy:shop; at least one, at most 64, each of up to
	// 128 printable ASCII characters without space, quote or backslash (RFC 6749
	// section 3.3). Each that begins with accesstoken.dev: takes the RBAC verb use
	// on scopes of that name in the namespace. Absent means that the token is not
	// limited by scope. Fixed at creation.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:XValidation:rule="self.matches(r'^[\\x21\\x23-\\x5B\\x5D-\\x7E]+$')",message="must be printable ASCII characters without space, quote or backslash, for example deploy:shop"
	Scopes []string `json:"scopes,omitempty"`

	// audiences are who may accept the token, such as a service's URL; at least
	// one, at most 16, each of up to 256 characters. The audience kubernetes
	// means the API server of this cluster. Absent means the installation's own
	// default audience, which is not the API server's. Fixed at creation.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	Audiences []string `json:"audiences,omitempty"`

	// allowedCIDRs are the networks from which the token may be used, in
	// canonical form such as 10.0.0.0/8 or 2001:db8::/32; at least one, at most
	// 32. Absent means from anywhere. Where a protocol cannot see the client's
	// address, a token with allowedCIDRs is refused. Fixed at creation.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=43
	// +kubebuilder:validation:items:XValidation:rule="isCIDR(self) && cidr(self) == cidr(self).masked() && string(cidr(self)) == self",message="must be a network in canonical form, for example 10.0.0.0/8 or fd00::/8: without host bits, IPv6 in lower case and shortest form"
	AllowedCIDRs []CIDR `json:"allowedCIDRs,omitempty"`

	// rotation says when the token is replaced by a new one: by interval or by
	// schedule, which exclude each other, or on request. Absent means never: the
	// token lives until its maxAge.
	//
	// +optional
	Rotation *Rotation `json:"rotation,omitempty"`

	// secret says how the token is delivered. Absent means an Opaque Secret of
	// the AccessToken's name.
	//
	// +optional
	Secret *SecretTemplate `json:"secret,omitempty"`

	// state takes the token back while the object stays. Active, the default:
	// there is a token. Suspended: the token is ended until the state is Active
	// again. Revoked: the token is ended for good. Back to Active from either
	// is a new token, never the old one.
	//
	// +optional
	State State `json:"state,omitempty"`

	// ttlAfterFinished deletes this AccessToken that long after its token
	// expired or was revoked: a duration from 0s to 87600h. Absent means that
	// the object stays. Do not set it on objects that Git manages: they would
	// be created again.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}h)?([0-9]{1,4}m)?([0-9]{1,4}s)?$') && self != '' && duration(self) <= duration('87600h')",message="must be a duration from 0s to 87600h, for example 168h for a week"
	TTLAfterFinished Duration `json:"ttlAfterFinished,omitempty"`
}

// State is whether a token is wanted.
//
// +kubebuilder:validation:Enum=Active;Suspended;Revoked
type State string

const (
	// StateActive: there is to be a token.
	StateActive State = "Active"
	// StateSuspended: the token is taken back for a while.
	StateSuspended State = "Suspended"
	// StateRevoked: the token is taken back for good.
	StateRevoked State = "Revoked"
)

// Rotation says when a token is replaced. With neither interval nor schedule,
// which exclude each other, only on request.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.interval) && has(self.schedule))",message="interval and schedule exclude each other: remove one of them"
// +kubebuilder:validation:XValidation:rule="!has(self.timeZone) || has(self.schedule)",fieldPath=`.timeZone`,message="belongs to a schedule: add rotation.schedule or remove timeZone"
// +kubebuilder:validation:XValidation:rule="!has(self.overlap) || !has(self.interval) || [self.overlap, self.interval].exists(d, size(d) == 0 || !d.matches('^([0-9]{1,5}h)?([0-9]{1,4}m)?([0-9]{1,4}s)?$')) || duration(self.overlap) < duration(self.interval)",fieldPath=`.overlap`,message="must be shorter than interval, else more than two tokens would be good at once"
type Rotation struct {
	// interval replaces the token that long after its issue: a duration from 1m
	// to 87600h that is shorter than maxAge, or Auto, which is two thirds of
	// maxAge, from a maxAge of 10m on at least 5m before the end, less up to a
	// tenth of that by the object's UID, so that tokens declared together do not
	// rotate together. With extendWhenUsed, maxLifetime takes the place of maxAge.
	// Absent means not by interval. Not beside schedule.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self == 'Auto' || (self.matches('^([0-9]{1,5}h)?([0-9]{1,4}m)?([0-9]{1,4}s)?$') && self != '' && duration(self) >= duration('1m') && duration(self) <= duration('87600h'))",message="must be a duration from 1m to 87600h, for example 168h for a week, or Auto"
	Interval RotationInterval `json:"interval,omitempty"`

	// schedule replaces the token at the times of a cron expression with five
	// fields (minute, hour, day of month, month, day of week), such as
	// "0 3 * * 1" for Mondays at three, or one of @yearly, @annually, @monthly,
	// @weekly, @daily, @midnight, @hourly. Absent means not by schedule. Times
	// missed while the operator was away count once. Not beside interval.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self in ['@yearly','@annually','@monthly','@weekly','@daily','@midnight','@hourly'] || self.matches('^(([0-9*]|[A-Za-z]{3})[0-9A-Za-z*/,-]* ){4}([0-9*]|[A-Za-z]{3})[0-9A-Za-z*/,-]*$')",message="must be a cron expression of five fields such as 0 3 * * 1, or @daily and the like; a time zone goes into timeZone"
	Schedule CronSchedule `json:"schedule,omitempty"`

	// timeZone is the IANA name of the time zone that schedule is read in, such
	// as Europe/Helsinki. Absent means UTC.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_+/-]+$') && self != 'Local'",message="must be the IANA name of a time zone, for example Europe/Helsinki"
	TimeZone string `json:"timeZone,omitempty"`

	// overlap is how long the replaced token stays good beside the new one,
	// never past its own end: a duration from 0s to 8760h that is shorter than
	// interval. Absent means a tenth of maxAge, at most 24h and at least 10m
	// (24h where maxAge is Never), or half the interval where that would be as
	// long as the interval.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}h)?([0-9]{1,4}m)?([0-9]{1,4}s)?$') && self != '' && duration(self) <= duration('8760h')",message="must be a duration from 0s to 8760h, for example 24h"
	Overlap Duration `json:"overlap,omitempty"`

	// notIssuedBefore asks for a new token now: one that was issued before this
	// instant (such as 2026-11-24T09:00:00Z) is replaced, with the ordinary
	// overlap. An instant in the future is a rotation due then. Absent means no
	// such request. The annotation accesstoken.dev/rotate-requested-at asks for
	// the same, also for a token issued in that very second; the later of the two
	// counts.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=27
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?Z$') && !format.datetime().validate(self).hasValue()",message="must be an instant in UTC, for example 2026-11-24T09:00:00Z"
	NotIssuedBefore Timestamp `json:"notIssuedBefore,omitempty"`
}

// AccessTokenStatus is what the operator reports of a token. Only the operator
// writes it.
type AccessTokenStatus struct {
	// observedGeneration is the metadata.generation that this status is about.
	// Absent means that the operator has not seen the object yet.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions say whether what is declared is done (Ready), whether there is
	// a token that verifies (Valid), whether only a person can help (Stalled)
	// and whether the end is near (Expiring). The last two are present only
	// while true.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// tokenID names the token issued last, and its TokenRecord. It is no secret.
	// Absent until one was issued.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=16
	TokenID string `json:"tokenID,omitempty"`

	// revision is the highest revision ever issued; the first token is 1.
	// Absent until one was issued.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	Revision int64 `json:"revision,omitempty"`

	// issuedAt is when the token issued last was issued. Absent until one was.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=27
	IssuedAt Timestamp `json:"issuedAt,omitempty"`

	// expiresAt is when the token issued last ends or ended by age. Absent for
	// a token that does not expire or was taken back, and until one was issued.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=27
	ExpiresAt Timestamp `json:"expiresAt,omitempty"`

	// endedAt is when the token ended, and no other replaced it. Absent while
	// there is a token that verifies.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=27
	EndedAt Timestamp `json:"endedAt,omitempty"`

	// endReason is why the token issued last was taken back before its age. It
	// outlives the token's record. Absent for a token that was not taken back.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	EndReason EndReason `json:"endReason,omitempty"`

	// tokens are those that verify now: the current one, and the one before it
	// while both overlap. Absent when there are none.
	//
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=2
	Tokens []IssuedToken `json:"tokens,omitempty"`

	// nextRotationAt is when the token is replaced next. Absent when no
	// rotation is due to come.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=27
	NextRotationAt Timestamp `json:"nextRotationAt,omitempty"`

	// lastUsedAt is when the token was last used, an hour coarse; the
	// TokenRecord has it to ten minutes. Absent means never, as far as is known.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=27
	LastUsedAt Timestamp `json:"lastUsedAt,omitempty"`

	// subjectUID is the UID of the service account that the token issued last acts
	// as. Absent for a token with another subject.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	SubjectUID string `json:"subjectUID,omitempty"`

	// secretName is the Secret that holds the token. Absent when none does.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName,omitempty"`

	// maxAge is the effective maximum age and where it came from. Absent until
	// the spec was read.
	//
	// +optional
	MaxAge *EffectiveMaxAge `json:"maxAge,omitempty"`

	// expiryNotice is the last notice of a coming end that was given for the
	// token issued last: 30d, 7d or 1d. Absent means none.
	//
	// +optional
	// +kubebuilder:validation:Enum="30d";"7d";"1d"
	ExpiryNotice string `json:"expiryNotice,omitempty"`
}

// IssuedToken is one issued token that verifies.
type IssuedToken struct {
	// id is the token's ID and the name of its TokenRecord.
	//
	// +required
	// +kubebuilder:validation:MaxLength=16
	ID string `json:"id"`

	// revision counts the tokens of one AccessToken from 1.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	Revision int64 `json:"revision"`

	// issuedAt is when the token was issued.
	//
	// +required
	// +kubebuilder:validation:MaxLength=27
	IssuedAt Timestamp `json:"issuedAt"`

	// expiresAt is when the token ends: by its age, or with the overlap. Absent
	// means never.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=27
	ExpiresAt Timestamp `json:"expiresAt,omitempty"`
}

// EffectiveMaxAge is the maximum age that holds for a token.
type EffectiveMaxAge struct {
	// value is the age, or Never.
	//
	// +required
	// +kubebuilder:validation:MaxLength=16
	Value MaxAge `json:"value"`

	// source is where the value came from: Spec; or where the spec has none, Policy,
	// an AccessTokenPolicy, or Default, the operator.
	//
	// +required
	// +kubebuilder:validation:Enum=Spec;Policy;Default
	Source MaxAgeSource `json:"source"`
}

// MaxAgeSource is where an effective maximum age came from.
type MaxAgeSource string

const (
	// MaxAgeSourceSpec: from spec.maxAge.
	MaxAgeSourceSpec MaxAgeSource = "Spec"
	// MaxAgeSourcePolicy: from an AccessTokenPolicy.
	MaxAgeSourcePolicy MaxAgeSource = "Policy"
	// MaxAgeSourceDefault: the operator's default.
	MaxAgeSourceDefault MaxAgeSource = "Default"
)

// AccessToken declares an API token. The operator issues it, keeps it in a
// Secret, rotates it and ends it; delete the AccessToken and the token is
// refused, and its Secret goes with it, other people's keys in that Secret too.
// Whoever may create AccessTokens in a namespace can act as any of the
// namespace's own principals, accesstoken:NAMESPACE:NAME.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=accesstokens,singular=accesstoken,shortName=at,scope=Namespaced
// +kubebuilder:printcolumn:name="READY",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="REASON",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="EXPIRES",type=string,JSONPath=`.status.expiresAt`
// +kubebuilder:printcolumn:name="ROTATES",type=string,JSONPath=`.status.nextRotationAt`
// +kubebuilder:printcolumn:name="LAST USED",type=date,JSONPath=`.status.lastUsedAt`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="VALID",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Valid")].status`
// +kubebuilder:printcolumn:name="MAX AGE",type=string,priority=1,JSONPath=`.status.maxAge.value`
// +kubebuilder:printcolumn:name="TOKEN-ID",type=string,priority=1,JSONPath=`.status.tokenID`
// +kubebuilder:printcolumn:name="SECRET",type=string,priority=1,JSONPath=`.status.secretName`
// +kubebuilder:printcolumn:name="DESCRIPTION",type=string,priority=1,JSONPath=`.spec.description`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",fieldPath=`.metadata`,message="name must be at most 63 characters, since it is a label value on the Secret and the records"
// +kubebuilder:validation:XValidation:rule="(has(self.spec.secret) && has(self.spec.secret.name) ? self.spec.secret.name : self.metadata.name) != (has(oldSelf.spec.secret) && has(oldSelf.spec.secret.name) ? oldSelf.spec.secret.name : oldSelf.metadata.name) || (has(self.spec.secret) && has(self.spec.secret.format) ? self.spec.secret.format : 'Opaque') == (has(oldSelf.spec.secret) && has(oldSelf.spec.secret.format) ? oldSelf.spec.secret.format : 'Opaque')",fieldPath=`.spec.secret`,reason=FieldValueForbidden,message="format cannot change while name stays, since the type of a Secret is fixed: change secret.name too"
type AccessToken struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what is declared of the token. Empty, {}, means a token with
	// every default.
	//
	// +required
	Spec AccessTokenSpec `json:"spec"`

	// status is what the operator reports. Absent means that it has not seen
	// the object yet.
	//
	// +optional
	Status AccessTokenStatus `json:"status,omitzero"`
}

// AccessTokenList is a list of AccessTokens.
//
// +kubebuilder:object:root=true
type AccessTokenList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []AccessToken `json:"items"`
}
