package job

import (
	"container/heap"
	"slices"
	"time"
)

// watch looks for a clock that was set back: docs/spec/job.md, "When the clock
// jumps".
func (m *Machine) watch(now time.Time) {
	if now.Before(m.seen) {
		for _, l := range slices.Clone(m.due) {
			m.renew(now, l)
		}
		for _, s := range m.sessions {
			if latest := now.Add(maxRest); s.rest.After(latest) {
				s.rest = latest
			}
		}
	}
	m.seen = now
}

// renew begins the time of a lease anew that was lent in the future, and the
// wait for its worker.
func (m *Machine) renew(now time.Time, l *lease) {
	if back := l.Since.Sub(now); back > 0 {
		l.Since, l.Until, l.due = now, l.Until.Add(-back), l.due.Add(-back)
	}
	if soon := now.Add(m.cfg.Reclaim); l.session == 0 && soon.Before(l.due) {
		l.due = soon
	}
	heap.Fix(&m.due, l.index)
}
