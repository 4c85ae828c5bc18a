package accesstoken

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/delegation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/index"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
)

// unprovenRetry is how soon a right that could not be proved is asked for again:
// nothing tells of a policy or a role that was put right.
const unprovenRetry = time.Minute

// observeSubject reads who the token is to act as.
func (p *pass) observeSubject(ctx context.Context, state *lifecycle.State) error {
	declared := p.token.Spec.Subject
	if declared == nil {
		return nil
	}
	state.Subject = &lifecycle.Subject{
		Kind: declared.Kind, Name: declared.Name, Reissue: declared.OnRecreate == v1alpha1.OnRecreateReissue,
	}
	if declared.Kind != v1alpha1.SubjectKindServiceAccount {
		return nil
	}
	uid, err := p.accountUID(ctx, p.Client.Get, declared.Name)
	if err == nil && (uid == "" || !boundTo(state, uid)) {
		// The cache may be behind, and much follows: tokens end.
		uid, err = p.accountUID(ctx, p.Live.Get, declared.Name)
	}
	state.Subject.UID = uid
	return err
}

// boundTo says that all that was issued acts as the service account of this UID.
func boundTo(state *lifecycle.State, uid string) bool {
	for _, r := range state.Records {
		if r.Object.Spec.Subject.UID != uid {
			return false
		}
	}
	return true
}

// accountUID is the UID of a service account of this namespace; empty when there
// is none, or it is on its way out.
func (p *pass) accountUID(ctx context.Context, read getFunc, name string) (string, error) {
	account := serviceAccount()
	key := client.ObjectKey{Namespace: p.token.Namespace, Name: name}
	if err := read(ctx, key, account); apierrors.IsNotFound(err) {
		return "", nil
	} else if err != nil {
		return "", fmt.Errorf("read metadata of service account %s: %w", key, err)
	}
	if !account.DeletionTimestamp.IsZero() {
		return "", nil
	}
	return string(account.UID), nil
}

func serviceAccount() *metav1.PartialObjectMetadata {
	account := &metav1.PartialObjectMetadata{}
	account.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ServiceAccount"))
	return account
}

// proveCreator proves, where a token that acts as another is about to be issued,
// that whoever declared it may: by admission policy for the first one, and for
// later ones by the right that the creator still has. The policies have to be in
// force in any case: without them anybody may have changed what is declared.
func (p *pass) proveCreator(ctx context.Context, state *lifecycle.State) error {
	if !state.Refusable() {
		return nil
	}
	refusal, err := p.prove(ctx, state)
	if refusal != nil {
		state.Subject.Refusal = &lifecycle.Refusal{Reason: refusal.Reason, Message: refusal.Message}
		p.recheck = state.Now.Add(unprovenRetry)
	}
	return err
}

func (p *pass) prove(ctx context.Context, state *lifecycle.State) (*delegation.Refusal, error) {
	sealed := sealedCreator(state)
	if sealed == nil {
		p.checked = v1alpha1.CreatorCheckAdmission
		refusal, err := p.creators.Admitted(ctx, p.token)
		if refusal != nil || err != nil || p.token.Status.Revision == 0 {
			return refusal, err
		}
		// The records of earlier tokens are gone, as whoever may delete them can bring
		// about: the creator has to have the right still.
		stamped, _ := delegation.CreatorOf(p.token)
		return p.creators.Allowed(ctx, p.token, stamped)
	}
	p.checked = v1alpha1.CreatorCheckAccessReview
	refusal, since, err := p.creators.InForce(ctx, p.token.Namespace)
	if refusal != nil || err != nil {
		return refusal, err
	}
	if cause, _, _ := lifecycle.Due(*state); cause == lifecycle.CauseSecretTemplate && since.After(sealed.issuedAt) {
		return &delegation.Refusal{Reason: v1alpha1.ReasonCreatorUnchecked, Message: fmt.Sprintf(
			"spec.secret was changed, and the admission policies that ask for the right to are in force since %s only, after the last token was issued: put spec.secret back, or delete this AccessToken and create it again",
			v1alpha1.NewTimestamp(since))}, nil
	}
	// What is in the seal counts: the annotations may have been changed while the
	// policies were away.
	creator, _ := delegation.CreatorOf(p.token)
	if creator.Username != sealed.Username || creator.UID != sealed.UID || creator.GroupsDigest != sealed.GroupsDigest {
		creator = delegation.Creator{Username: sealed.Username, UID: sealed.UID}
	}
	return p.creators.Allowed(ctx, p.token, creator)
}

// sealed is a creator whose right to the subject was proved for an earlier token,
// of which a good record is left, and when that token was issued.
type sealed struct {
	*v1alpha1.Creator
	issuedAt time.Time
}

// sealedCreator is that of the latest such token; nil where there is none.
func sealedCreator(state *lifecycle.State) (latest *sealed) {
	for _, r := range state.Records {
		creator := r.Object.Spec.Creator
		proved := r.Void == nil && creator != nil && creator.Checked != "" && r.Object.Spec.Subject.Kind == state.Subject.Kind
		if proved && (latest == nil || r.IssuedAt.After(latest.issuedAt)) {
			latest = &sealed{creator, r.IssuedAt}
		}
	}
	return latest
}

// subjectOf is who the next token acts as.
func subjectOf(token *v1alpha1.AccessToken, state *lifecycle.State) v1alpha1.Subject {
	declared := token.Spec.Subject
	switch {
	case declared == nil:
		return ownPrincipal(token)
	case declared.Kind == v1alpha1.SubjectKindServiceAccount:
		return v1alpha1.Subject{
			Kind: declared.Kind, Name: "system:serviceaccount:" + token.Namespace + ":" + declared.Name, UID: state.Subject.UID,
			Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + token.Namespace},
		}
	}
	return v1alpha1.Subject{Kind: declared.Kind, Name: declared.Name, Groups: declared.Groups}
}

// creator is who declared the token, as admission policy stamped it, and how the
// right to its subject was proved.
func (p *pass) creator(state *lifecycle.State) *v1alpha1.Creator {
	if state.Subject != nil {
		if sealed := sealedCreator(state); sealed != nil {
			return &v1alpha1.Creator{Username: sealed.Username, UID: sealed.UID, GroupsDigest: sealed.GroupsDigest, Checked: p.checked}
		}
	}
	stamped, ok := delegation.CreatorOf(p.token)
	if !ok {
		return nil
	}
	creator := &v1alpha1.Creator{Username: stamped.Username, UID: stamped.UID}
	if state.Subject != nil {
		creator.Checked, creator.GroupsDigest = p.checked, stamped.GroupsDigest
	}
	return creator
}

// actingAs wakes the AccessTokens that act as a service account which came or
// went.
func (r *Reconciler) actingAs() handler.EventHandler {
	enqueue := func(ctx context.Context, account client.Object, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
		list := &v1alpha1.AccessTokenList{}
		err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency,
			client.InNamespace(account.GetNamespace()), client.MatchingFields{index.TokenServiceAccount: account.GetName()})
		if err != nil {
			log.FromContext(ctx).Error(err, "list AccessTokens that act as a service account", "serviceAccount", client.ObjectKeyFromObject(account))
			return
		}
		for i := range list.Items {
			queue.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			if !e.IsInInitialList { // then the AccessTokens themselves bring all work
				enqueue(ctx, e.Object, queue)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			if e.ObjectOld.GetUID() != e.ObjectNew.GetUID() || e.ObjectOld.GetDeletionTimestamp().IsZero() != e.ObjectNew.GetDeletionTimestamp().IsZero() {
				enqueue(ctx, e.ObjectNew, queue)
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			enqueue(ctx, e.Object, queue)
		},
	}
}
