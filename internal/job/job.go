// Package job decides who works on what and what counts as a result: orders,
// tasks, lanes, leases, checkpoints, votes and verdicts, as docs/spec/job.md has them.
//
// It is pure. Every method takes the moment at which something happened and
// returns what is to be done about it; there is no clock, no I/O, no lock and
// no goroutine here. The caller serialises calls, makes facts durable before
// it reports them, and carries the actions out in order.
package job

import (
	"container/list"
	"net/netip"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// Config is fixed for the life of a Machine. The zero Config works, except
// that NewID must be set.
type Config struct {
	// NewID returns a lease id that was never used.
	NewID func() wire.LeaseID
	// Key makes the order in which tasks are handed out this hub's own, and keeps
	// to it which of them are checked.
	Key [32]byte
	// Grace is what a lease lasts longer than the release's seconds.
	Grace time.Duration
	// Reclaim is how long a lease outlives its worker's connection.
	Reclaim time.Duration
	// MaxOpen is how many tasks of an order may be begun and undecided.
	MaxOpen int
	// First is how many leases a worker may hold that has just connected.
	First int
	// UnsafeOneNetwork counts every worker as a network of its own. Without
	// it, one machine can never make a verdict alone; with it, one liar can.
	UnsafeOneNetwork bool
}

// Defaults of Config.
const (
	DefaultGrace   = 30 * time.Second
	DefaultReclaim = 15 * time.Second
	DefaultMaxOpen = 1 << 16
	DefaultFirst   = 4
)

const (
	// scanTasks is how many begun tasks are looked at for one worker before it
	// gets a fresh one, and feedSessions how many waiting workers are looked at
	// when one event makes work. What is passed over goes to the back, so the
	// next look or the next tick reaches it.
	scanTasks    = 512
	feedSessions = 64
	feedAtTick   = 8192
	// maxStay is how many leases in a row a worker gets for the sake of the
	// module that it has.
	maxStay = 8
	// laneFactor times vote.of is how many votes a task may have before it is
	// given up as undecided.
	laneFactor = 3
	// maxRest is the longest that a worker rests that fails again and again.
	maxRest = time.Minute
)

// Machine is the whole state of one hub's work. The same calls give the same
// actions: nothing here follows the order of a map.
type Machine struct {
	cfg      Config
	loading  bool
	halted   bool
	reason   string // of the halt
	resting  bool
	orders   map[canon.Digest]*order
	admitted []*order // in the order of admission
	shares   []*share
	lendable []*share  // that have running orders
	turn     uint64    // counts leases
	seen     time.Time // the clock at the last tick, or when something was lent since
	stopped  map[target]string
	sessions map[SessionID]*session
	waiting  *list.List // of *session that want more leases than they have
	leases   map[wire.LeaseID]*lease
	offered  map[wire.LeaseID]time.Time // when checkpoints were, lately
	due      leaseHeap
	records  map[who]*record
	stale    []*task   // whose workers are trusted otherwise since they were reviewed
	now      time.Time // of the last call that weighs
	out      []Action
}

// target is what a stop names.
type target struct {
	scope  wire.Scope
	digest canon.Digest
}

// New returns a machine that is loading facts, until Settle.
func New(cfg Config) *Machine {
	if cfg.Grace == 0 {
		cfg.Grace = DefaultGrace
	}
	if cfg.Reclaim == 0 {
		cfg.Reclaim = DefaultReclaim
	}
	if cfg.MaxOpen == 0 {
		cfg.MaxOpen = DefaultMaxOpen
	}
	if cfg.First == 0 {
		cfg.First = DefaultFirst
	}
	return &Machine{
		cfg:      cfg,
		loading:  true,
		orders:   map[canon.Digest]*order{},
		stopped:  map[target]string{},
		sessions: map[SessionID]*session{},
		waiting:  list.New(),
		leases:   map[wire.LeaseID]*lease{},
		offered:  map[wire.LeaseID]time.Time{},
		records:  map[who]*record{},
	}
}

// do notes an action.
func (m *Machine) do(a Action) { m.out = append(m.out, a) }

// done returns the actions noted since the last call.
func (m *Machine) done() []Action {
	m.reconsider()
	out := m.out
	m.out = nil
	return out
}

// NetOf returns the network that an address counts as: /24 of IPv4, /48 of
// IPv6. An address that is none counts as one network with all its like.
func NetOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 48
	if a.Is4() {
		bits = 24
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
