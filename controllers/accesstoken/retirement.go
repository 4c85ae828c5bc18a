package accesstoken

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lastused"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
	"github.com/accesstoken-dev/accesstoken-operator/internal/policy"
)

// mountedRetry is how soon a token that is due to be taken back unused, but whose
// Secret a Pod uses, is looked at again.
const mountedRetry = time.Hour

// observeRetirement reads what policies ask for of a token that nobody uses.
func (p *pass) observeRetirement(ctx context.Context, state *lifecycle.State, selecting []*v1alpha1.AccessTokenPolicy) error {
	unusedFor, asked := policy.UnusedFor(selecting)
	if !asked {
		return nil
	}
	state.Retirement = &lifecycle.Retirement{UnusedFor: unusedFor}
	if known := p.trackedSince.Load(); known != nil {
		state.Retirement.TrackedSince = *known
		return nil
	}
	since, tracked, err := lastused.TrackedSince(ctx, p.Live, p.Namespace)
	if tracked {
		p.trackedSince.Store(&since) // it is written once
		state.Retirement.TrackedSince = since
	}
	return err
}

// confirmUnused looks, before a token is taken back, at its records in the API
// server, of which the cache may lack a use, and at the Pods that may be about to
// use it.
func (p *pass) confirmUnused(ctx context.Context, state *lifecycle.State) error {
	if !state.RetirementDue() {
		return nil
	}
	for i := range state.Records {
		live := &v1alpha1.TokenRecord{}
		err := p.Live.Get(ctx, client.ObjectKeyFromObject(state.Records[i].Object), live)
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("read record %s again before it is taken back: %w", state.Records[i].Object.Name, err)
		}
		if err == nil {
			state.Records[i] = p.open(live)
		}
	}
	if !state.RetirementDue() {
		return nil
	}
	var names []string
	for _, secret := range state.Secrets {
		names = append(names, secret.Name)
	}
	var err error
	if state.Retirement.Mounted, err = p.usedByPod(ctx, names); state.Retirement.Mounted {
		p.recheck = state.Now.Add(mountedRetry)
	}
	return err
}

// usedByPod says that a Pod which has not ended refers to one of these Secrets.
func (p *pass) usedByPod(ctx context.Context, secrets []string) (bool, error) {
	pods := &corev1.PodList{}
	for {
		if err := p.Live.List(ctx, pods, client.InNamespace(p.token.Namespace), client.Limit(500), client.Continue(pods.Continue)); err != nil {
			return false, fmt.Errorf("list the Pods that may use a Secret of AccessToken %s: %w", p.key(), err)
		}
		for i := range pods.Items {
			pod := &pods.Items[i]
			if pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed && refersTo(&pod.Spec, secrets) {
				return true, nil
			}
		}
		if pods.Continue == "" {
			return false, nil
		}
	}
}

// refersTo says that a Pod mounts a Secret, reads it into its environment or pulls
// images by it.
func refersTo(pod *corev1.PodSpec, secrets []string) bool {
	for i := range pod.Volumes {
		volume := &pod.Volumes[i]
		if volume.Secret != nil && slices.Contains(secrets, volume.Secret.SecretName) {
			return true
		}
		if volume.Projected != nil && slices.ContainsFunc(volume.Projected.Sources, func(source corev1.VolumeProjection) bool {
			return source.Secret != nil && slices.Contains(secrets, source.Secret.Name)
		}) {
			return true
		}
	}
	for _, pull := range pod.ImagePullSecrets {
		if slices.Contains(secrets, pull.Name) {
			return true
		}
	}
	for _, container := range slices.Concat(pod.InitContainers, pod.Containers) {
		if environmentRefersTo(&container, secrets) {
			return true
		}
	}
	return false
}

func environmentRefersTo(container *corev1.Container, secrets []string) bool {
	return slices.ContainsFunc(container.EnvFrom, func(source corev1.EnvFromSource) bool {
		return source.SecretRef != nil && slices.Contains(secrets, source.SecretRef.Name)
	}) || slices.ContainsFunc(container.Env, func(variable corev1.EnvVar) bool {
		return variable.ValueFrom != nil && variable.ValueFrom.SecretKeyRef != nil && slices.Contains(secrets, variable.ValueFrom.SecretKeyRef.Name)
	})
}
