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
	lanes []*lane       // that had a checkpoint
	needy *list.Element // in order.needy, if lanes are needed
}

// ballot is a vote on disk.
type ballot struct {
	worker  wire.Key
	net     netip.Prefix
	lane    uint32
	resumed bool // it went on from another worker's checkpoint
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
	Resumed bool // it went on from another worker's checkpoint
	Outcome wire.Outcome
}

func (v Vote) ballot() ballot { return ballot{v.Worker, v.Net, v.Lane, v.Resumed, v.Outcome} }

// review settles a task if its votes allow it, and otherwise keeps it among
// the needy exactly while it needs lanes.
func (m *Machine) review(t *task) {
	if m.loading || t.order.open[t.num] != t {
		return
	}
	if _, is := t.order.stops[t.num]; is {
		m.giveUp(t)
		return
	}
	y := m.tally(t)
	switch o := t.order; {
	case y.won:
		m.decide(t, y, Decide{Order: o.ID, Task: t.num, Outcome: y.best, Agree: y.agree})
	case y.lost(o):
		m.decide(t, y, Decide{Order: o.ID, Task: t.num, Undecided: true, Agree: y.agree})
	case y.need > 0 && t.needy == nil:
		t.needy = o.needy.PushBack(t)
	case y.need <= 0:
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

func (m *Machine) decide(t *task, y tally, d Decide) {
	d.At = m.now
	if t.order.Adaptive != nil {
		m.evidence(t, y, &d)
	}
	m.conclude(t, d)
}

// conclude gives a task its verdict.
func (m *Machine) conclude(t *task, d Decide) {
	m.do(d)
	for _, l := range slices.Clone(t.held) {
		m.drop(l)
		m.do(EndLease{l.session, l.ID, "the task is decided"})
	}
	t.order.settle(t.num, d.Undecided, d.Stopped)
	m.learn(t.order, d.Fact(), false)
}

// settle notes that a task has a verdict, and forgets the rest.
func (o *order) settle(num uint64, undecided, stopped bool) {
	if !o.decided.add(o.perm.position(num)) {
		return
	}
	*o.count(undecided, stopped)++
	if stopped {
		o.off[num] = true
	}
	if t := o.open[num]; t != nil {
		t.content()
		delete(o.open, num)
	}
}

// count is where tasks with such a verdict are counted.
func (o *order) count(undecided, stopped bool) *uint64 {
	switch {
	case stopped:
		return &o.stopped
	case undecided:
		return &o.undecided
	}
	return &o.accepted
}
