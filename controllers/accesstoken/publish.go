package accesstoken

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/delivery"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
	tokenformat "github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

// publishTries bounds how often one token is offered to a Secret that somebody else
// keeps writing.
const publishTries = 5

// errOvertaken says that another writer published this revision or a later one.
var errOvertaken = errors.New("another writer published first")

// publish puts the token into the wanted Secret: created when there is none,
// replaced when it is as observed. After a conflict the Secret is read again
// and the same token offered again, so that one due moment makes one token. The
// Secret that it returns is the one that was found or written.
func (p *pass) publish(ctx context.Context, state *lifecycle.State, object *v1alpha1.TokenRecord, plaintext tokenformat.Plaintext) (lifecycle.Secret, error) {
	var observed *lifecycle.Secret
	for i := range state.Secrets {
		if state.Secrets[i].Name == state.Template.Name {
			observed = &state.Secrets[i]
		}
	}
	for try := 1; ; try++ {
		written, err := p.offer(ctx, state, observed, object, plaintext)
		if err == nil {
			return written, nil
		}
		if !apierrors.IsConflict(err) {
			return lifecycle.Secret{}, fmt.Errorf("publish token %s in Secret %s/%s: %w", object.Name, object.Namespace, state.Template.Name, err)
		}
		p.Metrics.PublishConflict()
		if err := p.stillDeclared(ctx, object); err != nil {
			return lifecycle.Secret{}, err
		}
		found, readErr := p.readSecret(ctx, p.Live.Get, state.Template.Name)
		if readErr != nil {
			return lifecycle.Secret{}, readErr
		}
		if found != nil {
			if over, outcome := judge(*found, object); over {
				return *found, outcome
			}
		}
		if try == publishTries {
			return lifecycle.Secret{}, fmt.Errorf("publish token %s in Secret %s/%s: %w", object.Name, object.Namespace, state.Template.Name, err)
		}
		observed = found
	}
}

// stillDeclared reads the AccessToken again, from the API server: a Secret that
// is not as it was observed may have been taken away since the spec wants no
// token any more. errStale says that it is another one than this pass is about.
func (p *pass) stillDeclared(ctx context.Context, object *v1alpha1.TokenRecord) error {
	live := &v1alpha1.AccessToken{}
	if err := p.Live.Get(ctx, p.key(), live); apierrors.IsNotFound(err) {
		return errStale
	} else if err != nil {
		return fmt.Errorf("re-read AccessToken %s to publish token %s: %w", p.key(), object.Name, err)
	}
	if live.UID != p.token.UID || live.Generation != p.token.Generation || !live.DeletionTimestamp.IsZero() {
		return errStale
	}
	return nil
}

// judge says whether a Secret that was found after a conflict leaves nothing
// more to offer. One that carries this very token does: only the writer that
// made its record knows the token, so an earlier attempt had arrived, though
// its answer did not.
func judge(found lifecycle.Secret, object *v1alpha1.TokenRecord) (over bool, outcome error) {
	switch {
	case found.Ours() && found.TokenID == object.Name:
		return true, nil
	case found.Holder == lifecycle.HolderForeign, found.Holder == lifecycle.HolderReleased:
		return true, errForeign
	case found.Holder == lifecycle.HolderSelf && found.Revision >= object.Spec.Revision:
		return true, errOvertaken
	}
	return false, nil
}

// errForeign says that the wanted Secret belongs to somebody else.
var errForeign = errors.New("the Secret belongs to somebody else")

// offer writes the token once, with what was observed as precondition.
func (p *pass) offer(ctx context.Context, state *lifecycle.State, observed *lifecycle.Secret, object *v1alpha1.TokenRecord, plaintext tokenformat.Plaintext) (lifecycle.Secret, error) {
	must := absent
	if observed != nil && (observed.Holder == lifecycle.HolderPredecessor || observed.Outranks) {
		// The one that seems to be a predecessor may be a successor, if it is this
		// pass that is late.
		if err := p.stillDeclared(ctx, object); err != nil {
			return lifecycle.Secret{}, err
		}
		if err := p.deleteSecret(ctx, *observed); err != nil {
			return lifecycle.Secret{}, err
		}
	} else if observed != nil {
		must = asObserved(*observed)
	}
	content := secretContent{
		template: state.Template, templateHash: state.TemplateHash, revision: object.Spec.Revision,
		tokenID: object.Name, data: delivery.Data(state.Template, delivery.Token{
			ID: object.Name, Plaintext: plaintext.Reveal(), Name: p.token.Name, Namespace: p.token.Namespace,
		}, p.Cluster),
	}
	written, err := p.applySecret(ctx, content, must)
	return written, redact(err, plaintext.Reveal(), content.data)
}

// precondition is what a Secret has to be like for a write by server-side apply.
// The UID is part of it: with the resourceVersion of an object that is gone
// alone, apply would create it again.
type precondition struct {
	uid             types.UID
	resourceVersion string
}

// absent is the resourceVersion with which server-side apply creates an object,
// and conflicts with one that exists.
var absent = precondition{resourceVersion: "1"}

func asObserved(secret lifecycle.Secret) precondition {
	return precondition{uid: secret.UID, resourceVersion: secret.ResourceVersion}
}

// secretContent is what the operator owns in a Secret.
type secretContent struct {
	template     v1alpha1.SecretTemplate
	templateHash string
	revision     int64
	tokenID      string
	data         map[string][]byte
}
