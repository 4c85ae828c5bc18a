package main

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/objects"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

// What these tests do all the time.
var (
	adminClient = objects.Client
	declare     = objects.Declare
	edit        = objects.Edit
	createOnce  = objects.CreateOnce
	tokenOf     = objects.AccessToken
	secretOf    = objects.Secret
	awaitReason = objects.AwaitReason
)

// issued is a token that was declared and is in its Secret.
type issued struct {
	key  client.ObjectKey
	text string
}

// issue declares a token and waits for it.
func issue(t *testing.T, namespace, name string, spec v1alpha1.AccessTokenSpec) issued {
	t.Helper()
	key := declare(t, namespace, name, spec)
	awaitReason(t, key, v1alpha1.ReasonIssued)
	return tokenIn(t, key)
}

// issueMany declares n tokens, many at a time, and waits for all.
func issueMany(t *testing.T, namespace, prefix string, n int, spec v1alpha1.AccessTokenSpec) []issued {
	t.Helper()
	objects.DeclareMany(t, namespace, prefix, n, spec)
	objects.AwaitAll(t, v1alpha1.ReasonIssued, client.InNamespace(namespace))
	all := make([]issued, 0, n)
	for key := range objects.AccessTokens(t, client.InNamespace(namespace)) {
		all = append(all, tokenIn(t, key))
	}
	return all
}

// tokenIn reads the token in a Secret that has the name of its AccessToken.
func tokenIn(t *testing.T, key client.ObjectKey) issued {
	t.Helper()
	texts := objects.TokensIn(secretOf(t, key))
	if len(texts) != 1 {
		t.Fatalf("Secret %s holds %d tokens", key, len(texts))
	}
	return issued{key: key, text: texts[0]}
}

// id is that of the token, and the name of its record.
func (i issued) id(t *testing.T) string {
	t.Helper()
	presented, err := token.Parse(i.text)
	if err != nil {
		t.Fatal(err)
	}
	return presented.ID()
}

// record is that of the token, as it is now.
func (i issued) record(t *testing.T) *v1alpha1.TokenRecord {
	t.Helper()
	rec := &v1alpha1.TokenRecord{}
	if err := adminClient(t).Get(t.Context(), client.ObjectKey{Namespace: i.key.Namespace, Name: i.id(t)}, rec); err != nil {
		t.Fatal(err)
	}
	return rec
}
