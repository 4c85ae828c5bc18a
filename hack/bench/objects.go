package main

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// declared is an AccessToken such as people declare.
func declared(namespace, name string) *v1alpha1.AccessToken {
	return &v1alpha1.AccessToken{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.AccessTokenSpec{
			Description: "Deploys the web shop from CI",
			MaxAge:      "720h",
			Scopes:      []string{"deploy:shop", "read:registry"},
			Rotation:    &v1alpha1.Rotation{Interval: "168h", Overlap: "24h"},
		},
	}
}

func numbered(i int) string { return fmt.Sprintf("token-%05d", i) }

// sample is one token as the operator issued it, which the floor copies: so it
// writes what the operator writes, also after the operator changed.
type sample struct {
	token  *v1alpha1.AccessToken
	record *v1alpha1.TokenRecord
	secret *corev1.Secret
	event  *eventsv1.Event
}

// takeSample has the running manager issue one token. It also makes sure that
// the manager leads and has filled its caches before anything is measured.
func (l *lab) takeSample(ctx context.Context) (*sample, error) {
	const namespace = "sample"
	if err := l.createNamespace(ctx, namespace); err != nil {
		return nil, err
	}
	run, err := l.issue(ctx, namespace, 1, declared)
	if err != nil {
		return nil, fmt.Errorf("issue a token to begin with: %w", err)
	}
	if err := l.waitQuiet(ctx); err != nil { // its event is written
		return nil, err
	}
	s := &sample{token: run.tokens[0], record: &v1alpha1.TokenRecord{}, secret: &corev1.Secret{}}
	if err := l.admin.Get(ctx, client.ObjectKeyFromObject(s.token), s.token); err != nil {
		return nil, fmt.Errorf("read the first token: %w", err)
	}
	key := client.ObjectKey{Namespace: namespace, Name: s.token.Status.TokenID}
	if err := l.admin.Get(ctx, key, s.record); err != nil {
		return nil, fmt.Errorf("read the first record: %w", err)
	}
	key.Name = s.token.Status.SecretName
	if err := l.admin.Get(ctx, key, s.secret); err != nil {
		return nil, fmt.Errorf("read the first Secret: %w", err)
	}
	list := &eventsv1.EventList{}
	if err := l.admin.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("read the first event: %w", err)
	}
	if len(list.Items) == 0 {
		return nil, fmt.Errorf("the operator wrote no event about its first token")
	}
	s.event = &list.Items[0]
	s.record.ObjectMeta = metav1.ObjectMeta{Labels: s.record.Labels, OwnerReferences: s.record.OwnerReferences}
	s.event.ObjectMeta = metav1.ObjectMeta{}
	return s, nil
}

func owner(token *v1alpha1.AccessToken) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "AccessToken",
		Name: token.Name, UID: token.UID, Controller: ptr.To(true),
	}
}
