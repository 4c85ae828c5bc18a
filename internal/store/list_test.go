package store

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// interrupted are keys that have something happen when one of them was looked
// for as often as that: while a record is being opened.
type interrupted struct {
	record.KeySet
	id    string
	left  atomic.Int32
	first func()
}

func (i *interrupted) Key(id string) (record.Key, bool) {
	key, ok := i.KeySet[id]
	if id == i.id && i.left.Add(-1) == 0 {
		i.first()
	}
	return key, ok
}

// version is a record at a later resource version, and revoked if it is to be.
func version(rec *v1alpha1.TokenRecord, resourceVersion string, revoked bool) *v1alpha1.TokenRecord {
	rec = rec.DeepCopy()
	rec.ResourceVersion = resourceVersion
	if revoked {
		rec.Status.RevokedAt = v1alpha1.NewTimestamp(issued)
	}
	return rec
}

func TestWhatHappensWhileAListIsOpenedCountsAtOnceAndAfterIt(t *testing.T) {
	keys := &interrupted{KeySet: record.KeySet{mint.KeyID: mint.Key, otherMint().KeyID: otherMint().Key}, id: otherMint().KeyID}
	told := 0
	s := New(Options{
		Opener: record.Opener{Keys: keys, ClusterID: mint.ClusterID}, Clock: clocktesting.NewFakePassiveClock(issued),
		Ended: func(time.Time) { told++ },
	})
	named := func(name string) *v1alpha1.TokenRecord {
		return version(recordOf(t, mint.Default(), name), "10", false)
	}
	revoked, deleted, orphaned, listed, comes := named("revoked"), named("deleted"), named("orphaned"), named("listed"), named("comes")
	slow := version(recordOf(t, otherMint(), "slow"), "10", false)
	list := []*v1alpha1.TokenRecord{revoked, deleted, orphaned, listed, slow}
	for i := range 3 * batch {
		list = append(list, named(fmt.Sprintf("other-%d", i)))
	}
	s.ReplaceRecords(list)
	s.PutOwner(metadataOf("shop", "orphaned", mint.UID("shop", "orphaned"), issued))

	check := func(when string, listedToo bool) {
		for _, c := range []struct {
			rec         *v1alpha1.TokenRecord
			found, ends bool
		}{{revoked, true, true}, {deleted, false, false}, {listed, true, listedToo}, {comes, true, false}, {slow, true, false}} {
			found := s.Lookup(idOf(t, c.rec))
			if (found != nil) != c.found {
				t.Errorf("%s, %s is found: %v", when, c.rec.Spec.AccessTokenName, found != nil)
				continue
			}
			if found == nil {
				continue
			}
			if _, ends := found.RevokedAt(); ends != c.ends {
				t.Errorf("%s, %s is revoked: %v", when, c.rec.Spec.AccessTokenName, ends)
			}
		}
		if s.Lookup(idOf(t, orphaned)).Owner().State() != verify.StateGone {
			t.Errorf("%s, the AccessToken of one is not gone", when)
		}
	}
	happens := func() {
		s.PutRecord(version(revoked, "11", true))
		s.DeleteRecord(version(deleted, "11", false))
		s.DeleteOwner(metadataOf("shop", "orphaned", mint.UID("shop", "orphaned"), issued))
		s.PutRecord(version(comes, "11", false))
		s.PutRecord(version(listed, "11", false)) // the list has a later state of it
		check("while the list is opened", false)
	}
	keys.first = func() {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		go func() {
			happens()
			cancel()
		}()
		if <-ctx.Done(); ctx.Err() != context.Canceled {
			t.Error("what happens waits until the list is opened")
		}
	}
	list[3] = version(listed, "12", true)
	keys.left.Store(2)
	s.ReplaceRecords(list)
	check("after the list", true)
	if want := len(list); s.Len() != want || told != 2 {
		t.Errorf("%d tokens are found, want %d; told of %d ends, want 2", s.Len(), want, told)
	}
	s.DeleteRecord(comes)
	s.ReplaceRecords(nil)
	if s.Len() != 0 || s.list != nil {
		t.Errorf("%d tokens are found after an empty list", s.Len())
	}
}

func TestKeysThatChangeWhileAListIsOpenedHoldForIt(t *testing.T) {
	for name, before := range map[string]bool{"one comes": false, "one goes": true} {
		t.Run(name, func(t *testing.T) {
			rec, relists := recordOf(t, mint.Default(), "deploy"), 0
			keys := &interrupted{KeySet: record.KeySet{}, id: mint.KeyID}
			s := New(Options{
				Opener: record.Opener{Keys: keys, ClusterID: mint.ClusterID}, Clock: clocktesting.NewFakePassiveClock(issued),
				Relist: func() { relists++ },
			})
			if before {
				keys.KeySet[mint.KeyID] = mint.Key
			}
			keys.first = func() {
				if delete(keys.KeySet, mint.KeyID); !before {
					keys.KeySet[mint.KeyID] = mint.Key
				}
				s.KeysChanged()
			}
			keys.left.Store(2) // once looked for, and once opened with
			s.ReplaceRecords([]*v1alpha1.TokenRecord{rec})
			if found := s.Lookup(idOf(t, rec)) != nil; found == before || !s.Complete() {
				t.Errorf("it is found: %v, complete: %v", found, s.Complete())
			}
			if (relists > 0) != before {
				t.Errorf("read anew %d times", relists)
			}
		})
	}
}

// BenchmarkReplaceRecords is what a list of many records costs.
func BenchmarkReplaceRecords(b *testing.B) {
	s := New(Options{Opener: mint.Default().Opener(), Clock: clock.RealClock{}})
	records := make([]*v1alpha1.TokenRecord, manyTokens)
	for i := range records {
		putTypical(b, s, i)
		records[i] = typical(b, i)
	}
	for b.Loop() {
		s.ReplaceRecords(records)
	}
	if s.Len() != manyTokens {
		b.Fatalf("%d tokens", s.Len())
	}
}
