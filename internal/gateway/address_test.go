package gateway

import (
	"net/netip"
	"strings"
	"testing"
)

func networks(texts ...string) []netip.Prefix {
	var networks []netip.Prefix
	for _, text := range texts {
		networks = append(networks, netip.MustParsePrefix(text))
	}
	return networks
}

var proxies = networks("10.0.0.0/8", "192.0.2.7/32", "2001:db8:f::/48", "::ffff:172.16.0.0/108")

func TestTheAddressIsTheRightmostHopThatIsNoTrustedProxy(t *testing.T) {
	for name, c := range map[string]struct {
		trusted []netip.Prefix
		peer    string
		hops    []string
		want    string // empty: unknown
	}{
		"one hop":                         {proxies, "10.1.1.1", []string{"198.51.100.9"}, "198.51.100.9"},
		"what the client says of itself":  {proxies, "10.1.1.1", []string{"10.0.0.1, 203.0.113.1, 198.51.100.9"}, "198.51.100.9"},
		"proxies behind proxies":          {proxies, "10.1.1.1", []string{"198.51.100.9, 192.0.2.7, 10.2.2.2"}, "198.51.100.9"},
		"two headers are one list":        {proxies, "10.1.1.1", []string{"203.0.113.1", "198.51.100.9", "10.2.2.2"}, "198.51.100.9"},
		"tabs and no spaces":              {proxies, "10.1.1.1", []string{"203.0.113.1,\t198.51.100.9 ,10.2.2.2"}, "198.51.100.9"},
		"an address with a port":          {proxies, "10.1.1.1", []string{"198.51.100.9:4711"}, "198.51.100.9"},
		"IPv6":                            {proxies, "2001:db8:f::1", []string{"2001:db8:1::9"}, "2001:db8:1::9"},
		"IPv6 with a port":                {proxies, "10.1.1.1", []string{"[2001:db8:1::9]:4711"}, "2001:db8:1::9"},
		"IPv4 mapped into IPv6":           {proxies, "::ffff:10.1.1.1", []string{"::ffff:198.51.100.9, ::ffff:10.2.2.2"}, "198.51.100.9"},
		"a proxy in a mapped network":     {proxies, "172.16.1.1", []string{"198.51.100.9"}, "198.51.100.9"},
		"no proxy is trusted":             {nil, "10.1.1.1", []string{"198.51.100.9"}, ""},
		"the peer is not trusted":         {proxies, "198.51.100.1", []string{"198.51.100.9"}, ""},
		"the peer is unknown":             {proxies, "", []string{"198.51.100.9"}, ""},
		"no header":                       {proxies, "10.1.1.1", nil, ""},
		"an empty header":                 {proxies, "10.1.1.1", []string{""}, ""},
		"trusted proxies only":            {proxies, "10.1.1.1", []string{"10.2.2.2, 10.3.3.3"}, ""},
		"an empty hop":                    {proxies, "10.1.1.1", []string{"198.51.100.9, , 10.2.2.2"}, ""},
		"an empty header behind":          {proxies, "10.1.1.1", []string{"198.51.100.9", ""}, ""},
		"a comma at the end":              {proxies, "10.1.1.1", []string{"198.51.100.9,"}, ""},
		"a name":                          {proxies, "10.1.1.1", []string{"198.51.100.9, gateway"}, ""},
		"the word unknown":                {proxies, "10.1.1.1", []string{"unknown"}, ""},
		"an obfuscated name":              {proxies, "10.1.1.1", []string{"_hidden"}, ""},
		"in quotes":                       {proxies, "10.1.1.1", []string{`"198.51.100.9"`}, ""},
		"a Forwarded header's form":       {proxies, "10.1.1.1", []string{"for=198.51.100.9"}, ""},
		"octal":                           {proxies, "10.1.1.1", []string{"0198.051.0100.09"}, ""},
		"one number":                      {proxies, "10.1.1.1", []string{"3325256713"}, ""},
		"a zone":                          {proxies, "10.1.1.1", []string{"fe80::1%eth0"}, ""},
		"other digits":                    {proxies, "10.1.1.1", []string{"１９８.51.100.9"}, ""},
		"a NUL":                           {proxies, "10.1.1.1", []string{"198.51.100.9\x00"}, ""},
		"garbage left of the client":      {proxies, "10.1.1.1", []string{strings.Repeat("x,", 10_000) + "198.51.100.9"}, "198.51.100.9"},
		"a long chain of trusted proxies": {proxies, "10.1.1.1", []string{"198.51.100.9" + strings.Repeat(",10.2.2.2", 10_000)}, "198.51.100.9"},
	} {
		t.Run(name, func(t *testing.T) {
			var peer, want netip.Addr
			if c.peer != "" {
				peer = netip.MustParseAddr(c.peer)
			}
			if c.want != "" {
				want = netip.MustParseAddr(c.want)
			}
			if got := New(nil, Options{TrustedProxies: c.trusted}).address(peer, c.hops); got != want {
				t.Errorf("address = %v, want %v", got, want)
			}
		})
	}
}

func TestFindingTheAddressDoesNotAllocate(t *testing.T) {
	guard, peer := New(nil, Options{TrustedProxies: proxies}), netip.MustParseAddr("10.1.1.1")
	hops := []string{"198.51.100.9, 192.0.2.7, 10.2.2.2"}
	if n := testing.AllocsPerRun(100, func() { guard.address(peer, hops) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzAddress: whatever a client writes left of the hop that a proxy added, it
// does not move its address, nor becomes a trusted proxy.
func FuzzAddress(f *testing.F) {
	for _, seed := range []string{"", ",", "203.0.113.1", "10.0.0.1, ", "[::1]:80,", "%,\x00", "198.51.100.1\r\n10.0.0.1", ":::,::"} {
		f.Add(seed)
	}
	guard, peer := New(nil, Options{TrustedProxies: proxies}), netip.MustParseAddr("10.1.1.1")
	client := netip.MustParseAddr("198.51.100.9")
	f.Fuzz(func(t *testing.T, forged string) {
		for _, hops := range [][]string{{forged + ",198.51.100.9"}, {forged, "198.51.100.9"}, {forged + ",198.51.100.9, 10.2.2.2"}} {
			if got := guard.address(peer, hops); got != client {
				t.Errorf("address of %q = %v", hops, got)
			}
		}
		if got := guard.address(peer, []string{forged}); got.IsValid() && (guard.trusts(got) || got.Zone() != "") {
			t.Errorf("address of %q = %v, a trusted proxy", forged, got)
		}
	})
}
