package job

import (
	"time"

	"github.com/countersign/countersign/internal/canon"
)

const (
	// tailFactor is how many times as long as an idle worker would need a lane
	// must have been lent, before the worker may take another one beside it.
	tailFactor = 2
	// scanTail is how many of an order's leases are looked at, the oldest first.
	scanTail = 64
)

// standIn lends a lane more than a task needs, to a worker that would be idle
// otherwise and is much faster than who holds one: docs/spec/job.md, "Tail".
func (m *Machine) standIn(now time.Time, s *session) bool {
	if s.took <= 0 {
		return false
	}
	o := m.orders[s.tookOf]
	if o.First || o.state != Running || o.fresh < o.Tasks || !now.Before(o.Expires) || m.banned(o, s.worker) {
		return false
	}
	for e, n := o.lent.Front(), 0; e != nil && n < scanTail; e, n = e.Next(), n+1 {
		l := e.Value.(*lease)
		if now.Sub(l.Since) < tailFactor*s.took {
			return false // those behind it were lent later
		}
		if m.tally(l.task).need != 0 {
			continue // there is one already
		}
		if at, ok := m.place(l.task, s.worker, s.net); ok {
			m.lendTask(now, l.task, at, s)
			return true
		}
	}
	return false
}

// timed notes how long a worker took for a lane that it did alone.
func (s *session) timed(now time.Time, l *lease) {
	if took := now.Sub(l.Since); took > 0 && l.From == (canon.Digest{}) {
		s.took, s.tookOf = took, l.Order
	}
}
