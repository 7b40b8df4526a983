package job

import (
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// Refutation is the fact that an auditor found a segment of a transcript wrong.
// Votes with that transcript count for nothing, whenever they come.
type Refutation struct {
	Order      canon.Digest
	Task       uint64
	Transcript canon.Digest
	At         time.Time
	Caught     []wire.Key // who signed the wrong segment as their own
}

// Refutable returns nil if a transcript can be refuted now. before is the task's
// verdict, if it has one, and accepted what it accepted.
func (m *Machine) Refutable(id canon.Digest, task uint64, transcript canon.Digest, before *Verdict, accepted wire.Outcome) error {
	if err := m.Auditable(Audit{Order: id, Task: task, Verdict: before}); err != nil {
		return err
	}
	if before != nil && !before.Undecided && accepted.Transcript == transcript {
		return canon.Fail(wire.CodeVoteMismatch, "task %d of order %s was accepted with that transcript: only an audit of the whole task overturns it", task, id.Short())
	}
	return nil
}

// Refute takes a refutation. The same again changes nothing.
func (m *Machine) Refute(now time.Time, r Refutation) []Action {
	m.newDay(now)
	o := m.order(r.Order)
	o.when(func() { m.refute(o, r) })
	m.restate(now, o)
	m.feed(now, feedSessions)
	return m.done()
}

func (m *Machine) refute(o *order, r Refutation) {
	if r.Task >= o.Tasks || o.refuted[r.Task][r.Transcript] {
		return
	}
	if o.refuted[r.Task] == nil {
		o.refuted[r.Task] = map[canon.Digest]bool{}
	}
	o.refuted[r.Task][r.Transcript] = true
	if o.Adaptive != nil {
		for _, k := range r.Caught {
			m.catch(o, k, catch{dayOf(r.At), r.Order, r.Task, true}, false)
		}
	}
	if t := o.open[r.Task]; t != nil {
		m.review(t)
	}
}

// counted are the votes of a task that no auditor has refuted.
func (t *task) counted() []ballot {
	refuted := t.order.refuted[t.num]
	if len(refuted) == 0 {
		return t.votes
	}
	var all []ballot
	for _, b := range t.votes {
		if !refuted[b.outcome.Transcript] {
			all = append(all, b)
		}
	}
	return all
}
