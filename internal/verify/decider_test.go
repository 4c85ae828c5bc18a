package verify_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/ptr"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

func TestATokenWithNothingWrongIsActive(t *testing.T) {
	p := present(t)
	p.expect("")
	if verdict, _ := p.verify(); verdict.Token != p.token {
		t.Error("the verdict is about another token")
	}
}

// fault is something wrong with a token or with what is asked of it.
type fault struct {
	reason verify.Reason
	edit   func(*v1alpha1.TokenRecord)
	ask    func(*presented)
}

// actAsAccount makes a token one of a service account.
func actAsAccount(rec *v1alpha1.TokenRecord) {
	rec.Spec.Subject = v1alpha1.Subject{
		Kind: v1alpha1.SubjectKindServiceAccount, Name: "system:serviceaccount:shop:deployer", UID: "0d9e", Groups: []string{"system:serviceaccounts"},
	}
	rec.Spec.Creator = &v1alpha1.Creator{Username: "alice", Checked: v1alpha1.CreatorCheckAdmission}
}

// faults are in the order in which they are looked for.
var faults = []fault{
	{reason: verify.ReasonMalformed, ask: func(p *presented) { p.malformed = true }},
	{reason: verify.ReasonUnknown, ask: func(p *presented) { p.decider.Index = index{} }},
	{reason: verify.ReasonWrongSecret, ask: func(p *presented) { p.request.Token = mint.Unissued(p.T, p.token.ID()) }},
	{reason: verify.ReasonNotYetValid, ask: func(p *presented) { p.at(issued.Add(-time.Hour)) }},
	{reason: verify.ReasonRevoked, edit: func(rec *v1alpha1.TokenRecord) { rec.Status.RevokedAt = v1alpha1.NewTimestamp(issued) }},
	{reason: verify.ReasonExpired, edit: func(rec *v1alpha1.TokenRecord) { rec.Status.ExpiresAt = "2020-01-01T00:00:00Z" }},
	{reason: verify.ReasonNamespaceGone, ask: func(p *presented) { p.namespace.SetState(verify.StateGone) }},
	{reason: verify.ReasonOwnerGone, ask: func(p *presented) { p.owner.SetState(verify.StateGone) }},
	{reason: verify.ReasonSubjectGone, edit: actAsAccount, ask: func(p *presented) { p.account.SetState(verify.StateGone) }},
	{reason: verify.ReasonOwnerUnseen, ask: func(p *presented) {
		if p.owner.State() == verify.StateLive { // what is gone is no longer unseen
			p.owner.SetState(verify.StateUnseen)
		}
	}},
	{reason: verify.ReasonAudienceMismatch, ask: func(p *presented) { p.request.Audiences = []string{"other"} }},
	{
		reason: verify.ReasonNetworkUnknown,
		edit:   func(rec *v1alpha1.TokenRecord) { rec.Spec.AllowedCIDRs = []v1alpha1.CIDR{"10.0.0.0/8"} },
		ask:    func(p *presented) { p.request.ClientIP = netip.Addr{} },
	},
	{reason: verify.ReasonNetworkDenied, edit: func(rec *v1alpha1.TokenRecord) { rec.Spec.AllowedCIDRs = []v1alpha1.CIDR{"10.0.0.0/8"} }},
	{
		reason: verify.ReasonScopesNotEnforced,
		edit:   func(rec *v1alpha1.TokenRecord) { rec.Spec.Scopes = []string{"read"} },
		ask:    func(p *presented) { p.request.ScopesUnchecked = true },
	},
	{
		reason: verify.ReasonScopeMissing,
		edit:   func(rec *v1alpha1.TokenRecord) { rec.Spec.Scopes = []string{"read"} },
		ask:    func(p *presented) { p.request.Scopes = []string{"write"} },
	},
}

func withFaults(t *testing.T, wrong []fault) *presented {
	t.Helper()
	var edits []func(*v1alpha1.TokenRecord)
	for _, f := range wrong {
		if f.edit != nil {
			edits = append(edits, f.edit)
		}
	}
	p := present(t, edits...)
	for _, f := range wrong {
		if f.ask != nil {
			f.ask(p)
		}
	}
	return p
}

func TestEachFaultAloneIsTheReason(t *testing.T) {
	var seen []verify.Reason
	for _, f := range faults {
		t.Run(string(f.reason), func(t *testing.T) { withFaults(t, []fault{f}).expect(f.reason) })
		seen = append(seen, f.reason)
	}
	for _, reason := range verify.Reasons() {
		if !slices.Contains(seen, reason) {
			t.Errorf("no test of %s", reason)
		}
	}
	if len(seen) != len(verify.Reasons()) {
		t.Errorf("%d reasons are tested, and %d are in Reasons", len(seen), len(verify.Reasons()))
	}
}

func TestOfAllFaultsTheFirstIsTheReason(t *testing.T) {
	for i, f := range faults {
		t.Run(string(f.reason), func(t *testing.T) { withFaults(t, faults[i:]).expect(f.reason) })
	}
}

func TestOfAnyTwoFaultsTheFirstIsTheReason(t *testing.T) {
	for i, first := range faults {
		for _, second := range faults[i+1:] {
			t.Run(string(first.reason+"+"+second.reason), func(t *testing.T) {
				withFaults(t, []fault{first, second}).expect(first.reason)
			})
		}
	}
}

func TestEndsHoldToTheNanosecond(t *testing.T) {
	sliding := func(rec *v1alpha1.TokenRecord) {
		rec.Spec.ExtendWhenUsed, rec.Spec.MaxAgeSeconds, rec.Spec.NotAfter = true, ptr.To(int64(3600)), "2026-12-24T09:00:00Z"
	}
	unseenOwner := func(p *presented) { p.owner.SetState(verify.StateUnseen) }
	unseenAccount := func(p *presented) { p.account.SetState(verify.StateUnseen) }
	unseenNamespace := func(p *presented) { p.namespace.SetState(verify.StateUnseen) }
	for name, c := range map[string]struct {
		edit          func(*v1alpha1.TokenRecord)
		ask           func(*presented)
		at            time.Time
		before, after verify.Reason
	}{
		"issued by a clock that is 30 s ahead": {at: issued.Add(-30 * time.Second), before: verify.ReasonNotYetValid},
		"the age": {
			edit: func(rec *v1alpha1.TokenRecord) { rec.Spec.MaxAgeSeconds = ptr.To(int64(3600)) },
			at:   issued.Add(time.Hour), after: verify.ReasonExpired,
		},
		"a lower age in status": {
			edit: func(rec *v1alpha1.TokenRecord) {
				rec.Spec.MaxAgeSeconds, rec.Status.MaxAgeSeconds = ptr.To(int64(3600)), ptr.To(int64(60))
			},
			at: issued.Add(time.Minute), after: verify.ReasonExpired,
		},
		"notAfter": {
			edit: func(rec *v1alpha1.TokenRecord) { rec.Spec.NotAfter = "2026-11-25T00:00:00Z" },
			at:   time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC), after: verify.ReasonExpired,
		},
		"an overlap that ends within a second": {
			edit: func(rec *v1alpha1.TokenRecord) { rec.Status.ExpiresAt = "2026-11-25T00:00:00.123456Z" },
			at:   time.Date(2026, 11, 25, 0, 0, 0, 123456000, time.UTC), after: verify.ReasonExpired,
		},
		"the age after the issue of a token never used": {edit: sliding, at: issued.Add(time.Hour), after: verify.ReasonExpired},
		"the age after the last use": {
			edit: func(rec *v1alpha1.TokenRecord) { sliding(rec); rec.Status.LastUsedAt = "2026-11-24T09:30:00.5Z" },
			at:   issued.Add(90*time.Minute + time.Second/2), after: verify.ReasonExpired,
		},
		"the hard end of a token in use": {
			edit: func(rec *v1alpha1.TokenRecord) { sliding(rec); rec.Status.LastUsedAt = "2026-12-24T08:59:00Z" },
			at:   time.Date(2026, 12, 24, 9, 0, 0, 0, time.UTC), after: verify.ReasonExpired,
		},
		"ten seconds without news of the AccessToken": {ask: unseenOwner, at: issued.Add(10 * time.Second), after: verify.ReasonOwnerUnseen},
		"ten seconds without news of the account":     {edit: actAsAccount, ask: unseenAccount, at: issued.Add(10 * time.Second), after: verify.ReasonOwnerUnseen},
		"ten seconds without news of the namespace":   {ask: unseenNamespace, at: issued.Add(10 * time.Second), after: verify.ReasonOwnerUnseen},
	} {
		t.Run(name, func(t *testing.T) {
			p := present(t)
			if c.edit != nil {
				p = present(t, c.edit)
			}
			if c.ask != nil {
				c.ask(p)
			}
			p.at(c.at.Add(-1)).expect(c.before)
			p.at(c.at).expect(c.after)
			p.at(c.at.Add(1)).expect(c.after)
			p.at(c.at.Add(-1).In(time.FixedZone("", -11*3600))).expect(c.before)
		})
	}
}

func TestARevocationHoldsAtOnceWhateverTheOtherClockSays(t *testing.T) {
	for _, at := range []time.Time{issued.Add(-time.Hour), issued, issued.Add(365 * 24 * time.Hour)} {
		present(t, func(rec *v1alpha1.TokenRecord) { rec.Status.RevokedAt = v1alpha1.NewTimestamp(at) }).expect(verify.ReasonRevoked)
	}
}

func TestAUseInTheFutureExtendsNoFurtherThanOneNow(t *testing.T) {
	p := present(t, func(rec *v1alpha1.TokenRecord) {
		rec.Spec.ExtendWhenUsed, rec.Spec.MaxAgeSeconds, rec.Spec.NotAfter = true, ptr.To(int64(60)), "2026-11-24T12:00:00Z"
		rec.Status.LastUsedAt = "2099-01-01T00:00:00Z"
	})
	p.at(time.Date(2026, 11, 24, 11, 59, 59, 0, time.UTC)).expect("")
	p.at(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)).expect(verify.ReasonExpired)
}

func TestOfANamespaceMadeAnewOnlyItsOwnTokensAreGood(t *testing.T) {
	p := present(t)
	for _, c := range []struct {
		apart time.Duration // how long after the token the namespace was made
		want  verify.Reason
	}{
		{-time.Hour, ""},
		{0, ""},
		{30 * time.Second, ""}, // API servers' clocks differ
		{31 * time.Second, verify.ReasonNamespaceGone},
		{time.Hour, verify.ReasonNamespaceGone},
	} {
		p.namespace.SetState(verify.StateGone)
		p.expect(verify.ReasonNamespaceGone)
		p.namespace.SetLive(issued.Add(c.apart))
		p.expect(c.want)
	}
}

func TestThereAreThreeAnswers(t *testing.T) {
	for _, failure := range []error{verify.ErrNotReady, verify.ErrStale} {
		for i := range faults {
			p := withFaults(t, faults[i:])
			p.decider.Fresh = func(time.Time) error { return failure }
			if verdict, err := p.verify(); !errors.Is(err, failure) || verdict != (verify.Verdict{}) {
				t.Errorf("%s: verdict %q, error %v", faults[i].reason, verdict.Reason, err)
			}
		}
	}
	if (verify.Verdict{}).Active() {
		t.Error("no verdict is active")
	}
	if (verify.Verdict{Reason: verify.ReasonExpired, Token: present(t).token}).Active() {
		t.Error("a verdict with a reason is active")
	}
}

func TestFreshnessIsAskedForTheMomentOfTheRequest(t *testing.T) {
	p := present(t)
	var asked time.Time
	p.decider.Fresh = func(now time.Time) error { asked = now; return nil }
	p.expect("")
	if !asked.Equal(issued.Add(time.Minute)) {
		t.Errorf("asked about %s", asked)
	}
}

func TestWhileTheIndexIsIncompleteNoTokenIsUnknown(t *testing.T) {
	p := present(t)
	complete := false
	p.decider.Complete = func() bool { return complete }
	p.expect("")
	p.request.Token = mint.Unissued(t, p.token.ID())
	p.expect(verify.ReasonWrongSecret)
	p.decider.Index = index{}
	if verdict, err := p.verify(); !errors.Is(err, verify.ErrNotReady) || verdict != (verify.Verdict{}) {
		t.Errorf("%q, error %v, want %v", verdict.Reason, err, verify.ErrNotReady)
	}
	complete = true
	p.expect(verify.ReasonUnknown)
}

func TestATokenIsForItsAudiences(t *testing.T) {
	for name, c := range map[string]struct {
		has, asked []string
		fallback   string
		want       verify.Reason
	}{
		"none declared, the default asked":           {nil, []string{"d"}, "d", ""},
		"none declared, another asked":               {nil, []string{"a"}, "d", verify.ReasonAudienceMismatch},
		"none declared, none asked":                  {nil, nil, "d", verify.ReasonAudienceMismatch},
		"none declared, and no default":              {nil, []string{""}, "", verify.ReasonAudienceMismatch},
		"one of several":                             {[]string{"a", "b", "c"}, []string{"x", "b"}, "d", ""},
		"declared for others, the default asked":     {[]string{"a"}, []string{"d"}, "d", verify.ReasonAudienceMismatch},
		"a part of the name":                         {[]string{"billing"}, []string{"bill"}, "d", verify.ReasonAudienceMismatch},
		"the name and more":                          {[]string{"bill"}, []string{"billing"}, "d", verify.ReasonAudienceMismatch},
		"another case":                               {[]string{"Billing"}, []string{"billing"}, "d", verify.ReasonAudienceMismatch},
		"two names as one, by how they are kept":     {[]string{"a", "b"}, []string{"a\x00b"}, "d", verify.ReasonAudienceMismatch},
		"the empty name":                             {[]string{"a", "b"}, []string{""}, "d", verify.ReasonAudienceMismatch},
		"the empty list":                             {[]string{"a"}, []string{}, "d", verify.ReasonAudienceMismatch},
		"the API server's by name, unless it is its": {[]string{"kubernetes"}, []string{"https://kubernetes.default.svc"}, "d", verify.ReasonAudienceMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			p := present(t, func(rec *v1alpha1.TokenRecord) { rec.Spec.Audiences = c.has })
			p.request.Audiences, p.decider.DefaultAudience = c.asked, c.fallback
			p.expect(c.want)
		})
	}
}

func TestATokenMayBeUsedFromItsNetworks(t *testing.T) {
	for name, c := range map[string]struct {
		networks []v1alpha1.CIDR
		address  string
		want     verify.Reason
	}{
		"no networks, and no address":                 {nil, "", ""},
		"the first address":                           {[]v1alpha1.CIDR{"10.0.0.0/8"}, "10.0.0.0", ""},
		"the last address":                            {[]v1alpha1.CIDR{"10.0.0.0/8"}, "10.255.255.255", ""},
		"the address after the last":                  {[]v1alpha1.CIDR{"10.0.0.0/8"}, "11.0.0.0", verify.ReasonNetworkDenied},
		"the second network":                          {[]v1alpha1.CIDR{"10.0.0.0/8", "192.0.2.0/24"}, "192.0.2.1", ""},
		"one address":                                 {[]v1alpha1.CIDR{"192.0.2.1/32"}, "192.0.2.1", ""},
		"the address beside it":                       {[]v1alpha1.CIDR{"192.0.2.1/32"}, "192.0.2.2", verify.ReasonNetworkDenied},
		"IPv4 as IPv6":                                {[]v1alpha1.CIDR{"192.0.2.0/24"}, "::ffff:192.0.2.1", ""},
		"IPv4 in a network written as IPv6":           {[]v1alpha1.CIDR{"::ffff:192.0.2.0/120"}, "192.0.2.1", ""},
		"IPv4 as IPv6 in a network written as IPv6":   {[]v1alpha1.CIDR{"::ffff:192.0.2.0/120"}, "::ffff:192.0.2.1", ""},
		"IPv4 beside a network written as IPv6":       {[]v1alpha1.CIDR{"::ffff:192.0.2.0/120"}, "192.0.3.1", verify.ReasonNetworkDenied},
		"IPv4 is not in all of IPv6":                  {[]v1alpha1.CIDR{"::/0"}, "192.0.2.1", verify.ReasonNetworkDenied},
		"IPv6 is not in all of IPv4":                  {[]v1alpha1.CIDR{"0.0.0.0/0"}, "2001:db8::1", verify.ReasonNetworkDenied},
		"IPv6":                                        {[]v1alpha1.CIDR{"2001:db8::/32"}, "2001:db8:ffff::1", ""},
		"IPv6 beside it":                              {[]v1alpha1.CIDR{"2001:db8::/32"}, "2001:db9::1", verify.ReasonNetworkDenied},
		"a zone, which is the receiving host's":       {[]v1alpha1.CIDR{"fe80::/10"}, "fe80::1%eth0", ""},
		"IPv4 as IPv6 with a zone":                    {[]v1alpha1.CIDR{"192.0.2.0/24"}, "::ffff:192.0.2.1%eth0", ""},
		"no address":                                  {[]v1alpha1.CIDR{"0.0.0.0/0", "::/0"}, "", verify.ReasonNetworkUnknown},
		"the address of nothing is an address though": {[]v1alpha1.CIDR{"0.0.0.0/0"}, "0.0.0.0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := present(t, func(rec *v1alpha1.TokenRecord) { rec.Spec.AllowedCIDRs = c.networks })
			p.request.ClientIP = netip.Addr{}
			if c.address != "" {
				p.request.ClientIP = netip.MustParseAddr(c.address)
			}
			p.expect(c.want)
		})
	}
}

func TestATokenNeedsTheScopesThatAreRequired(t *testing.T) {
	const introspect = v1alpha1.ReservedScopePrefix + "introspect"
	for name, c := range map[string]struct {
		has, required []string
		unchecked     bool
		want          verify.Reason
	}{
		"unlimited, none required":                     {nil, nil, false, ""},
		"unlimited, where no scope is looked at":       {nil, nil, true, ""},
		"unlimited, any required":                      {nil, []string{"read", "write"}, false, ""},
		"unlimited, a reserved one required":           {nil, []string{introspect}, false, verify.ReasonScopeMissing},
		"unlimited, a reserved one among others":       {nil, []string{"read", introspect}, false, verify.ReasonScopeMissing},
		"unlimited, the bare reserved prefix required": {nil, []string{v1alpha1.ReservedScopePrefix}, false, verify.ReasonScopeMissing},
		"limited, none required":                       {[]string{"read"}, nil, false, ""},
		"limited, where no scope is looked at":         {[]string{"read"}, nil, true, verify.ReasonScopesNotEnforced},
		"limited to what is required":                  {[]string{"read"}, []string{"read"}, false, ""},
		"limited to more than is required":             {[]string{"read", "write"}, []string{"write"}, false, ""},
		"limited to one of two":                        {[]string{"read"}, []string{"read", "write"}, false, verify.ReasonScopeMissing},
		"limited to a reserved one that is required":   {[]string{introspect}, []string{introspect}, false, ""},
		"limited to another reserved one":              {[]string{introspect}, []string{introspect + "x"}, false, verify.ReasonScopeMissing},
		"no scope implies a longer one":                {[]string{"read"}, []string{"read:registry"}, false, verify.ReasonScopeMissing},
		"no scope implies a shorter one":               {[]string{"read:registry"}, []string{"read"}, false, verify.ReasonScopeMissing},
		"two scopes as one, by how they are kept":      {[]string{"a", "b"}, []string{"a\x00b"}, false, verify.ReasonScopeMissing},
		"the empty scope":                              {[]string{"a"}, []string{""}, false, verify.ReasonScopeMissing},
	} {
		t.Run(name, func(t *testing.T) {
			p := present(t, func(rec *v1alpha1.TokenRecord) { rec.Spec.Scopes = c.has })
			p.request.Scopes, p.request.ScopesUnchecked = c.required, c.unchecked
			p.expect(c.want)
		})
	}
}

func TestARecordWithAnEditedHashVerifiesNothing(t *testing.T) {
	for _, hash := range []string{"", "00", strings.Repeat("0", 64), strings.Repeat("zz", 32)} {
		rec, text := mint.Record(t, "shop", "deploy", issued)
		rec.Spec.Hash = hash
		p := present(t)
		edited := mint.TokenOf(t, rec, p.owner, nil)
		p.decider.Index, p.request.Token = index{edited.Key(): edited}, text
		p.expect(verify.ReasonWrongSecret)
	}
}
