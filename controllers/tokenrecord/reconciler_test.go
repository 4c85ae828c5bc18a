package tokenrecord_test

import (
	"context"
	"testing"
	"time"

	"github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

func TestEndedRecordsAreDeletedAfterTheRetention(t *testing.T) {
	for name, test := range map[string]struct {
		status func(*v1alpha1.TokenRecordStatus, time.Time)
		ends   time.Duration
	}{
		"by age":         {nil, time.Hour},
		"by a lower age": {func(s *v1alpha1.TokenRecordStatus, _ time.Time) { s.MaxAgeSeconds = ptr.To[int64](60) }, time.Minute},
		"by the overlap": {func(s *v1alpha1.TokenRecordStatus, now time.Time) {
			s.ExpiresAt = v1alpha1.NewTimestamp(now.Add(10 * time.Minute))
		}, 10 * time.Minute},
		"by being taken back": {func(s *v1alpha1.TokenRecordStatus, now time.Time) { s.RevokedAt = v1alpha1.NewTimestamp(now) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := gomega.NewWithT(t)
			w := newWorld(t)
			issued := w.clock.Now()
			r := w.record(1, nil, func(s *v1alpha1.TokenRecordStatus) {
				if test.status != nil {
					test.status(s, issued)
				}
			})
			due := issued.Add(test.ends).Add(retention)

			g.Expect(w.reconcileAt(r, issued)).To(gomega.Equal(due.Sub(issued)))
			g.Expect(w.reconcileAt(r, due.Add(-time.Second))).To(gomega.Equal(time.Second))
			g.Expect(w.reconcileAt(r, due.Add(-1))).To(gomega.Equal(time.Duration(1)))
			g.Expect(w.exists(r)).To(gomega.BeTrue())
			g.Expect(w.reconcileAt(r, due)).To(gomega.BeZero())
			g.Expect(w.exists(r)).To(gomega.BeFalse())
			g.Expect(w.reconcileAt(r, due)).To(gomega.BeZero(), "a record that is gone")
		})
	}
}

func TestRecordsThatAreKept(t *testing.T) {
	for name, spec := range map[string]func(*v1alpha1.TokenRecord){
		"one that does not end":          func(r *v1alpha1.TokenRecord) { r.Spec.MaxAgeSeconds, r.Spec.NotAfter = nil, "" },
		"one whose end cannot be read":   func(r *v1alpha1.TokenRecord) { r.Spec.NotAfter = "when it is over" },
		"one whose issue cannot be read": func(r *v1alpha1.TokenRecord) { r.Spec.IssuedAt = "once" },
	} {
		t.Run(name, func(t *testing.T) {
			g := gomega.NewWithT(t)
			w := newWorld(t)
			r := w.record(1, spec, nil)
			g.Expect(w.reconcileAt(r, w.clock.Now().AddDate(50, 0, 0))).To(gomega.BeZero())
			g.Expect(w.exists(r)).To(gomega.BeTrue())
		})
	}
	t.Run("one that does not say which AccessToken it is of, until it ended long ago", func(t *testing.T) {
		g := gomega.NewWithT(t)
		w := newWorld(t)
		issued := w.clock.Now()
		r := w.record(1, func(r *v1alpha1.TokenRecord) { r.Spec.AccessTokenName, r.Spec.AccessTokenUID = "", "" }, nil)
		g.Expect(w.reconcileAt(r, issued.Add(time.Hour))).To(gomega.Equal(retention))
		g.Expect(w.exists(r)).To(gomega.BeTrue())
		w.reconcileAt(r, issued.Add(time.Hour).Add(retention))
		g.Expect(w.exists(r)).To(gomega.BeFalse())
	})
}

func TestARecordThatReachedNoSecretIsDeletedSoon(t *testing.T) {
	unpublished := func(now time.Time) func(*v1alpha1.TokenRecordStatus) {
		return func(s *v1alpha1.TokenRecordStatus) {
			s.RevokedAt, s.Reason = v1alpha1.NewTimestamp(now), v1alpha1.EndReasonUnpublished
		}
	}
	t.Run("ten minutes after its end", func(t *testing.T) {
		g := gomega.NewWithT(t)
		w := newWorld(t)
		issued := w.clock.Now()
		r := w.record(1, nil, unpublished(issued))
		g.Expect(w.reconcileAt(r, issued)).To(gomega.Equal(settled))
		g.Expect(w.reconcileAt(r, issued.Add(settled-1))).To(gomega.Equal(time.Duration(1)))
		g.Expect(w.exists(r)).To(gomega.BeTrue())
		g.Expect(w.reconcileAt(r, issued.Add(settled))).To(gomega.BeZero())
		g.Expect(w.exists(r)).To(gomega.BeFalse())
	})
	t.Run("not before the status knows of its revision, which would be given once more", func(t *testing.T) {
		g := gomega.NewWithT(t)
		w := newWorld(t)
		issued := w.clock.Now()
		r := w.record(5, nil, unpublished(issued))
		w.report(v1alpha1.AccessTokenStatus{Revision: 4})
		g.Expect(w.reconcileAt(r, issued.AddDate(1, 0, 0))).To(gomega.Equal(10 * time.Second))
		g.Expect(w.exists(r)).To(gomega.BeTrue())
		w.report(v1alpha1.AccessTokenStatus{Revision: 5})
		w.reconcileAt(r, issued.AddDate(1, 0, 0))
		g.Expect(w.exists(r)).To(gomega.BeFalse())
	})
}

func TestAHundredEndedRecordsOfAnAccessTokenAreKept(t *testing.T) {
	g := gomega.NewWithT(t)
	w := newWorld(t)
	issued := w.clock.Now()
	const ended, most = 103, 100
	var records []*v1alpha1.TokenRecord
	for revision := range int64(ended) {
		records = append(records, w.record(revision+1, nil, func(s *v1alpha1.TokenRecordStatus) {
			s.ExpiresAt, s.Reason = v1alpha1.NewTimestamp(issued), v1alpha1.EndReasonSuperseded
		}))
	}
	live := w.record(ended+1, nil, nil)
	left := func() (names []string) {
		list := &v1alpha1.TokenRecordList{}
		g.Expect(w.admin.List(t.Context(), list, client.InNamespace(w.token.Namespace))).To(gomega.Succeed())
		for _, r := range list.Items {
			names = append(names, r.Name)
		}
		return names
	}

	w.reconcileAt(live, issued.Add(settled-1))
	g.Expect(left()).To(gomega.HaveLen(ended+1), "a writer may still count on what it saw live")
	w.reconcileAt(live, issued.Add(settled))
	names := left()
	g.Expect(names).To(gomega.HaveLen(most + 1))
	g.Expect(names).To(gomega.ContainElements(live.Name, records[ended-most].Name))
	for _, excess := range records[:ended-most] {
		g.Expect(names).NotTo(gomega.ContainElement(excess.Name), "the earliest go")
	}
}

// TestARecordStaysUntilItsEndIsNoted has an operator come back after a long
// absence: both this record and the status of its AccessToken are due.
func TestARecordStaysUntilItsEndIsNoted(t *testing.T) {
	g := gomega.NewWithT(t)
	w := newWorld(t)
	issued := w.clock.Now()
	current, before := w.record(2, nil, nil), w.record(1, nil, nil)
	w.report(v1alpha1.AccessTokenStatus{TokenID: current.Name, Revision: 2})
	late := issued.AddDate(1, 0, 0)

	g.Expect(w.reconcileAt(current, late)).To(gomega.Equal(10 * time.Second))
	g.Expect(w.exists(current)).To(gomega.BeTrue())
	g.Expect(w.reconcileAt(before, late)).To(gomega.BeZero())
	g.Expect(w.exists(before)).To(gomega.BeFalse(), "nothing builds on an earlier one")

	w.report(v1alpha1.AccessTokenStatus{TokenID: current.Name, Revision: 2, EndedAt: v1alpha1.NewTimestamp(issued.Add(time.Hour))})
	g.Expect(w.reconcileAt(current, late)).To(gomega.BeZero())
	g.Expect(w.exists(current)).To(gomega.BeFalse())
}

func TestOrphansAreSwept(t *testing.T) {
	g := gomega.NewWithT(t)
	w := newWorld(t)
	r := w.record(1, nil, nil)
	w.deleteToken(r)
	made := r.CreationTimestamp.Time
	g.Expect(w.reconcileAt(r, made)).To(gomega.Equal(grace), "garbage collection has the first go")
	g.Expect(w.reconcileAt(r, made.Add(grace-time.Second))).To(gomega.Equal(time.Second))
	g.Expect(w.exists(r)).To(gomega.BeTrue())
	g.Expect(w.reconcileAt(r, made.Add(grace))).To(gomega.BeZero())
	g.Expect(w.exists(r)).To(gomega.BeFalse())
}

func TestARecordCutLooseIsKeptWhileItsAccessTokenLives(t *testing.T) {
	g := gomega.NewWithT(t)
	w := newWorld(t)
	issued := w.clock.Now()
	r := w.record(1, func(r *v1alpha1.TokenRecord) { r.OwnerReferences = nil }, nil)
	g.Expect(w.reconcileAt(r, issued.Add(30*time.Minute))).To(gomega.Equal(30*time.Minute + retention))
	g.Expect(w.exists(r)).To(gomega.BeTrue())
}

func TestRecordsOfAnEarlierAccessTokenOfThatNameAreSwept(t *testing.T) {
	g := gomega.NewWithT(t)
	w := newWorld(t)
	earlier := w.record(1, nil, nil)
	w.deleteToken(earlier)
	w.token = w.declare(w.token.Namespace)
	later := w.record(1, nil, nil)
	made := later.CreationTimestamp.Add(grace)

	w.clock.SetTime(made)
	w.reconcileAt(earlier, made)
	g.Expect(w.exists(earlier)).To(gomega.BeFalse())
	w.reconcileAt(later, made)
	g.Expect(w.exists(later)).To(gomega.BeTrue())
}

// laggingCache answers reads of one object as it was.
type laggingCache struct {
	client.Client
	records map[client.ObjectKey]*v1alpha1.TokenRecord
	// noTokens has it not know of any AccessToken yet.
	noTokens bool
}

func (c laggingCache) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	switch o := object.(type) {
	case *v1alpha1.TokenRecord:
		if old, ok := c.records[key]; ok {
			old.DeepCopyInto(o)
			return nil
		}
	case *v1alpha1.AccessToken:
		if c.noTokens {
			return apierrors.NewNotFound(schema.GroupResource{Resource: "accesstokens"}, key.Name)
		}
	}
	return c.Client.Get(ctx, key, object, options...)
}

func TestACacheThatLagsDeletesNothing(t *testing.T) {
	t.Run("an AccessToken that it does not know yet", func(t *testing.T) {
		g := gomega.NewWithT(t)
		w := newWorld(t)
		issued := w.clock.Now()
		r := w.record(1, nil, nil)
		w.reconciler.Client = laggingCache{Client: w.reconciler.Client, noTokens: true}
		now := r.CreationTimestamp.Add(grace)
		g.Expect(w.reconcileAt(r, now)).To(gomega.Equal(issued.Add(time.Hour).Add(retention).Sub(now)), "it is looked at again when it is due")
		g.Expect(w.exists(r)).To(gomega.BeTrue())
	})
	t.Run("a record that was made again since", func(t *testing.T) {
		g := gomega.NewWithT(t)
		w := newWorld(t)
		old := w.record(1, nil, nil)
		g.Expect(w.admin.Delete(t.Context(), old.DeepCopy())).To(gomega.Succeed())
		again := w.record(1, nil, nil)
		w.reconciler.Client = laggingCache{Client: w.reconciler.Client, records: map[client.ObjectKey]*v1alpha1.TokenRecord{client.ObjectKeyFromObject(old): old}}
		g.Expect(w.reconcileAt(old, w.clock.Now().AddDate(1, 0, 0))).To(gomega.BeZero())
		g.Expect(w.exists(again)).To(gomega.BeTrue())
	})
	t.Run("a record that is gone since", func(t *testing.T) {
		g := gomega.NewWithT(t)
		w := newWorld(t)
		old := w.record(1, nil, nil)
		g.Expect(w.admin.Delete(t.Context(), old.DeepCopy())).To(gomega.Succeed())
		w.reconciler.Client = laggingCache{Client: w.reconciler.Client, records: map[client.ObjectKey]*v1alpha1.TokenRecord{client.ObjectKeyFromObject(old): old}}
		g.Expect(w.reconcileAt(old, w.clock.Now().AddDate(1, 0, 0))).To(gomega.BeZero())
	})
}

func TestARecordStaysByWhichItIsKnownThatAPersonHasToAsk(t *testing.T) {
	g := gomega.NewWithT(t)
	w := newWorld(t)
	r := w.record(1, nil, func(status *v1alpha1.TokenRecordStatus) {
		status.RevokedAt, status.Reason = v1alpha1.NewTimestamp(w.clock.Now()), v1alpha1.EndReasonCutOff
	})
	w.report(v1alpha1.AccessTokenStatus{Revision: 1, TokenID: r.Name, EndedAt: r.Status.RevokedAt})
	later := w.clock.Now().AddDate(1, 0, 0)
	g.Expect(w.reconcileAt(r, later)).To(gomega.Equal(time.Hour))
	g.Expect(w.exists(r)).To(gomega.BeTrue())
	w.report(v1alpha1.AccessTokenStatus{Revision: 2, TokenID: "another"})
	w.reconcileAt(r, later)
	g.Expect(w.exists(r)).To(gomega.BeFalse(), "there is a later token")
}

// busyServer has somebody change the record right after it was read.
type busyServer struct {
	client.Reader
	change func(context.Context, *v1alpha1.TokenRecord) error
}

func (b busyServer) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if err := b.Reader.Get(ctx, key, object, options...); err != nil {
		return err
	}
	if r, ok := object.(*v1alpha1.TokenRecord); ok {
		return b.change(ctx, r.DeepCopy())
	}
	return nil
}

func TestOnlyWhatWasReadIsDeleted(t *testing.T) {
	g := gomega.NewWithT(t)
	w := newWorld(t)
	r := w.record(1, nil, nil)
	w.reconciler.Live = busyServer{Reader: w.reconciler.Live, change: func(ctx context.Context, r *v1alpha1.TokenRecord) error {
		r.Annotations = map[string]string{"note": "changed meanwhile"}
		return w.admin.Update(ctx, r)
	}}
	g.Expect(w.reconcileAt(r, w.clock.Now().AddDate(1, 0, 0))).To(gomega.BeZero(), "the watch brings the change")
	g.Expect(w.exists(r)).To(gomega.BeTrue())
}
