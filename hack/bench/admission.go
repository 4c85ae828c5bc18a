package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

const (
	admissionCreates = 500
	admissionLimits  = 2 // AccessTokenPolicies that select the namespace
)

// measureAdmission creates AccessTokens one after the other, with the admission
// policies in force and without them. All are dry runs, so that nothing but
// admission and validation differs; no manager runs.
func measureAdmission(ctx context.Context, b *bench, r *results) (err error) {
	l, err := b.openLab(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.shut()) }()
	const namespace = "admission"
	if err := l.createNamespace(ctx, namespace); err != nil {
		return err
	}
	for i := range admissionLimits {
		limits := &v1alpha1.AccessTokenPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("limits-%d", i)},
			Spec:       v1alpha1.AccessTokenPolicySpec{MaxAge: &v1alpha1.PolicyMaxAge{Max: "8760h"}, RequireDescription: true},
		}
		if err := l.admin.Create(ctx, limits); err != nil {
			return fmt.Errorf("create AccessTokenPolicy: %w", err)
		}
	}
	b.say("%d creates with the admission policies", admissionCreates)
	with, err := l.createDry(ctx, namespace)
	if err != nil {
		return err
	}
	if err := l.unbindPolicies(ctx); err != nil {
		return err
	}
	b.say("%d creates without them", admissionCreates)
	without, err := l.createDry(ctx, namespace)
	if err != nil {
		return err
	}
	for _, q := range []float64{0.5, 0.99} {
		name := fmt.Sprintf("an AccessToken created under all admission policies, p%.0f", q*100)
		r.addBeside(name, milliseconds(with.quantile(q)), milliseconds(without.quantile(q)), "ms", aim{})
	}
	return nil
}

// createDry creates AccessTokens that act as a service account, which is what most
// is asked about.
func (l *lab) createDry(ctx context.Context, namespace string) (spread, error) {
	var took spread
	for i := range admissionCreates {
		token := declared(namespace, numbered(i))
		token.Spec.Description = "measured"
		token.Spec.Subject = &v1alpha1.TokenSubject{Kind: v1alpha1.SubjectKindServiceAccount, Name: "deployer"}
		sent := time.Now()
		if err := l.admin.Create(ctx, token, client.DryRunAll); err != nil {
			return nil, fmt.Errorf("create AccessToken: %w", err)
		}
		took = append(took, time.Since(sent))
	}
	return took, nil
}

// unbindPolicies takes the policies out of force, and waits until the API server
// goes by that.
func (l *lab) unbindPolicies(ctx context.Context) error {
	for _, kind := range []client.Object{&admissionv1.ValidatingAdmissionPolicyBinding{}, &admissionv1.MutatingAdmissionPolicyBinding{}} {
		if err := l.admin.DeleteAllOf(ctx, kind); err != nil {
			return fmt.Errorf("delete the bindings of admission policies: %w", err)
		}
	}
	for {
		token := declared("admission", "probe")
		token.Spec.Scopes = []string{v1alpha1.ReservedScopePrefix + "probe"}
		token.Annotations = map[string]string{v1alpha1.AnnotationRotateRequestedAt: "refused while policies bind"}
		err := l.admin.Create(ctx, token, client.DryRunAll)
		if err == nil && token.Annotations[v1alpha1.AnnotationCreatedBy] == "" {
			return nil
		}
		if err := pause(ctx, singlePause); err != nil {
			return err
		}
	}
}
