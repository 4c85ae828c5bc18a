package delegation

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// WitnessName is the name of the ConfigMap, in the operator's namespace, in which
// it notes since when the policies are as they are: the API server counts their
// changes, but does not keep when each was. It is written when a policy changed.
const WitnessName = "accesstoken-policies"

// clockTolerance is how far this program's clock may be off from the API server's,
// by which AccessTokens are created.
const clockTolerance = 30 * time.Second

// sighting is a policy or a binding as it was seen, and since when nothing can
// have passed by it.
type sighting struct {
	uid        string
	generation int64
	since      time.Time
}

func (s sighting) String() string {
	return fmt.Sprintf("%s %d %s", s.uid, s.generation, v1alpha1.NewTimestamp(s.since))
}

// parseSighting reads what String writes; ok is false for anything else.
func parseSighting(text string) (s sighting, ok bool) {
	fields := strings.Fields(text)
	if len(fields) != 3 {
		return s, false
	}
	generation, err := strconv.ParseInt(fields[1], 10, 64)
	since, timeErr := v1alpha1.Timestamp(fields[2]).Parse()
	return sighting{uid: fields[0], generation: generation, since: since}, err == nil && timeErr == nil
}

// see judges an object that is as it should be, by what was seen of it last.
func see(object metav1.Object, before sighting, known bool, now time.Time) sighting {
	seen := sighting{uid: string(object.GetUID()), generation: object.GetGeneration()}
	switch same := known && before.uid == seen.uid; {
	case same && seen.generation-before.generation <= 1 && seen.generation >= before.generation:
		seen.since = before.since // changed once at most, from one good state into another
	case !same && seen.generation == 1:
		seen.since = object.GetCreationTimestamp().Time // never changed
	default:
		seen.since = now.Add(clockTolerance) // there may have been another state in between
	}
	return seen
}

// witness takes down what was seen, and says of each object since when it is in
// force.
func (c *Checker) witness(ctx context.Context, objects map[string]metav1.Object) (map[string]time.Time, error) {
	note := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: WitnessName, Namespace: c.Namespace}}
	err := c.Live.Get(ctx, client.ObjectKeyFromObject(note), note)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read ConfigMap %s/%s: %w", c.Namespace, WitnessName, err)
	}
	missing, changed := err != nil, false
	since := map[string]time.Time{}
	if note.Data == nil {
		note.Data = map[string]string{}
	}
	for key, object := range objects {
		before, known := parseSighting(note.Data[key])
		seen := see(object, before, known, c.Clock.Now())
		since[key] = seen.since
		if text := seen.String(); note.Data[key] != text {
			note.Data[key], changed = text, true
		}
	}
	switch {
	case missing:
		err = c.Live.Create(ctx, note)
	case changed:
		err = c.Live.Update(ctx, note) // with the resourceVersion that was read
	default:
		return since, nil
	}
	if apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) {
		return nil, fmt.Errorf("note since when admission policies are in force: another manager does: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("write ConfigMap %s/%s: %w", c.Namespace, WitnessName, err)
	}
	return since, nil
}
