package job

import (
	"container/list"
	"net/netip"
	"slices"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// task is a task that was begun and has no verdict.
type task struct {
	order *order
	num   uint64
	votes []ballot
	held  []*lease
	needy *list.Element // in order.needy, if lanes are needed
}

// ballot is a vote on disk.
type ballot struct {
	worker  wire.Key
	net     netip.Prefix
	lane    uint32
	outcome wire.Outcome
}

// Vote is the fact of a durable vote.
type Vote struct {
	Order   canon.Digest
	Task    uint64
	Lane    uint32
	Worker  wire.Key
	Net     netip.Prefix
	Lease   wire.LeaseID
	Outcome wire.Outcome
}

// network is the net that a worker counts as, when told apart.
type network struct {
	net    netip.Prefix
	worker wire.Key // set if each worker is a network
}

func (m *Machine) network(net netip.Prefix, worker wire.Key) network {
	if m.cfg.UnsafeOneNetwork {
		return network{worker: worker}
	}
	return network{net: net}
}

// tally counts votes as docs/spec/job.md says: for each outcome the networks
// that voted for it. It depends on the set of votes alone, not on their order.
type tally struct {
	voters int // networks that voted
	best   wire.Outcome
	agree  int  // networks for best
	lead   bool // no other outcome has as many
}

func (m *Machine) tally(t *task) tally {
	var y tally
	for i, b := range t.votes {
		n := m.network(b.net, b.worker)
		same := func(other ballot) bool { return m.network(other.net, other.worker) == n }
		if !slices.ContainsFunc(t.votes[:i], same) {
			y.voters++
		}
		alike := func(other ballot) bool { return other.outcome == b.outcome }
		if slices.ContainsFunc(t.votes[:i], alike) {
			continue // this outcome is counted already
		}
		switch agree := m.networks(t.votes[i:], b.outcome); {
		case agree > y.agree:
			y.best, y.agree, y.lead = b.outcome, agree, true
		case agree == y.agree:
			y.lead = false
		}
	}
	return y
}

// networks counts those that voted for an outcome.
func (m *Machine) networks(votes []ballot, outcome wire.Outcome) int {
	var seen []network
	for _, b := range votes {
		if n := m.network(b.net, b.worker); b.outcome == outcome && !slices.Contains(seen, n) {
			seen = append(seen, n)
		}
	}
	return len(seen)
}

// wins reports whether the strongest outcome is accepted.
func (y tally) wins(o *order) bool { return y.lead && y.agree >= o.Agree }

// lost reports whether the task is given up.
func (y tally) lost(o *order) bool { return y.voters >= laneFactor*o.Of }

// lanes returns how many lanes the task needs beside those that are lent: as
// many as must agree at first, and then one after the other.
func (y tally) lanes(t *task) int {
	if y.voters < t.order.Agree {
		return t.order.Agree - y.voters - len(t.held)
	}
	return 1 - len(t.held)
}

// review settles a task if its votes allow it, and otherwise keeps it among
// the needy exactly while it needs lanes.
func (m *Machine) review(t *task) {
	if m.loading || t.order.open[t.num] != t {
		return
	}
	y := m.tally(t)
	switch o := t.order; {
	case y.wins(o):
		m.decide(t, Decide{Order: o.ID, Task: t.num, Outcome: y.best, Agree: y.agree})
	case y.lost(o):
		m.decide(t, Decide{Order: o.ID, Task: t.num, Undecided: true, Agree: y.agree})
	case y.lanes(t) > 0 && t.needy == nil:
		t.needy = o.needy.PushBack(t)
	case y.lanes(t) <= 0:
		t.content()
	}
}

// content takes a task out of the needy.
func (t *task) content() {
	if t.needy != nil {
		t.order.needy.Remove(t.needy)
		t.needy = nil
	}
}

func (m *Machine) decide(t *task, d Decide) {
	m.do(d)
	for _, l := range slices.Clone(t.held) {
		m.drop(l)
		m.do(EndLease{l.session, l.ID, "the task is decided"})
	}
	t.order.settle(t.num, d.Undecided)
}

// settle notes that a task has a verdict, and forgets the rest.
func (o *order) settle(num uint64, undecided bool) {
	if !o.decided.add(o.perm.position(num)) {
		return
	}
	if undecided {
		o.undecided++
	} else {
		o.accepted++
	}
	if t := o.open[num]; t != nil {
		t.content()
		delete(o.open, num)
	}
}

// free reports whether a worker may take a lane: neither it nor anybody of its
// network holds one or has voted.
func (m *Machine) free(t *task, worker wire.Key, net netip.Prefix) bool {
	n := m.network(net, worker)
	for _, b := range t.votes {
		if b.worker == worker || m.network(b.net, b.worker) == n {
			return false
		}
	}
	for _, l := range t.held {
		if l.Worker == worker || m.network(l.Net, l.Worker) == n {
			return false
		}
	}
	return true
}

// lane returns the lowest lane number that nobody holds or has voted in.
func (t *task) lane() uint32 {
	for n := uint32(0); ; n++ {
		if !slices.ContainsFunc(t.held, func(l *lease) bool { return l.Lane == n }) &&
			!slices.ContainsFunc(t.votes, func(b ballot) bool { return b.lane == n }) {
			return n
		}
	}
}
