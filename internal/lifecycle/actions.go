package lifecycle

import (
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// Action is one step that changes the world. Each is safe to repeat.
type Action interface{ action() }

// Issue makes a record of this revision and publishes its token. Replaces is the
// ID of the token issued before, empty for the first.
type Issue struct {
	Revision int64
	Cause    Cause
	Replaces string
}

// EndRecord takes a record's power away: at once when RevokedAt is set, from a
// moment on when ExpiresAt is.
type EndRecord struct {
	Record    Record
	RevokedAt time.Time
	ExpiresAt time.Time
	Reason    v1alpha1.EndReason
}

// CapAge lowers a record's maximum age, which counts from the last use where use
// extends the token.
type CapAge struct {
	Record Record
	MaxAge time.Duration
}

// WithdrawSecret takes the token out of a Secret, and deletes the Secret when
// nobody else keeps anything in it.
type WithdrawSecret struct{ Secret Secret }

// LabelSecret changes labels and annotations of a Secret.
type LabelSecret struct{ Secret Secret }

// DeleteToken deletes the AccessToken itself.
type DeleteToken struct{}

func (Issue) action()          {}
func (EndRecord) action()      {}
func (CapAge) action()         {}
func (WithdrawSecret) action() {}
func (LabelSecret) action()    {}
func (DeleteToken) action()    {}

// Cause is why a token is issued. It is a closed set: metrics are labelled by
// it.
type Cause string

// The causes of an issue.
const (
	CauseFirst          Cause = "First"
	CauseInterval       Cause = "Interval"
	CauseSchedule       Cause = "Schedule"
	CauseRequested      Cause = "Requested"
	CauseReactivated    Cause = "Reactivated"
	CauseSecretTemplate Cause = "SecretTemplate"
	CausePredecessor    Cause = "Predecessor"
	CauseSecretDeleted  Cause = "SecretDeleted"
	CauseSecretChanged  Cause = "SecretChanged"
	CauseRecordLost     Cause = "RecordLost"
	CauseRecordRevoked  Cause = "RecordRevoked"

	// CauseSubjectRecreated: the service account that the token acted as was deleted
	// and made again.
	CauseSubjectRecreated Cause = "SubjectRecreated"

	// CauseRevokedByHolder: whoever held the token revoked it, as one does with a
	// token that leaked.
	CauseRevokedByHolder Cause = "RevokedByHolder"

	// CauseCutOff: a revocation voids the token, and asks for a new one.
	CauseCutOff Cause = "CutOff"
)

// Repair says that the cause is somebody else's change, against which the
// operator must not fight without pause.
func (c Cause) Repair() bool {
	switch c {
	case CauseSecretDeleted, CauseSecretChanged, CauseRecordLost, CauseRecordRevoked, CauseRevokedByHolder:
		return true
	case CauseFirst, CauseInterval, CauseSchedule, CauseRequested, CauseReactivated, CauseSecretTemplate, CausePredecessor, CauseSubjectRecreated, CauseCutOff:
	}
	return false
}

// Rotation says that the cause is a rotation that was asked for.
func (c Cause) Rotation() bool {
	return c == CauseInterval || c == CauseSchedule || c == CauseRequested
}
