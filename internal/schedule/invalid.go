package schedule

import "fmt"

// InvalidError says that a field cannot be used, although the API server has
// accepted it: it may be older than the schema's rule, or break one that no
// schema can state.
type InvalidError struct {
	// Field is the path of the field, such as spec.rotation.schedule.
	Field string

	// Reason is v1alpha1.ReasonSpecInvalid, ReasonScheduleInvalid or
	// ReasonRotationInvalid.
	Reason string

	// Message says what is wrong with the field and what to do.
	Message string
}

// Error returns the field and the message.
func (e *InvalidError) Error() string { return e.Field + ": " + e.Message }

func invalid(field, reason, format string, args ...any) *InvalidError {
	return &InvalidError{Field: field, Reason: reason, Message: fmt.Sprintf(format, args...)}
}
