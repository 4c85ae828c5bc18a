package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/keys"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

// badSecrets says of each AccessToken of a namespace whose Secret does not hold a
// token that verifies by its record now, what is wrong.
func (l *lab) badSecrets(ctx context.Context, namespace string) (bad []error, err error) {
	opener, err := l.opener(ctx)
	if err != nil {
		return nil, err
	}
	tokens, secrets := &v1alpha1.AccessTokenList{}, &corev1.SecretList{}
	if err := errors.Join(l.admin.List(ctx, tokens, client.InNamespace(namespace)), l.admin.List(ctx, secrets, client.InNamespace(namespace))); err != nil {
		return nil, fmt.Errorf("list AccessTokens and Secrets: %w", err)
	}
	records, err := l.recordsByName(ctx, namespace)
	if err != nil {
		return nil, err
	}
	byName := map[string]*corev1.Secret{}
	for i := range secrets.Items {
		byName[secrets.Items[i].Name] = &secrets.Items[i]
	}
	now := time.Now()
	for i := range tokens.Items {
		name := tokens.Items[i].Name
		if err := check(opener, byName[name], records, now); err != nil {
			bad = append(bad, fmt.Errorf("AccessToken %s/%s: %w", namespace, name, err))
		}
	}
	return bad, nil
}

// check says what is wrong with a Secret that should hold a good token.
func check(opener record.Opener, secret *corev1.Secret, records map[string]*v1alpha1.TokenRecord, now time.Time) error {
	if secret == nil {
		return errors.New("there is no Secret")
	}
	presented, err := token.Parse(string(secret.Data["token"]))
	if err != nil {
		return fmt.Errorf("the Secret holds no token: %w", err)
	}
	rec := records[presented.ID()]
	if rec == nil {
		return fmt.Errorf("token %s has no record", presented.ID())
	}
	sealed, err := opener.Open(rec)
	switch {
	case err != nil:
		return fmt.Errorf("record %s: %w", rec.Name, err)
	case !sealed.Verify(presented.SecretDigest()):
		return fmt.Errorf("record %s is that of another secret", rec.Name)
	case record.Ended(rec, now):
		return fmt.Errorf("record %s has ended, reason %q", rec.Name, rec.Status.Reason)
	}
	return nil
}

// opener opens records as the manager does, with its keys.
func (l *lab) opener(ctx context.Context) (record.Opener, error) {
	secret, system := &corev1.Secret{}, &corev1.Namespace{}
	if err := l.admin.Get(ctx, client.ObjectKey{Namespace: operator.Namespace, Name: keys.SecretName}, secret); err != nil {
		return record.Opener{}, fmt.Errorf("read the keys: %w", err)
	}
	if err := l.admin.Get(ctx, client.ObjectKey{Name: "kube-system"}, system); err != nil {
		return record.Opener{}, fmt.Errorf("read the cluster's ID: %w", err)
	}
	set := record.KeySet{}
	for id, material := range secret.Data {
		set[id] = record.Key(material)
	}
	return record.Opener{Keys: set, ClusterID: string(system.UID)}, nil
}
