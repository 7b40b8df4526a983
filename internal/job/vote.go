package job

import (
	"cmp"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// Admissible returns nil if a vote on the task may be stored. Votes on what is
// done are taken, as late; votes on what was stopped or has expired are not.
func (m *Machine) Admissible(id canon.Digest, task uint64) error {
	o := m.orders[id]
	switch {
	case o == nil || !o.admitted:
		return canon.Fail(wire.CodeUnknownOrder, "order %s is not known here", id.Short())
	case task >= o.Tasks:
		return canon.Fail(wire.CodeVoteMismatch, "order %s has %d tasks, none has the number %d", id.Short(), o.Tasks, task)
	case o.state == Stopped || o.state == Ended:
		return canon.Fail(wire.CodeOrderEnded, "order %s is %s", id.Short(), o.state)
	case o.off[task]:
		return canon.Fail(wire.CodeOrderEnded, "task %d of order %s was stopped: %s", task, id.Short(), o.stops[task])
	}
	return nil
}

// Cast counts a vote that is on disk, ends its lease, and returns how the vote
// stands. The same vote again changes nothing.
func (m *Machine) Cast(now time.Time, v Vote) (wire.Verdict, []Action) {
	o := m.order(v.Order)
	var s *session
	if l := m.leases[v.Lease]; l != nil && l.Worker == v.Worker {
		if s = m.sessions[l.session]; s != nil {
			s.timed(now, l)
			s.failed, s.rest, s.room = 0, time.Time{}, min(2*s.room, wire.MaxWant)
		}
	}
	m.newDay(now)
	verdict := wire.Pending
	o.when(func() { verdict = m.cast(o, v) })
	m.restate(now, o)
	if s != nil {
		m.fill(now, s)
	}
	m.feed(now, feedSessions)
	return verdict, m.done()
}

func (m *Machine) cast(o *order, v Vote) wire.Verdict {
	if v.Task >= o.Tasks {
		return wire.Late // not of this order: nothing admits such a vote
	}
	position := o.perm.position(v.Task)
	if o.decided.has(position) {
		return wire.Late
	}
	t := o.begin(v.Task)
	if !m.hear(t, v) {
		return wire.Pending
	}
	m.relieve(t, v)
	at := len(m.out)
	m.review(t)
	if !o.decided.has(position) {
		return wire.Pending
	}
	for _, a := range m.out[at:] {
		if d, ok := a.(Decide); ok && !d.Undecided && d.Outcome == v.Outcome {
			return wire.Agreed
		}
	}
	return wire.Outvoted
}

// hear adds a vote to a task, and reports whether it is its worker's first.
func (m *Machine) hear(t *task, v Vote) bool {
	if slices.ContainsFunc(t.votes, func(b ballot) bool { return b.worker == v.Worker }) {
		return false
	}
	t.votes = append(t.votes, v.ballot())
	m.involve(t, v.Worker)
	return true
}

// relieve ends the leases of a task whose worker has now voted on it: the one
// that the vote came by, and any other, which has nothing left to do.
func (m *Machine) relieve(t *task, v Vote) {
	for _, l := range slices.Clone(t.held) {
		if l.Worker != v.Worker {
			continue
		}
		m.drop(l)
		if l.ID != v.Lease {
			m.do(EndLease{l.session, l.ID, "this worker has voted on the task"})
		}
	}
}

// begin returns the state of a task that has no verdict.
func (o *order) begin(num uint64) *task {
	t := o.open[num]
	if t == nil {
		t = &task{order: o, num: num}
		o.open[num] = t
	}
	return t
}

// Verdict takes a verdict that is on disk. It stands whatever the votes say, and
// until it is withdrawn.
func (m *Machine) Verdict(now time.Time, v Verdict) []Action {
	m.newDay(now)
	o, task := m.order(v.Order), v.Task
	o.when(func() {
		if task >= o.Tasks || v.Round < o.rounds[task] || o.decided.has(o.perm.position(task)) {
			return
		}
		if t := o.open[task]; t != nil {
			for _, l := range slices.Clone(t.held) {
				m.drop(l)
				m.do(EndLease{l.session, l.ID, "the task is decided"})
			}
		}
		o.inRound(task, v.Round)
		if v.Audited {
			o.audited[task] = true
		}
		o.settle(task, v.Undecided, v.Stopped)
		m.learn(o, v, false)
		m.restate(now, o)
	})
	return m.done()
}

// Settle ends loading: what the facts add up to is concluded now, verdicts
// that a crash kept from the disk among it, and lending may begin.
func (m *Machine) Settle(now time.Time) []Action {
	m.loading = false
	m.newDay(now)
	for _, o := range m.admitted {
		for _, num := range o.begun() {
			m.review(o.open[num])
		}
		m.restate(now, o)
	}
	m.suspects()
	return m.done()
}

// begun returns the numbers of the open tasks in the order of handing out.
func (o *order) begun() []uint64 {
	nums := make([]uint64, 0, len(o.open))
	for num := range o.open {
		nums = append(nums, num)
	}
	slices.SortFunc(nums, func(a, b uint64) int { return cmp.Compare(o.perm.position(a), o.perm.position(b)) })
	return nums
}
