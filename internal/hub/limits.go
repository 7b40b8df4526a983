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
	max, maxPerNetwork int
	requests           rate.Limit // a second; bursts of requestBurst seconds' worth

	mu       sync.Mutex
	total    int
	networks map[netip.Prefix]int
	streams  map[netip.Prefix]int // of events
	open     int                  // of them
	rates    map[netip.Prefix]*rate.Limiter
}

const (
	requestBurst = 10      // seconds
	maxRates     = 1 << 16 // networks that are told apart
	maxStreams   = 256
	maxOfNetwork = 32 // streams
)

func newLimits(opt Options) *limits {
	l := &limits{max: opt.MaxConnections, maxPerNetwork: opt.MaxPerNetwork, requests: rate.Limit(opt.MaxRequests), networks: map[netip.Prefix]int{}, streams: map[netip.Prefix]int{}, rates: map[netip.Prefix]*rate.Limiter{}}
	if l.max == 0 {
		l.max = defaultMaxConnections
	}
	if l.maxPerNetwork == 0 {
		l.maxPerNetwork = defaultMaxPerNetwork
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

// enter counts a connection in, unless there are too many.
func (l *limits) enter(client netip.Addr) error {
	net := job.NetOf(client)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.total >= l.max:
		return refusal(wire.CodeConnections, "the hub has all the connections that it can take")
	case l.networks[net] >= l.maxPerNetwork:
		return refusal(wire.CodeConnections, "too many connections from %s", net)
	}
	l.total++
	l.networks[net]++
	return nil
}

func (l *limits) leave(client netip.Addr) {
	net := job.NetOf(client)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.networks[net]--; l.networks[net] == 0 {
		delete(l.networks, net)
	}
}

// openStream counts a stream of events in, unless there are too many.
func (l *limits) openStream(client netip.Addr) error {
	net := job.NetOf(client)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.open >= maxStreams:
		return refusal(wire.CodeConnections, "the hub has all the streams of events that it can take")
	case l.streams[net] >= maxOfNetwork:
		return refusal(wire.CodeConnections, "too many streams of events to %s", net)
	}
	l.open++
	l.streams[net]++
	return nil
}

func (l *limits) closeStream(client netip.Addr) {
	net := job.NetOf(client)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.streams[net]--; l.streams[net] == 0 {
		delete(l.streams, net)
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
