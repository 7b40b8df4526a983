package job

import (
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// Verdict is the fact of a durable verdict.
type Verdict struct {
	Order          canon.Digest
	Task           uint64
	Undecided      bool
	Stopped        bool   // undecided, because somebody stopped the task
	Audited        bool   // it is an auditor's, and stands
	Round          uint32 // how many verdicts on the task were withdrawn before
	At             time.Time
	Passed, Caught []wire.Key
}

// Recheck weighs a verdict again that is on disk, because a worker behind it was
// caught. votes are all on its task.
func (m *Machine) Recheck(now time.Time, v Verdict, accepted wire.Outcome, votes []Vote) []Action {
	m.newDay(now)
	o := m.orders[v.Order]
	if o == nil || !o.admitted || o.Adaptive == nil || v.Undecided || v.Task >= o.Tasks || len(votes) == 0 ||
		!o.decided.has(o.perm.position(v.Task)) || o.rounds[v.Task] != v.Round || o.leaving[v.Task] || o.audited[v.Task] {
		return m.done()
	}
	t := &task{order: o, num: v.Task}
	for _, b := range votes {
		t.votes = append(t.votes, b.ballot())
	}
	if y := m.weigh(t); !y.won || y.best != accepted {
		o.leaving[v.Task] = true
		m.do(Withdraw{v})
	}
	return m.done()
}

// Withdrawn takes a withdrawal that is on disk: all verdicts of rounds below v's
// and v's own are none any more. votes are all on the task.
func (m *Machine) Withdrawn(now time.Time, v Verdict, votes []Vote) []Action {
	m.newDay(now)
	o := m.order(v.Order)
	o.when(func() { m.withdraw(o, v, votes) })
	m.restate(now, o)
	m.feed(now, feedSessions)
	return m.done()
}

// unsay takes back what a verdict counted for.
func (m *Machine) unsay(o *order, v Verdict) {
	o.decided.remove(o.perm.position(v.Task))
	*o.count(v.Undecided, v.Stopped)--
	delete(o.off, v.Task)
	m.learn(o, v, true)
}

// inRound notes how many verdicts on a task were withdrawn.
func (o *order) inRound(task uint64, round uint32) {
	if before := o.rounds[task]; round > before {
		o.rounds[task] = round
		o.withdrawn += uint64(round - before)
	}
}

func (m *Machine) withdraw(o *order, v Verdict, votes []Vote) {
	if v.Task >= o.Tasks || v.Round < o.rounds[v.Task] {
		return
	}
	if o.decided.has(o.perm.position(v.Task)) {
		if v.Round > o.rounds[v.Task] {
			return // of a verdict that was never here
		}
		m.unsay(o, v)
	}
	delete(o.leaving, v.Task)
	o.inRound(v.Task, v.Round+1)
	t := o.begin(v.Task)
	t.lanes = nil
	for _, b := range votes {
		m.hear(t, b)
	}
	m.review(t)
}
