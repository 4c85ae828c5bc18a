package gateway

import (
	"net/netip"
	"strings"
)

// address returns where a request came from: the rightmost hop that is no
// trusted proxy. What stands left of it is the client's own word. It returns the
// zero Addr, an unknown address, where the one who asks is not trusted, where
// all hops are, and where one that counts cannot be read.
func (g *Guard) address(peer netip.Addr, forwardedFor []string) netip.Addr {
	if !g.trusts(peer.Unmap()) {
		return netip.Addr{}
	}
	for i := len(forwardedFor) - 1; i >= 0; i-- {
		for rest, more := forwardedFor[i], true; more; {
			comma := strings.LastIndexByte(rest, ',')
			hop, ok := parseHop(strings.Trim(rest[comma+1:], " \t"))
			if !ok {
				return netip.Addr{}
			}
			if !g.trusts(hop) {
				return hop
			}
			rest, more = rest[:max(comma, 0)], comma >= 0
		}
	}
	return netip.Addr{}
}

func (g *Guard) trusts(address netip.Addr) bool {
	for _, network := range g.proxies {
		if network.Contains(address) {
			return true
		}
	}
	return false
}

// parseHop reads an address, which some proxies write with a port.
func parseHop(text string) (netip.Addr, bool) {
	hop, err := netip.ParseAddr(text)
	if err != nil {
		withPort, err := netip.ParseAddrPort(text)
		if err != nil {
			return netip.Addr{}, false
		}
		hop = withPort.Addr()
	}
	return hop.Unmap(), hop.Zone() == ""
}

// canonical writes networks of IPv4 addresses as such.
func canonical(networks []netip.Prefix) []netip.Prefix {
	canonical := make([]netip.Prefix, 0, len(networks))
	for _, network := range networks {
		if network.Addr().Is4In6() && network.Bits() >= 96 {
			network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
		}
		canonical = append(canonical, network)
	}
	return canonical
}
