package v1alpha1

// Conditions of an AccessToken.
const (
	// ConditionReady sums up: True when what is declared is done (also when what
	// is declared is that the token be suspended or revoked), False when it is
	// not, with the reason. Always present once the operator has seen the
	// object.
	ConditionReady = "Ready"

	// ConditionValid is True while there is a token that verifies, in the
	// Secret that status.secretName names, and False when there is none. Absent
	// until the first token is issued or refused.
	ConditionValid = "Valid"

	// ConditionStalled is True when only a person can help. Absent otherwise.
	ConditionStalled = "Stalled"

	// ConditionExpiring is True when the token ends within 30, 7 or 1 days and
	// nothing will replace it before, and when its schedule leaves a gap in which
	// there is none. Absent otherwise.
	ConditionExpiring = "Expiring"

	// ConditionQuotaExceeded is True while a token is wanted and the namespace,
	// or the subject in it, has as many as it may have. Absent otherwise.
	ConditionQuotaExceeded = "QuotaExceeded"
)

// The condition of a TokenRevocation or ClusterTokenRevocation is ConditionReady:
// True, ReasonRevoked, ReasonNothingRevoked or ReasonTooManyRevocations, when the
// records of all tokens that it names say so, and a copy of a TokenRevocation is where
// the namespace cannot delete it; Unknown, ReasonRevoking, until then; False,
// ReasonSpecInvalid, when it names nothing that can be understood. Verifiers do not
// wait for it.

// Reasons of conditions and of the events that announce them.
const (
	// ReasonIssued: a first token was issued and is in the Secret.
	ReasonIssued = "Issued"
	// ReasonRotated: a later token replaced the one before (events only; the
	// condition of a token in good order says Issued).
	ReasonRotated = "Rotated"
	// ReasonExpired: the token reached its end and nothing replaces it.
	ReasonExpired = "Expired"
	// ReasonExpiring: the token ends soon.
	ReasonExpiring = "Expiring"
	// ReasonScheduleSparse: the token ends before the next time of
	// spec.rotation.schedule.
	ReasonScheduleSparse = "ScheduleSparse"
	// ReasonSuspended: spec.state is Suspended, the token was taken back.
	ReasonSuspended = "Suspended"
	// ReasonRevoked: spec.state is Revoked, the token was taken back; of a
	// revocation, all that it names is revoked.
	ReasonRevoked = "Revoked"
	// ReasonIssuing: a token is on its way.
	ReasonIssuing = "Issuing"
	// ReasonSpecInvalid: a field that got past the schema cannot be used.
	ReasonSpecInvalid = "SpecInvalid"
	// ReasonScheduleInvalid: spec.rotation.schedule never comes due, or its
	// time zone is unknown.
	ReasonScheduleInvalid = "ScheduleInvalid"
	// ReasonRotationInvalid: spec.rotation can never be satisfied.
	ReasonRotationInvalid = "RotationInvalid"
	// ReasonSecretConflict: a Secret of the wanted name belongs to somebody
	// else and is left alone.
	ReasonSecretConflict = "SecretConflict"
	// ReasonSecretContested: somebody keeps writing over the operator's keys in
	// the Secret.
	ReasonSecretContested = "SecretContested"
	// ReasonSecretRepaired: the Secret had been changed or deleted by somebody
	// else, and a new token was put in it (events only).
	ReasonSecretRepaired = "SecretRepaired"
	// ReasonRecordLost: the record of the current token was deleted, edited or
	// restored from a backup, and a new token was issued (events only).
	ReasonRecordLost = "RecordLost"
	// ReasonRevokedByHolder: whoever held the token revoked it, and a new one was
	// issued (events only).
	ReasonRevokedByHolder = "RevokedByHolder"
	// ReasonCutOff: a TokenRevocation or ClusterTokenRevocation voids the token,
	// and nothing replaces it until somebody asks for a new one.
	ReasonCutOff = "CutOff"
	// ReasonNothingRevoked: a revocation names no token that there is a record of.
	ReasonNothingRevoked = "NothingRevoked"
	// ReasonRevoking: a revocation is not yet written into all records.
	ReasonRevoking = "Revoking"
	// ReasonTooManyRevocations: a namespace has so many TokenRevocations, or deleted so
	// many lately, that they count together: all its tokens that were made until this
	// one was are revoked.
	ReasonTooManyRevocations = "TooManyRevocations"
	// ReasonQuotaExceeded: there are as many tokens as there may be; this one
	// waits for a place to come free.
	ReasonQuotaExceeded = "QuotaExceeded"
	// ReasonQuotaRebuilt: an AccessTokenQuota was deleted or emptied, and was made
	// anew from the tokens that there are (events only).
	ReasonQuotaRebuilt = "QuotaRebuilt"
	// ReasonKeyLost: the key Secret is missing though records exist.
	ReasonKeyLost = "KeyLost"
	// ReasonSubjectNotFound: the service account that the token is to act as does
	// not exist.
	ReasonSubjectNotFound = "SubjectNotFound"
	// ReasonSubjectGone: the service account that the token acted as was deleted,
	// and the token ended with it.
	ReasonSubjectGone = "SubjectGone"
	// ReasonSubjectRecreated: the service account was made again, and a new token
	// issued for it (events only).
	ReasonSubjectRecreated = "SubjectRecreated"
	// ReasonCreatorUnchecked: it is not proved that whoever declared the AccessToken
	// may act as its subject, or give it reserved scopes or no expiry, so no token is
	// issued.
	ReasonCreatorUnchecked = "CreatorUnchecked"
	// ReasonCreatorLostRight: whoever created the AccessToken may not act as its
	// subject any more, or not give it reserved scopes or no expiry, so no further token
	// is issued.
	ReasonCreatorLostRight = "CreatorLostRight"
	// ReasonPolicyViolation: an AccessTokenPolicy does not allow what is declared, so
	// no token is issued.
	ReasonPolicyViolation = "PolicyViolation"
	// ReasonUnused: nobody used the token for as long as an AccessTokenPolicy allows,
	// and it was taken back; a new one comes on request.
	ReasonUnused = "Unused"
	// ReasonRetired: nobody asked for a token that was taken back unused.
	ReasonRetired = "Retired"
	// ReasonWriteFailed: the API server refused a write; it is tried again.
	ReasonWriteFailed = "WriteFailed"
)
