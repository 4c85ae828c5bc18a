package lastused

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// FieldManager is the name under which last uses are owned.
const FieldManager = "accesstoken-verifier"

// Use is what is written of the last use of a token.
type Use struct {
	// Namespace and Name are those of the record.
	Namespace, Name string

	// ResourceVersion is the state of the record that the write was decided by. It
	// goes with the write as its precondition.
	ResourceVersion string

	// LastUsedAt and what follows are the fields of the record's status. Empty ones
	// are taken away: they tell of the same use.
	LastUsedAt                               v1alpha1.Timestamp
	LastUsedFrom, LastUserAgent, LastUsedFor string
}

// Writer writes to records. An error is one of the API server's: a conflict says
// that the record is in another state, not found that it is gone.
type Writer interface {
	WriteUse(ctx context.Context, use Use) error
}

// NewWriter makes a Writer of a client, which needs patch on tokenrecords/status
// and should have no rate limit of its own.
func NewWriter(c client.Client) Writer { return writer{c} }

type writer struct{ client client.Client }

// WriteUse patches the four fields and nothing else, and asks for the metadata
// only in return.
func (w writer) WriteUse(ctx context.Context, use Use) error {
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": use.ResourceVersion},
		"status": map[string]any{
			"lastUsedAt":    use.LastUsedAt,
			"lastUsedFrom":  orAbsent(use.LastUsedFrom),
			"lastUserAgent": orAbsent(use.LastUserAgent),
			"lastUsedFor":   orAbsent(use.LastUsedFor),
		},
	})
	if err != nil {
		return fmt.Errorf("encode the last use of token %s: %w", use.Name, err)
	}
	object := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: use.Namespace, Name: use.Name}}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("TokenRecord"))
	return w.client.Status().Patch(ctx, object, client.RawPatch(types.MergePatchType, body), client.FieldOwner(FieldManager))
}

func orAbsent(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// Outcome is what came of a use that was to be written. It is a closed set:
// metrics are labelled by it.
type Outcome string

const (
	// OutcomeWritten: the record tells of it.
	OutcomeWritten Outcome = "Written"
	// OutcomeConflict: somebody else wrote the record meanwhile; it is decided anew.
	OutcomeConflict Outcome = "Conflict"
	// OutcomeGone: the record is gone.
	OutcomeGone Outcome = "Gone"
	// OutcomeFailed: the API server refused or did not answer; it is tried again.
	OutcomeFailed Outcome = "Failed"
	// OutcomeDropped: it was not noted, since too many are, or not written before
	// the program ended.
	OutcomeDropped Outcome = "Dropped"
)

// Outcomes are all of them.
func Outcomes() []Outcome {
	return []Outcome{OutcomeWritten, OutcomeConflict, OutcomeGone, OutcomeFailed, OutcomeDropped}
}

func outcomeOf(err error) Outcome {
	switch {
	case err == nil:
		return OutcomeWritten
	case apierrors.IsConflict(err):
		return OutcomeConflict
	case apierrors.IsNotFound(err):
		return OutcomeGone
	}
	return OutcomeFailed
}
