package job

import (
	"container/heap"
	"container/list"
	"net/netip"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// SessionID names a connection. A worker may have several.
type SessionID uint64

type session struct {
	id      SessionID
	worker  wire.Key
	net     netip.Prefix
	want    int
	room    int // for leases, whatever it wants: it grows with votes
	leases  []*lease
	waiting *list.Element
	idle    bool          // it was told so
	release canon.Digest  // of its last lease
	stayed  int           // leases in a row for the sake of that release
	took    time.Duration // for its last lane that it did alone
	tookOf  canon.Digest  // the order of that
	failed  int           // leases in a row that came to nothing through its own fault
	rest    time.Time
}

// lease is a loan. Its session is 0 while the worker is not connected.
type lease struct {
	Lease
	session SessionID
	task    *task
	due     time.Time     // when it is reclaimed
	index   int           // in Machine.due
	elem    *list.Element // in order.lent
}

// Connect begins a session of a worker that has proved its key.
func (m *Machine) Connect(id SessionID, worker wire.Key, net netip.Prefix) {
	m.sessions[id] = &session{id: id, worker: worker, net: net, room: m.cfg.First}
}

// Disconnect ends a session. Its leases live on for a short while, in case the
// worker comes back with them.
func (m *Machine) Disconnect(now time.Time, id SessionID) []Action {
	s := m.sessions[id]
	if s == nil {
		return nil
	}
	delete(m.sessions, id)
	s.content(m)
	for _, l := range s.leases {
		l.session = 0
		if soon := now.Add(m.cfg.Reclaim); soon.Before(l.due) {
			l.due = soon
			heap.Fix(&m.due, l.index)
		}
	}
	return m.done()
}

// Want says how many leases a session would like to hold.
func (m *Machine) Want(now time.Time, id SessionID, n int) []Action {
	s := m.sessions[id]
	if s == nil {
		return nil
	}
	s.want, s.idle = min(max(n, 0), wire.MaxWant), false
	m.fill(now, s)
	return m.done()
}

// Alive says that a worker showed that it still has a lease, which so survives
// a broken connection. It reports whether the lease is that worker's.
func (m *Machine) Alive(id SessionID, lid wire.LeaseID) (Lease, bool) {
	s, l := m.sessions[id], m.leases[lid]
	if s == nil || l == nil || l.Worker != s.worker {
		return Lease{}, false
	}
	if l.session == 0 {
		l.session, l.due = id, l.Until
		s.leases = append(s.leases, l)
		heap.Fix(&m.due, l.index)
	}
	return l.Lease, true
}

// Return takes a lease back that ended without a vote. When the worker failed,
// it gets no other for a while, so that a broken worker does not spin.
func (m *Machine) Return(now time.Time, id SessionID, lid wire.LeaseID, failed bool) (Lease, bool, []Action) {
	s, l := m.sessions[id], m.leases[lid]
	if s == nil || l == nil || l.Worker != s.worker {
		return Lease{}, false, nil
	}
	if failed {
		s.fail(now)
		l.stumble()
	}
	m.end(now, l)
	return l.Lease, true, m.done()
}

// fail lets a session rest: 1 second, then twice as long each time. It may hold
// half of what it could.
func (s *session) fail(now time.Time) {
	s.rest = now.Add(min(time.Second<<min(s.failed, 10), maxRest))
	s.failed++
	s.room = max(s.room/2, 1)
}

// KillLease ends a lease, whoever has it.
func (m *Machine) KillLease(now time.Time, lid wire.LeaseID, reason string) []Action {
	if l := m.leases[lid]; l != nil {
		m.do(EndLease{l.session, lid, cut(reason, wire.MaxReason)})
		m.end(now, l)
	}
	return m.done()
}

// Tick looks at what time has brought about. It should come about every second.
func (m *Machine) Tick(now time.Time) []Action {
	m.watch(now)
	m.newDay(now)
	for len(m.due) > 0 && !now.Before(m.due[0].due) {
		l := m.due[0]
		why := Expired
		if l.due.Before(l.Until) {
			why = Vanished
		}
		if why == Expired {
			l.stumble()
		}
		m.do(Reclaimed{l.Lease, why})
		if s := m.sessions[l.session]; s != nil {
			s.fail(now)
		}
		m.do(EndLease{l.session, l.ID, "the lease is over"})
		m.drop(l)
		m.review(l.task)
	}
	for _, o := range m.admitted {
		if o.state != Done {
			m.restate(now, o)
		}
	}
	m.forgetOffers(now)
	m.feed(now, feedAtTick)
	return m.done()
}

// end drops a lease and offers its lane, and the worker's room, again.
func (m *Machine) end(now time.Time, l *lease) {
	s := m.sessions[l.session]
	m.drop(l)
	m.review(l.task)
	if s != nil {
		m.fill(now, s)
	}
	m.feed(now, feedSessions)
}

// drop forgets a lease. The caller reviews the task.
func (m *Machine) drop(l *lease) {
	if m.leases[l.ID] != l {
		return
	}
	delete(m.leases, l.ID)
	heap.Remove(&m.due, l.index)
	l.task.held = slices.DeleteFunc(l.task.held, func(h *lease) bool { return h == l })
	l.task.order.lent.Remove(l.elem)
	l.task.order.share.leases--
	if s := m.sessions[l.session]; s != nil {
		s.leases = slices.DeleteFunc(s.leases, func(h *lease) bool { return h == l })
		s.wait(m)
	}
}

// Leases returns how many leases are lent, and how many sessions there are.
func (m *Machine) Leases() (leases, sessions int) { return len(m.leases), len(m.sessions) }

// leaseHeap has the lease on top that is due first.
type leaseHeap []*lease

func (h leaseHeap) Len() int           { return len(h) }
func (h leaseHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h leaseHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *leaseHeap) Push(x any) {
	l := x.(*lease)
	l.index = len(*h)
	*h = append(*h, l)
}
func (h *leaseHeap) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return l
}
