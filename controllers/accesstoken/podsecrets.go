package accesstoken

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// podsAge is how long a list of Pods counts as read just now: many tokens of a
// namespace that are due at once share one.
const podsAge = time.Second

// podPage is how many Pods one request asks for.
const podPage = 500

// podSecrets are the Secrets that Pods were seen to refer to lately. Safe for
// concurrent use.
type podSecrets struct {
	reading singleflight.Group

	mu    sync.Mutex
	known map[string]referred
}

// referred are the Secrets that the Pods of a namespace which have not ended refer to.
type referred struct {
	at      time.Time
	secrets map[string]bool
}

// read returns those of a namespace as they are, or were within a second.
func (s *podSecrets) read(ctx context.Context, r *Reconciler, namespace string) (map[string]bool, error) {
	if known, ok := s.fresh(namespace, r.Clock.Now()); ok {
		return known, nil
	}
	found, err, _ := s.reading.Do(namespace, func() (any, error) {
		at := r.Clock.Now()
		secrets, err := listPodSecrets(ctx, r.Live, namespace)
		if err != nil {
			return nil, err
		}
		s.keep(namespace, referred{at, secrets})
		return secrets, nil
	})
	if err != nil {
		return nil, err
	}
	return found.(map[string]bool), nil //nolint:forcetypeassert // nothing else is returned
}

func (s *podSecrets) fresh(namespace string, now time.Time) (map[string]bool, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.known[namespace]
	return known.secrets, ok && now.Sub(known.at).Abs() <= podsAge
}

// keep keeps what one namespace refers to, and lets go of what no longer counts.
func (s *podSecrets) keep(namespace string, found referred) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, known := range s.known {
		if found.at.Sub(known.at).Abs() > podsAge {
			delete(s.known, name)
		}
	}
	s.known[namespace] = found
}

func listPodSecrets(ctx context.Context, live client.Reader, namespace string) (map[string]bool, error) {
	secrets, pods := map[string]bool{}, &corev1.PodList{}
	for {
		if err := live.List(ctx, pods, client.InNamespace(namespace), client.Limit(podPage), client.Continue(pods.Continue)); err != nil {
			return nil, err
		}
		for i := range pods.Items {
			if phase := pods.Items[i].Status.Phase; phase != corev1.PodSucceeded && phase != corev1.PodFailed {
				collectSecrets(&pods.Items[i].Spec, secrets)
			}
		}
		if pods.Continue == "" {
			return secrets, nil
		}
	}
}

// collectSecrets adds the names of all Secrets that a Pod mounts, reads into its
// environment, or hands to whatever pulls its images or serves its volumes.
func collectSecrets(pod *corev1.PodSpec, into map[string]bool) {
	for _, pull := range pod.ImagePullSecrets {
		into[pull.Name] = true
	}
	for i := range pod.Volumes {
		collectVolumeSecrets(&pod.Volumes[i].VolumeSource, into)
	}
	for i := range pod.InitContainers {
		collectEnvironmentSecrets(pod.InitContainers[i].Env, pod.InitContainers[i].EnvFrom, into)
	}
	for i := range pod.Containers {
		collectEnvironmentSecrets(pod.Containers[i].Env, pod.Containers[i].EnvFrom, into)
	}
	for i := range pod.EphemeralContainers {
		collectEnvironmentSecrets(pod.EphemeralContainers[i].Env, pod.EphemeralContainers[i].EnvFrom, into)
	}
}

func collectVolumeSecrets(volume *corev1.VolumeSource, into map[string]bool) {
	if volume.Secret != nil {
		into[volume.Secret.SecretName] = true
	}
	if volume.Projected != nil {
		for _, source := range volume.Projected.Sources {
			if source.Secret != nil {
				into[source.Secret.Name] = true
			}
		}
	}
	if volume.AzureFile != nil {
		into[volume.AzureFile.SecretName] = true
	}
	for _, ref := range driverSecrets(volume) {
		if ref != nil {
			into[ref.Name] = true
		}
	}
}

// driverSecrets are the Secrets by which the driver of a volume signs in.
func driverSecrets(volume *corev1.VolumeSource) (refs []*corev1.LocalObjectReference) {
	if volume.CSI != nil {
		refs = append(refs, volume.CSI.NodePublishSecretRef)
	}
	if volume.ISCSI != nil {
		refs = append(refs, volume.ISCSI.SecretRef)
	}
	if volume.RBD != nil {
		refs = append(refs, volume.RBD.SecretRef)
	}
	if volume.FlexVolume != nil {
		refs = append(refs, volume.FlexVolume.SecretRef)
	}
	if volume.Cinder != nil {
		refs = append(refs, volume.Cinder.SecretRef)
	}
	if volume.CephFS != nil {
		refs = append(refs, volume.CephFS.SecretRef)
	}
	if volume.ScaleIO != nil {
		refs = append(refs, volume.ScaleIO.SecretRef)
	}
	if volume.StorageOS != nil {
		refs = append(refs, volume.StorageOS.SecretRef)
	}
	return refs
}

func collectEnvironmentSecrets(variables []corev1.EnvVar, sources []corev1.EnvFromSource, into map[string]bool) {
	for _, variable := range variables {
		if variable.ValueFrom != nil && variable.ValueFrom.SecretKeyRef != nil {
			into[variable.ValueFrom.SecretKeyRef.Name] = true
		}
	}
	for _, source := range sources {
		if source.SecretRef != nil {
			into[source.SecretRef.Name] = true
		}
	}
}
