package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

const fieldOwner = client.FieldOwner("accesstoken-manager")

// pace is how many tokens a second were written, and what each took.
type pace struct {
	perSecond float64
	cost
}

// between is the floor, of one before the operator and one after.
func between(before, after pace) pace {
	return pace{
		perSecond: (before.perSecond + after.perSecond) / 2,
		cost: cost{
			client: (before.client + after.client) / 2,
			server: (before.server + after.server) / 2,
			all:    (before.all + after.all) / 2,
		},
	}
}

// measureFloor has a plain client write n tokens.
func (l *lab) measureFloor(ctx context.Context, n int, write func(ctx context.Context, i int) error) (pace, error) {
	before, err := l.cpuTimes()
	if err != nil {
		return pace{}, err
	}
	start := time.Now()
	if err := parallel(ctx, n, write); err != nil {
		return pace{}, err
	}
	elapsed := time.Since(start)
	after, err := l.cpuTimes()
	return pace{perSecond: float64(n) / elapsed.Seconds(), cost: after.since(before, n)}, err
}

// floorOfIssue writes n tokens as the operator would have them, declared ones
// and all that follows but the event.
func (l *lab) floorOfIssue(ctx context.Context, namespace string, n int, s *sample) (pace, error) {
	if err := l.createNamespace(ctx, namespace); err != nil {
		return pace{}, err
	}
	remaining := n
	watch, err := l.watchTokens(ctx, namespace, func(e event) bool { // as the operator's run is watched
		if ready, _ := e.ready(); ready {
			remaining--
		}
		return remaining == 0
	})
	if err != nil {
		return pace{}, err
	}
	f, err := l.measureFloor(ctx, n, func(ctx context.Context, i int) error {
		at := declared(namespace, numbered(i))
		if err := l.admin.Create(ctx, at); err != nil {
			return fmt.Errorf("create AccessToken: %w", err)
		}
		return l.writeRevision(ctx, s, at, 1, "1")
	})
	if err != nil {
		watch.cancel()
		return f, err
	}
	return f, watch.wait()
}

// writeRevision writes record, Secret and status. The resourceVersion is that of
// the Secret, "1" for none.
func (l *lab) writeRevision(ctx context.Context, s *sample, at *v1alpha1.AccessToken, revision int64, resourceVersion string) error {
	id := token.DeclaredID(string(at.UID), revision)
	record := s.record.DeepCopy()
	record.Namespace, record.Name = at.Namespace, id
	record.OwnerReferences = []metav1.OwnerReference{owner(at)}
	record.Spec.AccessTokenName, record.Spec.AccessTokenUID, record.Spec.Revision = at.Name, string(at.UID), revision
	if err := l.account.Create(ctx, record, fieldOwner); err != nil {
		return fmt.Errorf("create record: %w", err)
	}
	if err := l.applySecret(ctx, s, at, id, revision, resourceVersion); err != nil {
		return fmt.Errorf("apply Secret: %w", err)
	}
	before := at.DeepCopy()
	at.Status = *s.token.Status.DeepCopy()
	at.Status.TokenID, at.Status.Revision, at.Status.SecretName = id, revision, at.Name
	at.Status.Tokens[0].ID, at.Status.Tokens[0].Revision = id, revision
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := l.account.Status().Patch(ctx, at, patch, fieldOwner); err != nil {
		return fmt.Errorf("patch status: %w", err)
	}
	return nil
}

func (l *lab) applySecret(ctx context.Context, s *sample, at *v1alpha1.AccessToken, id string, revision int64, resourceVersion string) error {
	annotations := maps.Clone(s.secret.Annotations)
	annotations[v1alpha1.AnnotationTokenID] = id
	annotations[v1alpha1.AnnotationRevision] = strconv.FormatInt(revision, 10)
	controller := owner(at)
	secret := corev1ac.Secret(at.Name, at.Namespace).WithResourceVersion(resourceVersion).
		WithLabels(s.secret.Labels).WithAnnotations(annotations).
		WithOwnerReferences(metav1ac.OwnerReference().WithAPIVersion(controller.APIVersion).WithKind(controller.Kind).
			WithName(controller.Name).WithUID(controller.UID).WithController(true)).
		WithType(s.secret.Type).WithData(s.secret.Data)
	body, err := json.Marshal(secret)
	if err != nil {
		return err
	}
	metadata := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: at.Name, Namespace: at.Namespace}}
	metadata.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	return l.account.Patch(ctx, metadata, client.RawPatch(types.ApplyPatchType, body), fieldOwner, client.ForceOwnership)
}

// floorOfRotation writes the next revision of every token in a namespace: what
// an issue writes, the end of the record before, and an event.
func (l *lab) floorOfRotation(ctx context.Context, namespace string, s *sample) (pace, error) {
	list := &v1alpha1.AccessTokenList{}
	if err := l.admin.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return pace{}, fmt.Errorf("list AccessTokens: %w", err)
	}
	secrets := &metav1.PartialObjectMetadataList{}
	secrets.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	if err := l.admin.List(ctx, secrets, client.InNamespace(namespace)); err != nil {
		return pace{}, fmt.Errorf("list Secrets: %w", err)
	}
	versions := map[string]string{}
	for i := range secrets.Items {
		versions[secrets.Items[i].Name] = secrets.Items[i].ResourceVersion
	}
	records, err := l.recordsByName(ctx, namespace)
	if err != nil {
		return pace{}, err
	}
	return l.measureFloor(ctx, len(list.Items), func(ctx context.Context, i int) error {
		at := &list.Items[i]
		return l.writeRotation(ctx, s, at, records[at.Status.TokenID], versions[at.Name])
	})
}

func (l *lab) writeRotation(ctx context.Context, s *sample, at *v1alpha1.AccessToken, old *v1alpha1.TokenRecord, secretVersion string) error {
	if old == nil {
		return fmt.Errorf("there is no record %s", at.Status.TokenID)
	}
	if err := l.writeRevision(ctx, s, at, at.Status.Revision+1, secretVersion); err != nil {
		return err
	}
	before := old.DeepCopy()
	old.Status.ExpiresAt, old.Status.Reason = v1alpha1.NewTimestamp(time.Now().Add(time.Hour)), v1alpha1.EndReasonSuperseded
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := l.account.Status().Patch(ctx, old, patch, fieldOwner); err != nil {
		return fmt.Errorf("patch record: %w", err)
	}
	event := s.event.DeepCopy()
	event.Namespace, event.Name = at.Namespace, at.Status.TokenID
	event.Regarding.Namespace, event.Regarding.Name, event.Regarding.UID = at.Namespace, at.Name, at.UID
	if err := l.account.Create(ctx, event); err != nil {
		return fmt.Errorf("create event: %w", err)
	}
	return nil
}

func (l *lab) recordsByName(ctx context.Context, namespace string) (map[string]*v1alpha1.TokenRecord, error) {
	list := &v1alpha1.TokenRecordList{}
	if err := l.admin.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("list records: %w", err)
	}
	records := make(map[string]*v1alpha1.TokenRecord, len(list.Items))
	for i := range list.Items {
		records[list.Items[i].Name] = &list.Items[i]
	}
	return records, nil
}
