package job

import (
	"bytes"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// Audit is what an auditor found a task to come to.
type Audit struct {
	Order   canon.Digest
	Task    uint64
	Outcome wire.Outcome
	Votes   []Vote // all on the task

	// Verdict on the task, if it has one, and what it accepted.
	Verdict  *Verdict
	Accepted wire.Outcome
}

// Auditable returns nil if an audit can be taken now: the hub knows the task's
// verdict, and none is on its way.
func (m *Machine) Auditable(a Audit) error {
	if err := m.Admissible(a.Order, a.Task); err != nil {
		return err
	}
	o := m.orders[a.Order]
	if decided := o.decided.has(o.perm.position(a.Task)); o.leaving[a.Task] || decided != (a.Verdict != nil) ||
		decided && a.Verdict.Round != o.rounds[a.Task] {
		return canon.Fail(wire.CodeBusy, "the verdict on task %d of order %s is changing: try again", a.Task, a.Order.Short())
	}
	return nil
}

// Audit lets an auditor's outcome be the verdict on a task, for good. Auditable
// has returned nil.
func (m *Machine) Audit(now time.Time, a Audit) []Action {
	m.newDay(now)
	o := m.orders[a.Order]
	d := Decide{Order: a.Order, Task: a.Task, Outcome: a.Outcome, At: now, Audited: true, Weighed: true, Round: o.rounds[a.Task]}
	if v := a.Verdict; v != nil {
		if v.Undecided || a.Accepted != a.Outcome {
			d.Round++
		}
		m.unsay(o, *v)
	}
	t := o.begin(a.Task)
	for _, v := range a.Votes {
		m.hear(t, v)
	}
	m.audited(t, &d)
	o.inRound(a.Task, d.Round)
	o.audited[a.Task] = true
	m.conclude(t, d)
	m.restate(now, o)
	m.feed(now, feedSessions)
	return m.done()
}

// audited fills in who was right and wrong, as the auditor has it.
func (m *Machine) audited(t *task, d *Decide) {
	for _, b := range t.votes {
		if b.outcome == d.Outcome {
			d.Agree++
		}
		switch {
		case !t.alone(b):
		case b.outcome == d.Outcome:
			d.Passed = append(d.Passed, b.worker)
		default:
			d.Caught = append(d.Caught, b.worker)
		}
	}
	for _, keys := range [][]wire.Key{d.Passed, d.Caught} {
		slices.SortFunc(keys, func(a, b wire.Key) int { return bytes.Compare(a[:], b[:]) })
	}
}
