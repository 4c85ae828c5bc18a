package lastused

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// TrackingName is the name of the ConfigMap, in the operator's namespace, that says
// since when uses are noted, as kube-apiserver keeps one for legacy tokens.
// Without it nobody can tell a token that is not used from one whose uses nobody
// noted.
const TrackingName = "accesstoken-last-use-tracking"

const sinceKey = "since"

// BeginTracking writes down that uses are noted from here on, unless that was
// written before.
func BeginTracking(ctx context.Context, live client.Client, namespace string, now time.Time) error {
	err := live.Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: TrackingName},
		Data:       map[string]string{sinceKey: string(v1alpha1.NewTimestamp(now))},
	})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("write ConfigMap %s/%s: %w", namespace, TrackingName, err)
	}
	return nil
}

// TrackedSince is since when uses are noted; ok is false while nobody does.
func TrackedSince(ctx context.Context, live client.Reader, namespace string) (since time.Time, ok bool, err error) {
	object := &corev1.ConfigMap{}
	err = live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: TrackingName}, object)
	if apierrors.IsNotFound(err) {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, fmt.Errorf("read ConfigMap %s/%s: %w", namespace, TrackingName, err)
	}
	since, err = v1alpha1.Timestamp(object.Data[sinceKey]).Parse()
	return since, err == nil, nil // what cannot be read says nothing
}
