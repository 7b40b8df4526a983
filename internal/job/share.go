package job

import (
	"cmp"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/canon"
)

// share is what the running orders of one researcher at one priority have of
// the hub together, however many they are: docs/spec/job.md, "Turns".
type share struct {
	researcher string
	priority   int
	orders     []*order // running, least recently served first
	leases     int      // held now
	served     uint64   // the turn at which it was served last
}

// shareOf returns the share that an order belongs to.
func (m *Machine) shareOf(o *order) *share {
	for _, sh := range m.shares {
		if sh.researcher == o.Researcher && sh.priority == o.Priority {
			return sh
		}
	}
	sh := &share{researcher: o.Researcher, priority: o.Priority}
	m.shares = append(m.shares, sh)
	return sh
}

// enter makes an order one of those that are lent, behind the others of its share.
func (m *Machine) enter(o *order) {
	if len(o.share.orders) == 0 {
		m.lendable = append(m.lendable, o.share)
	}
	o.share.orders = append(o.share.orders, o)
}

// leave undoes enter.
func (m *Machine) leave(o *order) {
	o.share.orders = slices.DeleteFunc(o.share.orders, func(l *order) bool { return l == o })
	if len(o.share.orders) == 0 {
		m.lendable = slices.DeleteFunc(m.lendable, func(l *share) bool { return l == o.share })
	}
}

// byTurn has first who is served next: of the highest priority, who holds the
// fewest leases, and among equals who was served longest ago.
func byTurn(a, b *share) int {
	return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.leases, b.leases), cmp.Compare(a.served, b.served))
}

// level returns the first shares, those of one priority.
func level(shares []*share) []*share {
	n := 1
	for n < len(shares) && shares[n].priority == shares[0].priority {
		n++
	}
	return shares[:n]
}

// lendOf lends a lane of the shares' orders to a session; if release is not
// zero, of that release's orders only.
func (m *Machine) lendOf(now time.Time, s *session, shares []*share, release canon.Digest) bool {
	for _, sh := range shares {
		for i, o := range sh.orders {
			if release != (canon.Digest{}) && o.Release != release || !now.Before(o.Expires) || m.banned(o, s.worker) {
				continue // the next tick ends what has expired; or this worker was caught
			}
			if t, at := m.pick(o, s); t != nil {
				m.serve(sh, i)
				m.lendTask(now, t, at, s)
				return true
			}
		}
	}
	return false
}

// serve moves the order at i behind the others of its share.
func (m *Machine) serve(sh *share, i int) {
	m.turn++
	sh.served = m.turn
	o := sh.orders[i]
	sh.orders = append(slices.Delete(sh.orders, i, i+1), o)
}
