package store

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

func someToken(t testing.TB, name string) *verify.Token {
	t.Helper()
	rec, _ := mint.Record(t, "shop", name, issued)
	opened, err := mint.Default().Opener().Open(rec)
	if err != nil {
		t.Fatal(err)
	}
	made, err := verify.NewToken(rec, opened, verify.NewOwner(rec.Spec.AccessTokenUID, name, verify.NewNamespace("shop")), nil)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func someTokens(t testing.TB, count int) []*verify.Token {
	t.Helper()
	tokens := make([]*verify.Token, count)
	for i := range tokens {
		tokens[i] = someToken(t, fmt.Sprintf("token-%d", i))
	}
	return tokens
}

func expectTable(t *testing.T, table *table, want map[token.ID]*verify.Token) {
	t.Helper()
	count := 0
	for each := range table.all() {
		count++
		if want[each.Key()] != each {
			t.Errorf("%s is in it", each.ID())
		}
	}
	if count != len(want) || table.live != len(want) {
		t.Errorf("%d tokens, live %d, want %d", count, table.live, len(want))
	}
	for id, each := range want {
		if table.get(id) != each {
			t.Errorf("%s is not found", id)
		}
	}
	slots := len(table.current.Load().at)
	if slots&(slots-1) != 0 || table.used*4 > slots*3 || table.used < table.live {
		t.Errorf("%d slots, %d used, %d live", slots, table.used, table.live)
	}
}

func TestATableGrowsAndFindsAll(t *testing.T) {
	for _, expected := range []int{0, 1, 64, 5000} {
		table, want := newTable(expected), map[token.ID]*verify.Token{}
		for _, each := range someTokens(t, 1000) {
			table.put(each)
			want[each.Key()] = each
		}
		expectTable(t, table, want)
		if table.get(token.ID{}) != nil || table.get(someToken(t, "another").Key()) != nil {
			t.Error("what is not in it is found")
		}
	}
}

func TestATableOfTheRightSizeDoesNotGrow(t *testing.T) {
	tokens := someTokens(t, 1000)
	table := newTable(len(tokens))
	before := table.current.Load()
	for _, each := range tokens {
		table.put(each)
	}
	if table.current.Load() != before {
		t.Error("it grew")
	}
}

func TestATokenTakesThePlaceOfTheOneWithItsID(t *testing.T) {
	first, second := someToken(t, "one"), someToken(t, "one")
	table := newTable(0)
	table.put(first)
	table.put(second)
	expectTable(t, table, map[token.ID]*verify.Token{second.Key(): second})
}

func TestWhatLeftATableIsNotFoundAndItsPlacesAreUsedAgain(t *testing.T) {
	tokens := someTokens(t, 100)
	table := newTable(0)
	for range 200 { // many times as many as there are slots
		for _, each := range tokens {
			table.put(each)
		}
		for _, each := range tokens[10:] {
			table.remove(each.Key())
			table.remove(each.Key())
		}
	}
	want := map[token.ID]*verify.Token{}
	for _, each := range tokens[:10] {
		want[each.Key()] = each
	}
	expectTable(t, table, want)
	if slots := len(table.current.Load().at); slots > 1024 {
		t.Errorf("%d slots for %d tokens", slots, len(want))
	}
	if table.get(token.ID{}) != nil {
		t.Error("the mark of those that left is found")
	}
}

func TestTokensMayBeRemovedWhileAllAreWalked(t *testing.T) {
	table := newTable(0)
	for _, each := range someTokens(t, 500) {
		table.put(each)
	}
	for each := range table.all() {
		table.remove(each.Key())
	}
	expectTable(t, table, nil)
}

// TestReadersBesideAWriterFindWhatStays is worth most with the race detector.
func TestReadersBesideAWriterFindWhatStays(t *testing.T) {
	tokens := someTokens(t, 600)
	stay, come := tokens[:100], tokens[100:]
	table := newTable(0)
	for _, each := range stay {
		table.put(each)
	}
	var done atomic.Bool
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for !done.Load() {
				for i, each := range stay {
					if table.get(each.Key()) != each {
						t.Errorf("%s is not found", each.ID())
						return
					}
					if found := table.get(come[i].Key()); found != nil && found != come[i] {
						t.Errorf("%s is found as %s", come[i].ID(), found.ID())
						return
					}
				}
			}
		})
	}
	for range 20 {
		for _, each := range come {
			table.put(each)
		}
		for _, each := range come {
			table.remove(each.Key())
		}
	}
	done.Store(true)
	readers.Wait()
}
