package verify_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

func TestATokenTellsWhatItsRecordSays(t *testing.T) {
	p := present(t, func(rec *v1alpha1.TokenRecord) {
		rec.ResourceVersion = "18446744073709551615"
		rec.Spec.Scopes, rec.Spec.Audiences = []string{"b", "a"}, []string{"billing-api"}
		rec.Spec.AllowedCIDRs = []v1alpha1.CIDR{"10.0.0.0/8"}
		rec.Spec.ExtendWhenUsed, rec.Spec.MaxAgeSeconds, rec.Spec.NotAfter = true, ptr.To(int64(3600)), "2026-12-24T09:00:00Z"
		rec.Status.LastUsedAt = "2026-11-24T09:30:00.75Z"
	})
	uid := string(mint.UID("shop", "deploy"))
	used, ok := p.token.LastUsedAt()
	idle, sliding := p.token.Lifetime().Sliding()
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"ID", p.token.ID(), token.DeclaredID(uid, 1)},
		{"key", p.token.Key().String(), token.DeclaredID(uid, 1)},
		{"key ID", p.token.KeyID(), mint.KeyID},
		{"namespace", p.token.Namespace(), "shop"},
		{"name", p.token.Name(), "deploy"},
		{"owner", p.token.Owner(), p.owner},
		{"UID of the owner", p.token.Owner().UID(), uid},
		{"subject", p.token.Subject(), "accesstoken:shop:deploy"},
		{"UID of the subject", p.token.SubjectUID(), uid},
		{"groups", fmt.Sprint(p.token.Groups().Items()), "[accesstokens accesstokens:shop]"},
		{"scopes", fmt.Sprint(p.token.Scopes().Items()), "[b a]"},
		{"audiences", fmt.Sprint(p.token.Audiences().Items()), "[billing-api]"},
		{"limited to networks", p.token.Networked(), true},
		{"issue", p.token.IssuedAt(), issued},
		{"resource version", p.token.ResourceVersion(), "18446744073709551615"},
		{"last use, in whole seconds", used, issued.Add(30 * time.Minute)},
		{"used", ok, true},
		{"idle time", idle, time.Hour},
		{"sliding", sliding, true},
		{"sealed with the key", p.token.SealedWith(mint.Key), true},
		{"sealed with another", p.token.SealedWith(record.Key{1}), false},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
	plain := present(t).token
	if _, ok := plain.LastUsedAt(); ok || plain.Networked() || !plain.Scopes().Absent() || !plain.Audiences().Absent() {
		t.Error("a plain token has what its record has not")
	}
	if !plain.Older(p.token) || p.token.Older(plain) || plain.Older(plain) {
		t.Error("the order of two states")
	}
}

func TestNoTokenIsMadeOfWhatCannotBeRead(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*v1alpha1.TokenRecord)
		want string
	}{
		"a name that is no ID":          {func(rec *v1alpha1.TokenRecord) { rec.Name = "deploy" }, "metadata.name: "},
		"no resource version":           {func(rec *v1alpha1.TokenRecord) { rec.ResourceVersion = "" }, "metadata.resourceVersion: "},
		"a resource version of letters": {func(rec *v1alpha1.TokenRecord) { rec.ResourceVersion = "abc" }, "metadata.resourceVersion: "},
		"no issue":                      {func(rec *v1alpha1.TokenRecord) { rec.Spec.IssuedAt = "" }, "spec.issuedAt: "},
		"an age of nothing":             {func(rec *v1alpha1.TokenRecord) { rec.Spec.MaxAgeSeconds = new(int64) }, "spec.maxAgeSeconds: "},
		"an unreadable end":             {func(rec *v1alpha1.TokenRecord) { rec.Spec.NotAfter = "soon" }, "spec.notAfter: "},
		"an unreadable revocation":      {func(rec *v1alpha1.TokenRecord) { rec.Status.RevokedAt = "yesterday" }, "status.revokedAt: "},
		"an unreadable early end":       {func(rec *v1alpha1.TokenRecord) { rec.Status.ExpiresAt = "soon" }, "status.expiresAt: "},
		"an unreadable cap":             {func(rec *v1alpha1.TokenRecord) { rec.Status.MaxAgeSeconds = new(int64) }, "status.maxAgeSeconds: "},
		"an unreadable use":             {func(rec *v1alpha1.TokenRecord) { rec.Status.LastUsedAt = "often" }, "status.lastUsedAt: "},
		"an empty group":                {func(rec *v1alpha1.TokenRecord) { rec.Spec.Subject.Groups = []string{"a", ""} }, "spec.subject.groups: "},
		"an empty scope":                {func(rec *v1alpha1.TokenRecord) { rec.Spec.Scopes = []string{""} }, "spec.scopes: "},
		"an audience with a NUL":        {func(rec *v1alpha1.TokenRecord) { rec.Spec.Audiences = []string{"a\x00b"} }, "spec.audiences: "},
		"a network with host bits":      {func(rec *v1alpha1.TokenRecord) { rec.Spec.AllowedCIDRs = []v1alpha1.CIDR{"10.0.0.0/8", "10.0.0.1/8"} }, "spec.allowedCIDRs[1]: "},
		"a network that is none":        {func(rec *v1alpha1.TokenRecord) { rec.Spec.AllowedCIDRs = []v1alpha1.CIDR{"all"} }, "spec.allowedCIDRs[0]: "},
	} {
		t.Run(name, func(t *testing.T) {
			rec, _ := mint.Record(t, "shop", "deploy", issued)
			opened, err := mint.Default().Opener().Open(rec)
			if err != nil {
				t.Fatal(err)
			}
			c.edit(rec)
			made, err := verify.NewToken(rec, opened, verify.NewOwner("uid", "deploy", verify.NewNamespace("shop")), nil)
			if err == nil || !strings.Contains(err.Error(), c.want) || made != nil {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestAListKeepsItsItems(t *testing.T) {
	for _, items := range [][]string{{"a"}, {"a", "b"}, {"b", "a", "a"}, {" ", ",", "\n"}, {"\xff", "ü"}} {
		list, ok := verify.NewList(items)
		if !ok || list.Absent() || !slices.Equal(list.Items(), items) || !slices.Equal(slices.Collect(list.All()), items) {
			t.Errorf("%q: %q, %q", items, list.Items(), slices.Collect(list.All()))
		}
		for _, item := range items {
			if !list.Contains(item) {
				t.Errorf("%q lacks %q", items, item)
			}
		}
		if list.Contains("") || list.Contains("c") || list.Contains(items[0]+"\x00") {
			t.Errorf("%q has what it has not", items)
		}
		for item := range list.All() { // may be left early
			if item != items[0] {
				t.Errorf("%q begins with %q", items, item)
			}
			break
		}
	}
	for _, none := range [][]string{nil, {}} {
		list, ok := verify.NewList(none)
		if !ok || !list.Absent() || list.Items() != nil || list.Contains("") || slices.Collect(list.All()) != nil {
			t.Errorf("%q is there", none)
		}
	}
	for _, wrong := range [][]string{{""}, {"a", ""}, {"", "a"}, {"a\x00b"}, {"\x00"}} {
		if list, ok := verify.NewList(wrong); ok || !list.Absent() {
			t.Errorf("%q was taken", wrong)
		}
	}
}

func TestEqualListsAreKeptOnce(t *testing.T) {
	one, _ := verify.NewList([]string{"a", "b"})
	same, _ := verify.NewList([]v1alpha1.CIDR{"a", "b"})
	other, _ := verify.NewList([]string{"ab"})
	if one != same || one == other {
		t.Error("lists compare by something else than their items")
	}
}

func TestAUseIsNotedOncePerSecond(t *testing.T) {
	p := present(t)
	at := issued.Add(time.Hour)
	for _, c := range []struct {
		at    time.Time
		noted bool
	}{
		{at, true},
		{at, false},
		{at.Add(time.Second - 1), false},
		{at.Add(time.Second), true},
		{at, true}, // the clock was set back
		{at.Add(2 * time.Second), true},
	} {
		if noted := p.token.Note(c.at); noted != c.noted {
			t.Errorf("%s: noted %v, want %v", c.at, noted, c.noted)
		}
	}
	successor := present(t).token
	successor.Succeed(p.token)
	if successor.Note(at.Add(2*time.Second)) || !successor.Note(at.Add(3*time.Second)) {
		t.Error("a later state of the record forgot when a use was noted")
	}
}

func TestOfManyUsesAtOnceOneIsNoted(t *testing.T) {
	p := present(t)
	var noted atomic.Int32
	var group sync.WaitGroup
	for range 32 {
		group.Go(func() {
			for range 100 {
				if p.token.Note(issued.Add(time.Hour)) {
					noted.Add(1)
				}
			}
		})
	}
	group.Wait()
	if noted.Load() != 1 {
		t.Errorf("noted %d times", noted.Load())
	}
}

func TestAFunctionCanBeAVerifier(t *testing.T) {
	failure := errors.New("no")
	p := present(t)
	var verifier verify.Verifier = verify.Func(p.decider.Verify)
	if verdict, err := verifier.Verify(t.Context(), p.request); err != nil || !verdict.Active() {
		t.Errorf("%v, %v", verdict.Reason, err)
	}
	p.decider.Fresh = func(time.Time) error { return failure }
	if _, err := verifier.Verify(t.Context(), p.request); !errors.Is(err, failure) {
		t.Error(err)
	}
}

func TestClosedSetsHaveNoValueTwice(t *testing.T) {
	for _, all := range [][]string{texts(verify.Reasons()), texts(verify.Protocols())} {
		if slices.Sort(all); len(slices.Compact(slices.Clone(all))) != len(all) || slices.Contains(all, "") {
			t.Errorf("%q", all)
		}
	}
}

func texts[T ~string](values []T) (all []string) {
	for _, value := range values {
		all = append(all, string(value))
	}
	return all
}

func TestTheCreationTimeIsTheAPIServers(t *testing.T) {
	// Issued at nine by the manager's clock, created two minutes later by the API
	// server's: ten seconds without news count from there.
	p := present(t, func(rec *v1alpha1.TokenRecord) { rec.CreationTimestamp = metav1.NewTime(issued.Add(2 * time.Minute)) })
	p.owner.SetState(verify.StateUnseen)
	p.at(issued.Add(2*time.Minute + 10*time.Second - 1)).expect("")
	p.at(issued.Add(2*time.Minute + 10*time.Second)).expect(verify.ReasonOwnerUnseen)
}
