package job

import (
	"slices"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// MaxTaskStops is how many tasks of an order can be stopped one by one, since
// each is remembered. Whoever wants more stops the order.
const MaxTaskStops = 1024

// Stop ends an order, or a release with all its orders, for good.
func (m *Machine) Stop(now time.Time, scope wire.Scope, digest canon.Digest, reason string) []Action {
	t := target{scope, digest}
	if _, is := m.stopped[t]; is {
		return nil
	}
	m.stopped[t] = reason
	for _, o := range m.admitted {
		if o.ID == digest || o.Release == digest {
			m.restate(now, o)
		}
	}
	return m.done()
}

// StopReason returns why an order or release was stopped, if it was.
func (m *Machine) StopReason(scope wire.Scope, digest canon.Digest) (reason string, stopped bool) {
	reason, stopped = m.stopped[target{scope, digest}]
	return reason, stopped
}

// Halt ends all leases and lends nothing more, until Lift.
func (m *Machine) Halt(reason string) []Action {
	if m.halted {
		return nil
	}
	m.halted, m.reason = true, reason
	for _, l := range slices.Clone(m.due) {
		m.drop(l)
		m.review(l.task)
	}
	if !m.loading {
		m.do(Broadcast{wire.KillAll, "", cut(reason, wire.MaxReason)})
	}
	return m.done()
}

// Lift ends a halt.
func (m *Machine) Lift(now time.Time) []Action {
	if !m.halted {
		return nil
	}
	m.halted, m.reason = false, ""
	if !m.loading {
		m.do(Resume{})
	}
	m.feed(now, m.waiting.Len())
	return m.done()
}

// Rest says whether nothing more is to be lent for now. What is lent goes on,
// unlike at a halt.
func (m *Machine) Rest(now time.Time, resting bool) []Action {
	m.resting = resting
	m.feed(now, m.waiting.Len())
	return m.done()
}

// Halted returns whether the hub is halted, and why.
func (m *Machine) Halted() (halted bool, reason string) { return m.halted, m.reason }

// Stoppable returns nil if a task can be stopped, or is already.
func (m *Machine) Stoppable(id canon.Digest, task uint64) error {
	o := m.orders[id]
	switch {
	case o == nil || !o.admitted:
		return canon.Fail(wire.CodeUnknownOrder, "order %s is not known here", id.Short())
	case task >= o.Tasks:
		return canon.Fail(wire.CodeRequest, "order %s has %d tasks, none has the number %d", id.Short(), o.Tasks, task)
	}
	if _, is := o.stops[task]; !is && len(o.stops) >= MaxTaskStops {
		return canon.Fail(wire.CodeForbidden, "%d tasks of order %s are stopped already: stop the order", len(o.stops), id.Short())
	}
	return nil
}

// StopTask ends a task for good, unless it has a verdict: that stands, and if it
// is ever withdrawn, the task is stopped then.
func (m *Machine) StopTask(now time.Time, id canon.Digest, task uint64, reason string) []Action {
	m.newDay(now)
	o := m.order(id)
	o.when(func() { m.stopTask(o, task, reason) })
	m.restate(now, o)
	m.feed(now, m.waiting.Len())
	return m.done()
}

func (m *Machine) stopTask(o *order, task uint64, reason string) {
	if _, is := o.stops[task]; is || task >= o.Tasks {
		return
	}
	o.stops[task] = reason
	if t := o.open[task]; t != nil {
		for _, l := range slices.Clone(t.held) {
			m.drop(l)
		}
	}
	if !m.loading { // to all, because some may have leases of before a restart
		m.do(Broadcast{wire.KillTask, wire.TaskTarget(o.ID, task), cut(reason, wire.MaxReason)})
	}
	if !o.decided.has(o.perm.position(task)) {
		m.review(o.begin(task))
	}
}

// giveUp gives a task that was stopped the verdict that it has none.
func (m *Machine) giveUp(t *task) {
	m.conclude(t, Decide{Order: t.order.ID, Task: t.num, Undecided: true, Stopped: true, Weighed: true, Round: t.order.rounds[t.num], At: m.now})
}
