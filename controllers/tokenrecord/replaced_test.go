package tokenrecord

import (
	"context"
	"testing"
	"time"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/index"
)

// indexed lists what an index has for one UID. No API server brings about on
// demand that a watch misses a deletion.
type indexed struct {
	client.Client
	uid string
}

func (i indexed) List(_ context.Context, list client.ObjectList, options ...client.ListOption) error {
	var o client.ListOptions
	o.ApplyOptions(options)
	if o.FieldSelector.String() == index.RecordAccessTokenUID+"="+i.uid {
		list.(*v1alpha1.TokenRecordList).Items = []v1alpha1.TokenRecord{{ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: "record"}}}
	}
	return nil
}

func accessToken(uid types.UID) *v1alpha1.AccessToken {
	return &v1alpha1.AccessToken{ObjectMeta: metav1.ObjectMeta{Namespace: "ci", Name: "deploy", UID: uid}}
}

func TestADeletionThatTheWatchMissedIsNoticed(t *testing.T) {
	for name, test := range map[string]struct {
		now  types.UID
		want int
	}{
		"made again under that name": {"later", 1},
		"changed":                    {"earlier", 0},
	} {
		t.Run(name, func(t *testing.T) {
			ticker := clocktesting.NewFakeClock(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))
			queue := workqueue.NewTypedRateLimitingQueueWithConfig(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request](),
				workqueue.TypedRateLimitingQueueConfig[reconcile.Request]{Clock: ticker})
			defer queue.ShutDown()
			r := &Reconciler{Client: indexed{uid: "earlier"}}
			r.tokenReplaced(t.Context(), event.UpdateEvent{ObjectOld: accessToken("earlier"), ObjectNew: accessToken(test.now)}, queue)
			if queue.Len() != 0 {
				t.Error("garbage collection has the first go")
			}
			if test.want == 0 {
				return
			}
			// The queue notes what is delayed on a goroutine of its own.
			gomega.NewWithT(t).Eventually(func() int {
				ticker.Step(orphanGrace)
				return queue.Len()
			}).Should(gomega.Equal(test.want))
			got, _ := queue.Get()
			if want := (types.NamespacedName{Namespace: "ci", Name: "record"}); got.NamespacedName != want {
				t.Errorf("looked at %s; want %s", got, want)
			}
		})
	}
}
