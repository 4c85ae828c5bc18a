package quota

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/policy"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

const hold = time.Minute

// waiting is a claim of one that wants its first token, and was created at that
// minute.
func waiting(uid string, minute int) Claim {
	return Claim{UID: uid, Name: uid, CreatedAt: noon.Add(time.Duration(minute-60) * time.Minute), Wants: true}
}

func with(claim Claim, change func(*Claim)) Claim {
	change(&claim)
	return claim
}

func live(c *Claim)     { c.Live, c.IssuedAt = true, noon.Add(-time.Hour) }
func gone(c *Claim)     { c.Gone, c.Wants, c.IssuedAt = true, false, noon.Add(-time.Hour) }
func finished(c *Claim) { c.Finished, c.Wants, c.IssuedAt = true, false, noon.Add(-time.Hour) }
func suspended(c *Claim) {
	c.Wants, c.IssuedAt = false, noon.Add(-time.Hour)
}

func acting(subject string) func(*Claim) { return func(c *Claim) { c.Subject = subject } }

// ledgerOf is one in which each got its place at a moment long ago.
func ledgerOf(uids ...string) v1alpha1.AccessTokenQuotaStatus {
	var ledger v1alpha1.AccessTokenQuotaStatus
	for _, uid := range uids {
		ledger.Holders = append(ledger.Holders, v1alpha1.PlaceHolder{UID: uid, Name: uid, GrantedAt: v1alpha1.NewTimestamp(noon.Add(-2 * time.Hour))})
	}
	return ledger
}

func TestSettle(t *testing.T) {
	lately := ledgerOf("a")
	lately.Holders[0].GrantedAt = v1alpha1.NewTimestamp(noon.Add(-20 * time.Second))
	heldBack := v1alpha1.AccessTokenQuotaStatus{GrantsFrom: v1alpha1.NewTimestamp(noon.Add(30 * time.Second))}
	for name, test := range map[string]struct {
		ledger v1alpha1.AccessTokenQuotaStatus
		claims []Claim
		limits policy.Quota
		want   string
		change Change
	}{
		"whoever came first is served first": {ledgerOf(), []Claim{waiting("c", 3), waiting("a", 2), waiting("b", 1)}, policy.Quota{Tokens: 2}, "b a", Change{Granted: 2, Waiting: 1}},
		"a tie is settled by the UID":        {ledgerOf(), []Claim{waiting("b", 1), waiting("c", 1), waiting("a", 1)}, policy.Quota{Tokens: 1}, "a", Change{Granted: 1, Waiting: 2}},
		"no place at all":                    {ledgerOf(), []Claim{waiting("a", 1)}, policy.Quota{}, "", Change{Waiting: 1}},
		"one that is gone makes room":        {ledgerOf("a", "b"), []Claim{with(waiting("a", 1), gone), with(waiting("b", 2), live), waiting("c", 3)}, policy.Quota{Tokens: 2}, "b c", Change{Granted: 1, Freed: 1}},
		"one that is finished makes room":    {ledgerOf("a", "b"), []Claim{with(waiting("a", 1), finished), with(waiting("b", 2), live), waiting("c", 3)}, policy.Quota{Tokens: 2}, "b c", Change{Granted: 1, Freed: 1}},
		"one that is suspended keeps its place": {ledgerOf("a"), []Claim{with(waiting("a", 1), suspended), waiting("b", 2)}, policy.Quota{Tokens: 1},
			"a", Change{Waiting: 1}},
		"one that is finished and still verifies keeps its place": {ledgerOf("a"), []Claim{with(with(waiting("a", 1), finished), live), waiting("b", 2)}, policy.Quota{Tokens: 1},
			"a", Change{Waiting: 1}},
		"one that nothing is known of keeps its place": {ledgerOf("a"), []Claim{waiting("b", 2)}, policy.Quota{Tokens: 1}, "a", Change{Waiting: 1}},
		"a place that was granted lately and was not seen used stays taken": {lately, []Claim{with(waiting("a", 1), func(c *Claim) { c.Gone = true }), waiting("b", 2)}, policy.Quota{Tokens: 1},
			"a", Change{Waiting: 1, Look: noon.Add(40 * time.Second)}},
		"a place that was granted lately and was used comes free": {lately, []Claim{with(waiting("a", 1), func(c *Claim) { c.Gone, c.IssuedAt = true, noon.Add(-20*time.Second) }), waiting("b", 2)}, policy.Quota{Tokens: 1},
			"b", Change{Freed: 1, Granted: 1}},
		"a lower limit takes no place away":           {ledgerOf("a", "b", "c"), []Claim{with(waiting("a", 1), live), with(waiting("b", 2), live), with(waiting("c", 3), live), waiting("d", 4)}, policy.Quota{Tokens: 1}, "a b c", Change{Waiting: 1}},
		"over the limit, a free place is not granted": {ledgerOf("a", "b", "c"), []Claim{with(waiting("a", 1), gone), with(waiting("b", 2), live), with(waiting("c", 3), live), waiting("d", 4)}, policy.Quota{Tokens: 2}, "b c", Change{Freed: 1, Waiting: 1}},
		"a token that is there is taken in, over the limit too": {ledgerOf("a"), []Claim{with(waiting("a", 1), live), with(waiting("b", 2), live), waiting("c", 3)}, policy.Quota{Tokens: 1},
			"a b", Change{Taken: 1, Waiting: 1}},
		"nothing is granted until the time has come": {heldBack, []Claim{with(waiting("a", 1), live), waiting("b", 2)}, policy.Quota{Tokens: 9},
			"a", Change{Taken: 1, Waiting: 1, Look: noon.Add(30 * time.Second)}},
		"a subject that has all it may have stops nobody else": {ledgerOf(), []Claim{
			with(waiting("a", 1), acting("ServiceAccount/x")), with(waiting("b", 2), acting("ServiceAccount/x")), with(waiting("c", 3), acting("ServiceAccount/y")), waiting("d", 4),
		}, policy.Quota{Tokens: 9, TokensPerSubject: 1}, "a c d", Change{Granted: 3, Waiting: 1}},
		"the namespace is the limit of its own principals": {ledgerOf(), []Claim{waiting("a", 1), waiting("b", 2), waiting("c", 3)}, policy.Quota{Tokens: 9, TokensPerSubject: 1}, "a b c", Change{Granted: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			next, change := Settle(test.ledger, test.claims, Terms{Limits: test.limits, Now: noon, Times: Times{Hold: hold}})
			var holders []string
			for _, holder := range next.Holders {
				holders = append(holders, holder.UID)
			}
			if got := strings.Join(holders, " "); got != test.want {
				t.Errorf("holders %s; want %s", got, test.want)
			}
			if diff := cmp.Diff(test.change, change); diff != "" {
				t.Errorf("change: -want +got\n%s", diff)
			}
			if int(next.Used) != len(holders) || next.Hard != test.limits.Tokens || next.HardPerSubject != test.limits.TokensPerSubject {
				t.Errorf("%+v does not say what is used, and the limits %+v", next, test.limits)
			}
		})
	}
}

func TestSettleAgainChangesNothing(t *testing.T) {
	terms := Terms{Limits: policy.Quota{Tokens: 2, TokensPerSubject: 1}, Now: noon, Times: Times{Hold: hold}}
	claims := []Claim{waiting("a", 1), with(waiting("b", 2), live), waiting("c", 3)}
	first, _ := Settle(ledgerOf(), claims, terms)
	terms.Now = terms.Now.Add(24 * time.Hour)
	second, change := Settle(first, claims, terms)
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("-first +second\n%s", diff)
	}
	if want := (Change{Waiting: 1}); change != want {
		t.Errorf("change %+v; want %+v", change, want)
	}
}

func TestRebuild(t *testing.T) {
	terms := Terms{Now: noon.Add(900 * time.Millisecond), Times: Times{Hold: hold}}
	if got := Rebuild(false, terms); got.GrantsFrom != "" {
		t.Errorf("the first ledger grants from %s; want at once", got.GrantsFrom)
	}
	from, err := Rebuild(true, terms).GrantsFrom.Parse()
	if err != nil || from.Before(terms.Now.Add(hold)) {
		t.Errorf("a ledger that was lost grants from %s (%v); want a minute later", from, err)
	}
}

func TestDoubtful(t *testing.T) {
	claims := []Claim{with(waiting("a", 1), live), with(waiting("b", 2), gone), with(waiting("c", 3), finished), with(waiting("e", 5), live), waiting("f", 6), with(waiting("g", 7), gone)}
	want := []Ref{{UID: "b", Name: "b"}, {UID: "c", Name: "c"}, {UID: "d", Name: "d"}, {UID: "e", Name: "e"}}
	if diff := cmp.Diff(want, Doubtful(ledgerOf("a", "b", "c", "d"), claims)); diff != "" {
		t.Errorf("who is gone or finished, who is not known, and who has a token without a place: -want +got\n%s", diff)
	}
}

func TestRefusal(t *testing.T) {
	ledger := ledgerOf("a", "b", "c")
	ledger.Holders[0].Subject, ledger.Holders[1].Subject = "ServiceAccount/x", "ServiceAccount/x"
	for name, test := range map[string]struct {
		hard, perSubject int32
		subject, want    string
	}{
		"there is room":                   {4, 2, "", ""},
		"there is room for the subject":   {4, 3, "ServiceAccount/x", ""},
		"there is room for another":       {4, 2, "ServiceAccount/y", ""},
		"the namespace is full":           {3, 9, "", "namespace ci has 3 AccessTokens with a token and may have 3: "},
		"the limit was lowered":           {1, 9, "ServiceAccount/y", "namespace ci has 3 AccessTokens with a token and may have 1: "},
		"the subject has all it may":      {9, 2, "ServiceAccount/x", "ServiceAccount/x has 2 AccessTokens with a token in namespace ci and may have 2: "},
		"both are full, the wider counts": {3, 2, "ServiceAccount/x", "namespace ci has 3 "},
	} {
		t.Run(name, func(t *testing.T) {
			ledger.Hard, ledger.HardPerSubject = test.hard, test.perSubject
			got := Refusal(ledger, "ci", test.subject)
			if !strings.HasPrefix(got, test.want) || (test.want == "") != (got == "") {
				t.Errorf("%q; want %q", got, test.want)
			}
			where := "see kubectl get accesstokenquotas -n ci"
			if strings.HasPrefix(got, "ServiceAccount") {
				where = "see kubectl get accesstokenquotas -o wide -n ci" // which shows that limit
			}
			if got != "" && !strings.HasSuffix(got, where) {
				t.Errorf("%q does not say where to look", got)
			}
		})
	}
}

func TestRefusalOfASecond(t *testing.T) {
	ledger := ledgerOf("a")
	ledger.Holders[0].Subject = "ServiceAccount/x"
	ledger.Hard, ledger.HardPerSubject = 1, 1
	if got := Refusal(ledger, "ci", ""); !strings.HasPrefix(got, "namespace ci has 1 AccessToken with a token and may have 1: ") {
		t.Errorf("%q", got)
	}
	ledger.Hard = 9
	if got := Refusal(ledger, "ci", "ServiceAccount/x"); !strings.HasPrefix(got, "ServiceAccount/x has 1 AccessToken with a token in namespace ci and may have 1: ") {
		t.Errorf("%q", got)
	}
}

func TestSameRefusals(t *testing.T) {
	limits := func(hard, perSubject int32, ledger v1alpha1.AccessTokenQuotaStatus) v1alpha1.AccessTokenQuotaStatus {
		ledger.Hard, ledger.HardPerSubject = hard, perSubject
		return ledger
	}
	forX := ledgerOf("a")
	forX.Holders[0].Subject = "ServiceAccount/x"
	for name, test := range map[string]struct {
		before, after v1alpha1.AccessTokenQuotaStatus
		want          bool
	}{
		"nothing is full":                      {limits(9, 9, ledgerOf("a")), limits(9, 9, ledgerOf("a", "b")), true},
		"a place went from one to another":     {limits(2, 9, ledgerOf("a", "b")), limits(2, 9, ledgerOf("a", "c")), true},
		"it became full":                       {limits(2, 9, ledgerOf("a")), limits(2, 9, ledgerOf("a", "b")), false},
		"it became free":                       {limits(2, 9, ledgerOf("a", "b")), limits(2, 9, ledgerOf("a")), false},
		"the limit of a full one was lowered":  {limits(2, 9, ledgerOf("a", "b")), limits(1, 9, ledgerOf("a", "b")), false},
		"a subject has all it may have by now": {limits(9, 1, ledgerOf()), limits(9, 1, forX), false},
		"a subject may have more":              {limits(9, 1, forX), limits(9, 2, forX), false},
	} {
		if got := SameRefusals(test.before, test.after); got != test.want {
			t.Errorf("%s: %t; want %t", name, got, test.want)
		}
	}
}

func TestMoved(t *testing.T) {
	before, after := ledgerOf("a", "b", "c"), ledgerOf("a", "c", "d")
	after.Holders[1].GrantedAt = v1alpha1.NewTimestamp(noon)
	got := map[string]int{}
	for _, name := range Moved(before, after) {
		got[name]++
	}
	if diff := cmp.Diff(map[string]int{"b": 1, "c": 2, "d": 1}, got); diff != "" {
		t.Errorf("who lost, who got anew and who got: -want +got\n%s", diff)
	}
}
