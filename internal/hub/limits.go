package hub

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"golang.org/x/time/rate"

	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/wire"
)

// limits count worker connections and streams of events, overall and by network,
// and requests by network.
type limits struct {
	connections, streams seats
	requests             rate.Limit // a second; bursts of requestBurst seconds' worth

	mu    sync.Mutex
	rates map[netip.Prefix]*rate.Limiter
}

// seats are taken and given back by clients.
type seats struct {
	what            string
	max, perNetwork int

	mu       sync.Mutex
	taken    int
	networks map[netip.Prefix]int
}

const (
	requestBurst = 10      // seconds
	maxRates     = 1 << 16 // networks that are told apart
	maxStreams   = 256
	maxOfNetwork = 32 // streams
)

func newLimits(opt Options) *limits {
	l := &limits{
		connections: seats{what: "connections", max: opt.MaxConnections, perNetwork: opt.MaxPerNetwork, networks: map[netip.Prefix]int{}},
		streams:     seats{what: "streams of events", max: maxStreams, perNetwork: maxOfNetwork, networks: map[netip.Prefix]int{}},
		requests:    rate.Limit(opt.MaxRequests), rates: map[netip.Prefix]*rate.Limiter{}}
	if l.connections.max == 0 {
		l.connections.max = defaultMaxConnections
	}
	if l.connections.perNetwork == 0 {
		l.connections.perNetwork = defaultMaxPerNetwork
	}
	switch {
	case l.requests > 0:
	case opt.UnsafeOneNetwork: // all of them come from one place
		l.requests = rate.Inf
	default:
		l.requests = defaultMaxRequests
	}
	return l
}

// request takes a request from its network's share.
func (l *limits) request(client netip.Addr) error {
	if l.requests == rate.Inf {
		return nil
	}
	net := job.NetOf(client)
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.rates[net]
	if r == nil {
		if len(l.rates) >= maxRates {
			clear(l.rates) // whoever comes from so many networks is not stopped by counting them
		}
		r = rate.NewLimiter(l.requests, int(requestBurst*l.requests))
		l.rates[net] = r
	}
	if !r.Allow() {
		return refusal(wire.CodeRate, "too many requests from %s", net)
	}
	return nil
}

// take seats a client, unless there are too many.
func (s *seats) take(client netip.Addr) error {
	net := job.NetOf(client)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.taken >= s.max:
		return refusal(wire.CodeConnections, "the hub has all the %s that it can take", s.what)
	case s.networks[net] >= s.perNetwork:
		return refusal(wire.CodeConnections, "too many %s from %s", s.what, net)
	}
	s.taken++
	s.networks[net]++
	return nil
}

func (s *seats) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

func (s *seats) leave(client netip.Addr) {
	net := job.NetOf(client)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	if s.networks[net]--; s.networks[net] == 0 {
		delete(s.networks, net)
	}
}

// client is the address that a request comes from. X-Forwarded-For is read
// from the right, and only as far as trusted proxies wrote it.
func (h *Hub) client(r *http.Request) netip.Addr {
	port, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr := port.Addr().Unmap()
	if len(h.opt.TrustedProxies) == 0 {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && h.trusted(addr); i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr = next.Unmap()
	}
	return addr
}

func (h *Hub) trusted(a netip.Addr) bool {
	return slices.ContainsFunc(h.opt.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(a) })
}
