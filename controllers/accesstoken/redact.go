package accesstoken

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const redacted = "[redacted]"

// redact takes the token, and every value that was written with it in it, out of
// the text of an error: an admission webhook may say anything, also what it was
// sent. The class of the error stays. Values without the token tell nothing that
// the spec does not, and one may be any word.
func redact(err error, plaintext string, data map[string][]byte) error {
	if err == nil {
		return nil
	}
	pairs := []string{plaintext, redacted, base64.StdEncoding.EncodeToString([]byte(plaintext)), redacted}
	for _, value := range data {
		if !bytes.Contains(value, []byte(plaintext)) {
			continue
		}
		pairs = append(pairs, string(value), redacted, base64.StdEncoding.EncodeToString(value), redacted)
	}
	clean := strings.NewReplacer(pairs...)

	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return errors.New(clean.Replace(err.Error()))
	}
	original := status.Status()
	copied := *original.DeepCopy()
	copied.Message = clean.Replace(copied.Message)
	if copied.Details != nil {
		for i := range copied.Details.Causes {
			copied.Details.Causes[i].Message = clean.Replace(copied.Details.Causes[i].Message)
		}
	}
	return &apierrors.StatusError{ErrStatus: copied}
}

// explain says in a condition what stopped a pass. It is the same for the same
// trouble, so that a repeated pass writes nothing.
func explain(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return "the API server refused a write, which is tried again: " + status.Status().Message
	}
	return "a write did not succeed, it is tried again; the operator's log has the error"
}
