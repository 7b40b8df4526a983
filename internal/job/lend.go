package job

import (
	"container/heap"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/canon"
)

// wait puts a session that wants more into the waiting list, once.
func (s *session) wait(m *Machine) {
	if s.waiting == nil && s.wants() {
		s.waiting = m.waiting.PushBack(s)
	}
}

// wants reports whether a session would like another lease, and may have it.
func (s *session) wants() bool { return len(s.leases) < min(s.want, s.room) }

// content takes a session out of the waiting list.
func (s *session) content(m *Machine) {
	if s.waiting != nil {
		m.waiting.Remove(s.waiting)
		s.waiting = nil
	}
}

// fill lends to a session until it has what it wants or there is nothing.
func (m *Machine) fill(now time.Time, s *session) {
	for s.wants() {
		if !m.lend(now, s) {
			s.wait(m)
			if !s.idle {
				s.idle = true
				m.do(Idle{s.id})
			}
			return
		}
		s.idle = false
	}
	s.content(m)
}

// feed offers work to up to n waiting sessions, those first that wait longest.
func (m *Machine) feed(now time.Time, n int) {
	if m.loading || m.halted || m.resting || len(m.lendable) == 0 {
		return
	}
	for range min(n, m.waiting.Len()) {
		first := m.waiting.Front()
		if first == nil {
			return
		}
		m.waiting.MoveToBack(first)
		m.fill(now, first.Value.(*session))
	}
}

// lend lends one lane to a session, of an order whose turn it is.
func (m *Machine) lend(now time.Time, s *session) bool {
	if m.loading || m.halted || m.resting || now.Before(s.rest) {
		return false
	}
	slices.SortStableFunc(m.lendable, byTurn)
	for rest := m.lendable; len(rest) > 0; {
		equals := level(rest)
		rest = rest[len(equals):]
		if s.stayed < maxStay && s.release != (canon.Digest{}) && m.lendOf(now, s, equals, s.release) {
			s.stayed++
			return true
		}
		if m.lendOf(now, s, equals, canon.Digest{}) {
			s.stayed = 0
			return true
		}
	}
	return m.standIn(now, s)
}

// pick finds a task of an order for a session: one that others have begun, so
// that tasks are finished soon, or else a fresh one.
func (m *Machine) pick(o *order, s *session) (*task, place) {
	for range min(o.needy.Len(), scanTasks) {
		first := o.needy.Front()
		t := first.Value.(*task)
		if at, ok := m.place(t, s.worker, s.net); ok {
			return t, at
		}
		o.needy.MoveToBack(first)
	}
	if len(o.open) >= m.cfg.MaxOpen {
		return nil, place{}
	}
	for o.fresh = o.decided.next(o.fresh); o.fresh < o.Tasks; o.fresh = o.decided.next(o.fresh + 1) {
		if num := o.perm.at(o.fresh); o.open[num] == nil {
			o.fresh++
			t := o.begin(num)
			return t, place{lane: t.newLane()}
		}
	}
	return nil, place{}
}

// lasts is how long a lease of an order lasts.
func (m *Machine) lasts(o *order) time.Duration {
	d := o.Seconds + m.cfg.Grace
	if o.Deadline > 0 {
		d = min(d, o.Deadline)
	}
	return d
}

func (m *Machine) lendTask(now time.Time, t *task, at place, s *session) {
	o := t.order
	until := now.Add(m.lasts(o))
	l := &lease{task: t, session: s.id, due: until, Lease: Lease{ID: m.cfg.NewID(), Order: o.ID, Task: t.num, Lane: at.lane,
		From: at.from, Worker: s.worker, Net: s.net, Since: now, Until: until}}
	m.leases[l.ID] = l
	s.leases = append(s.leases, l)
	s.release = o.Release
	t.held = append(t.held, l)
	l.elem = o.lent.PushBack(l)
	o.share.leases++
	heap.Push(&m.due, l)
	if now.After(m.seen) {
		m.seen = now
	}
	m.do(Lend{s.id, l.Lease})
	m.review(t)
}
