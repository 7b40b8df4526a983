package hub

import (
	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
)

// pageCases is how many verdicts are weighed again before others get the machine.
const pageCases = 64

// suspect has what a caught worker decided weighed again, once all verdicts of
// before are on disk. Under h.mu.
func (h *Hub) suspect(s job.Suspect) {
	h.log.Warn("worker caught", "worker", s.Worker, "scope", s.Scope)
	err := h.store.Flush(func(err error) {
		if err != nil {
			h.fail(err)
			return
		}
		h.mu.Lock()
		h.suspects = append(h.suspects, s.Worker)
		h.mu.Unlock()
		select {
		case h.doubts <- struct{}{}:
		default: // it is told already
		}
	})
	if err != nil {
		h.fail(err)
	}
}

// doubt weighs again what suspects decided, as they come.
func (h *Hub) doubt() {
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-h.doubts:
		}
		h.mu.Lock()
		suspects := h.suspects
		h.suspects = nil
		h.mu.Unlock()
		for _, w := range suspects {
			if err := h.recheck(w); err != nil {
				h.fail(err)
				return
			}
		}
	}
}

func (h *Hub) recheck(worker wire.Key) error {
	var last *store.Verdict
	for h.ctx.Err() == nil {
		page, err := h.store.Behind(worker, last, pageCases)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, c := range page {
			h.work(func(m *job.Machine) []job.Action {
				return m.Recheck(h.now(), verdictFact(c.Verdict), c.Verdict.Outcome, facts(c.Votes))
			})
		}
		last = &page[len(page)-1].Verdict
	}
	return nil
}

// withdraw makes a withdrawal durable, and then opens the task again. Under h.mu.
func (h *Hub) withdraw(v job.Verdict) {
	h.results.Add(^uint64(0))
	h.pending.Add(1)
	h.log.Warn("verdict withdrawn", "order", v.Order, "task", v.Task, "round", v.Round)
	err := h.store.Withdraw(v.Order, v.Task, v.Round, func(err error) {
		h.pending.Add(-1)
		if err == nil {
			err = h.withdrawn(v)
		}
		if err != nil {
			h.fail(err)
		}
	})
	if err != nil {
		h.pending.Add(-1)
		h.fail(err)
	}
}

// withdrawn tells the machine, with the votes that are on disk by now: later
// ones come to it by themselves.
func (h *Hub) withdrawn(v job.Verdict) error {
	votes, err := h.store.VotesOn(v.Order, v.Task)
	if err != nil {
		return err
	}
	h.work(func(m *job.Machine) []job.Action { return m.Withdrawn(h.now(), v, facts(votes)) })
	return nil
}

func facts(votes []store.Vote) (all []job.Vote) {
	for _, v := range votes {
		all = append(all, fact(v))
	}
	return all
}

// verdictFact is a durable verdict as the machine takes it.
func verdictFact(v store.Verdict) job.Verdict {
	f := job.Verdict{Order: v.Order, Task: v.Task, Undecided: v.Undecided, Stopped: v.Stopped}
	if e := v.Evidence; e != nil {
		f.Audited, f.Round, f.At, f.Passed, f.Caught = e.Audit != nil, e.Round, e.At, e.Passed, e.Caught
	}
	return f
}

// durableVerdict is a verdict as the store takes it.
func durableVerdict(d job.Decide) store.Verdict {
	v := store.Verdict{Order: d.Order, Task: d.Task, Undecided: d.Undecided, Stopped: d.Stopped, Outcome: d.Outcome, Agree: d.Agree}
	if d.Weighed {
		v.Evidence = &store.Evidence{DoubtPPB: d.DoubtPPB, Round: d.Round, At: d.At, Behind: d.Behind, Passed: d.Passed, Caught: d.Caught}
	}
	return v
}

func (h *Hub) loadWithdrawals() error {
	return h.store.Withdrawals(func(w store.Withdrawal) error {
		h.perform(h.machine.Withdrawn(h.now(), job.Verdict{Order: w.Order, Task: w.Task, Round: w.Rounds - 1}, nil))
		return nil
	})
}
