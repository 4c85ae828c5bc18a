package controllers

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/controllers/accesstoken"
	"github.com/accesstoken-dev/accesstoken-operator/controllers/accesstokenquota"
	"github.com/accesstoken-dev/accesstoken-operator/controllers/tokenrecord"
	"github.com/accesstoken-dev/accesstoken-operator/controllers/tokenrevocation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/audit"
	"github.com/accesstoken-dev/accesstoken-operator/internal/delivery"
	"github.com/accesstoken-dev/accesstoken-operator/internal/keys"
	"github.com/accesstoken-dev/accesstoken-operator/internal/metrics"
	"github.com/accesstoken-dev/accesstoken-operator/internal/quota"
	"github.com/accesstoken-dev/accesstoken-operator/internal/recorder"
)

// Options are what the controllers of tokens and records need besides the
// manager.
type Options struct {
	// Live goes to the API server without a cache.
	Live client.Client
	// Keys seal and open records; whatever comes over Reopen makes every token
	// be looked at again.
	Keys   *keys.Ring
	Reopen <-chan event.TypedGenericEvent[accesstoken.Reopen]
	// Namespace is the operator's own.
	Namespace string
	// ClusterID is the UID of the namespace kube-system.
	ClusterID string
	// Cluster is the API server that a Kubeconfig may be for.
	Cluster delivery.Cluster
	// Workers is how many AccessTokens are worked on at once.
	Workers int
	// Retention is how long the record of an ended token is kept.
	Retention time.Duration
	// Term is that in which this process leads; nil where there is no leader
	// election.
	Term    func() string
	Metrics *metrics.Lifecycle
	// Audit is written to; nil writes nothing.
	Audit *audit.Log
	Clock clock.PassiveClock
}

// Setup registers the controllers of tokens and records with a manager whose
// cache and client were made with CacheOptions and ClientOptions.
func Setup(mgr ctrl.Manager, o Options) error {
	fence := quota.NewFence()
	tokens := accesstoken.New(accesstoken.Options{
		Client: mgr.GetClient(), Live: o.Live, Keys: o.Keys, ClusterID: o.ClusterID, Cluster: o.Cluster, Namespace: o.Namespace, Fence: fence, Term: o.Term,
		Recorder: recorder.Cut(mgr.GetEventRecorder(accesstoken.Name)), Metrics: o.Metrics, Audit: o.Audit, Random: rand.Reader, Clock: o.Clock,
	})
	if err := tokens.SetupWithManager(mgr, o.Workers, o.Reopen); err != nil {
		return fmt.Errorf("set up tokens: %w", err)
	}
	records := &tokenrecord.Reconciler{Client: mgr.GetClient(), Live: o.Live, Retention: o.Retention, Clock: o.Clock}
	if err := records.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("set up records: %w", err)
	}
	revocations := &tokenrevocation.Reconciler{
		Client: mgr.GetClient(), Live: o.Live, Recorder: recorder.Cut(mgr.GetEventRecorder(tokenrevocation.Name)), Metrics: o.Metrics, Audit: o.Audit, Clock: o.Clock,
	}
	if err := revocations.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("set up revocations: %w", err)
	}
	accounts := &tokenrevocation.AccountReconciler{Client: mgr.GetClient(), Recorder: recorder.Cut(mgr.GetEventRecorder(tokenrevocation.AccountName))}
	if err := accounts.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("set up revocations by service accounts: %w", err)
	}
	quotas := accesstokenquota.New(accesstokenquota.Options{
		Client: mgr.GetClient(), Live: o.Live, Fence: fence, Recorder: recorder.Cut(mgr.GetEventRecorder(accesstokenquota.Name)), Clock: o.Clock,
	})
	if err := quotas.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("set up quotas: %w", err)
	}
	return nil
}

// ClientOptions make cached reads show the process's own writes.
func ClientOptions() client.Options {
	readYourWrites := true
	return client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: &readYourWrites}}
}

// CacheOptions keep memory small: Secrets are watched as metadata only, and
// only those that the operator labelled; of the rest, what nobody reads is
// dropped on arrival. The managedFields of Secrets stay: they show who wrote
// what. Whoever may write an object may fill its metadata: of what tenants make in
// any number, but for Secrets, only our annotations stay.
func CacheOptions() cache.Options {
	labelled, err := labels.NewRequirement(v1alpha1.LabelAccessToken, selection.Exists, nil)
	if err != nil {
		panic(err) // the label is a constant
	}
	return cache.Options{ByObject: map[client.Object]cache.ByObject{
		&corev1.ServiceAccount{}:           {Transform: keepOnly(v1alpha1.AnnotationRevokeTokensBefore)},
		&corev1.Secret{}:                   {Label: labels.NewSelector().Add(*labelled), Transform: dropContent},
		&corev1.Namespace{}:                {Transform: dropUnread},
		&v1alpha1.AccessToken{}:            {Transform: keepOnly(declaredBy...)},
		&v1alpha1.AccessTokenPolicy{}:      {Transform: dropUnread},
		&v1alpha1.AccessTokenQuota{}:       {Transform: dropUnread},
		&v1alpha1.TokenRecord{}:            {Transform: dropUnread},
		&v1alpha1.TokenRevocation{}:        {Transform: keepOnly()},
		&v1alpha1.ClusterTokenRevocation{}: {Transform: keepOnly(v1alpha1.AnnotationCopyOf, v1alpha1.AnnotationServiceAccount)},
	}}
}

// dropContent drops the annotation in which client-side apply keeps what was
// applied: of a Secret, its content.
func dropContent(object any) (any, error) {
	if metadata, ok := object.(client.Object); ok {
		metadata.SetFinalizers(nil)
		delete(metadata.GetAnnotations(), corev1.LastAppliedConfigAnnotation)
	}
	return object, nil
}

func dropUnread(object any) (any, error) {
	if metadata, ok := object.(client.Object); ok {
		metadata.SetManagedFields(nil)
		metadata.SetFinalizers(nil)
		delete(metadata.GetAnnotations(), corev1.LastAppliedConfigAnnotation)
	}
	return object, nil
}

// declaredBy are the annotations of an AccessToken that are read.
var declaredBy = []string{
	v1alpha1.AnnotationRotateRequestedAt, v1alpha1.AnnotationCreatedBy, v1alpha1.AnnotationCreatedByUID, v1alpha1.AnnotationCreatedByGroups,
}

// mostValue is how much of an annotation is kept, in bytes: more than any that means
// something has.
const mostValue = 512

// keepOnly drops all metadata but what identifies an object, and these annotations.
func keepOnly(annotations ...string) func(any) (any, error) {
	return func(object any) (any, error) {
		metadata, ok := object.(client.Object)
		if !ok {
			return object, nil
		}
		var kept map[string]string
		for _, key := range annotations {
			value, there := metadata.GetAnnotations()[key]
			if !there {
				continue
			}
			if kept == nil {
				kept = map[string]string{}
			}
			if !strings.HasPrefix(key, v1alpha1.AnnotationCreatedBy) { // which policy guards, and which names somebody else when it is cut
				value = value[:min(len(value), mostValue)]
			}
			kept[key] = strings.Clone(value)
		}
		metadata.SetManagedFields(nil)
		metadata.SetOwnerReferences(nil)
		metadata.SetFinalizers(nil)
		metadata.SetLabels(nil)
		metadata.SetAnnotations(kept)
		return object, nil
	}
}
