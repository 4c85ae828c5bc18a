package store_test

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/store"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
)

// metadata is that of an object, being deleted from an instant on if there is
// one.
func metadata(namespace, name string, deletedAt time.Time) *metav1.PartialObjectMetadata {
	object := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: mint.UID(namespace, name)}}
	if !deletedAt.IsZero() {
		object.DeletionTimestamp = &metav1.Time{Time: deletedAt}
	}
	return object
}

func TestAnEndIsToldOfOnceWithItsTime(t *testing.T) {
	issued := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	end := issued.Add(time.Minute)
	rec, _ := mint.Record(t, "ci", "deploy", issued)
	revoked := rec.DeepCopy()
	revoked.ResourceVersion, revoked.Status.RevokedAt = "2", v1alpha1.NewTimestamp(end)
	records := func(all ...*v1alpha1.TokenRecord) []*v1alpha1.TokenRecord { return all }
	objects := func(all ...*metav1.PartialObjectMetadata) []*metav1.PartialObjectMetadata { return all }

	for name, test := range map[string]struct {
		happens func(*store.Store)
		told    int
	}{
		"a token that is revoked": {func(s *store.Store) {
			s.ReplaceRecords(records(rec))
			s.PutRecord(revoked)
			s.PutRecord(revoked)
		}, 1},
		"a token that was revoked while the watch was away": {func(s *store.Store) {
			s.ReplaceRecords(records(rec))
			s.ReplaceRecords(records(revoked))
			s.ReplaceRecords(records(revoked))
		}, 1},
		"a token that was revoked before": {func(s *store.Store) {
			s.ReplaceRecords(records(revoked))
			s.PutRecord(revoked)
		}, 0},
		"a token that is revoked when its record is first seen": {func(s *store.Store) {
			s.ReplaceRecords(nil)
			s.PutRecord(revoked)
		}, 0},
		"an AccessToken that is being deleted": {func(s *store.Store) {
			s.PutOwner(metadata("ci", "deploy", time.Time{}))
			s.PutOwner(metadata("ci", "deploy", end))
			s.PutOwner(metadata("ci", "deploy", end))
			s.DeleteOwner(metadata("ci", "deploy", end))
		}, 1},
		"an AccessToken that was being deleted before": {func(s *store.Store) {
			s.ReplaceOwners(objects(metadata("ci", "deploy", end)))
		}, 0},
		"an AccessToken that is gone at once": {func(s *store.Store) {
			s.ReplaceOwners(objects(metadata("ci", "deploy", time.Time{})))
			s.DeleteOwner(metadata("ci", "deploy", time.Time{}))
		}, 0},
		"a namespace that is being deleted": {func(s *store.Store) {
			s.ReplaceNamespaces(objects(metadata("", "ci", time.Time{})))
			s.PutNamespace(metadata("", "ci", end))
			s.PutNamespace(metadata("", "ci", end))
			s.DeleteNamespace(metadata("", "ci", end))
		}, 1},
		"a namespace that was being deleted while the watch was away": {func(s *store.Store) {
			s.ReplaceNamespaces(objects(metadata("", "ci", time.Time{})))
			s.ReplaceNamespaces(objects(metadata("", "ci", end)))
		}, 1},
	} {
		var told []time.Time
		s := store.New(store.Options{
			Opener: mint.Default().Opener(), Clock: clocktesting.NewFakePassiveClock(end),
			Ended: func(at time.Time) { told = append(told, at) },
		})
		test.happens(s)
		if len(told) != test.told || slices.ContainsFunc(told, func(at time.Time) bool { return !at.Equal(end) }) {
			t.Errorf("%s: told of %v, want %d times %s", name, told, test.told, end)
		}
	}
}
