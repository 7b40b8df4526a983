package hub

import (
	"net/http"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
)

// maxAuditBody is an output of a mebibyte in base64, and the rest.
const maxAuditBody = 1_500_000

// postAudit takes an auditor's word on a task: it is the verdict from then on,
// whatever the votes say.
func (h *Hub) postAudit(w http.ResponseWriter, r *http.Request) error {
	who, err := h.bearer(r, roleAuditor)
	if err != nil {
		return err
	}
	deadlines(w, readTimeout, readTimeout)
	var q wire.AuditRequest
	if err := readJSON(w, r, maxAuditBody, &q); err != nil {
		return err
	}
	if err := h.checkAudit(&q); err != nil {
		return err
	}
	if err := h.settled(r.Context()); err != nil { // what was decided must be on disk
		return err
	}
	verdict, err := h.audit(&q)
	if err != nil {
		return err
	}
	h.log.Info("audit taken", "order", q.Audit.Order, "task", q.Audit.Task, "verdict", verdict, "auditor", q.Auditor, "token", who)
	return answer(w, http.StatusCreated, wire.Audited{Verdict: verdict})
}

// checkAudit checks an audit as votes are checked.
func (h *Hub) checkAudit(q *wire.AuditRequest) error {
	a := &q.Audit
	if err := wire.VerifyAudit(a, q.Auditor, q.Signature); err != nil {
		return err
	}
	o, err := h.catalog.order(a.Order)
	if err != nil {
		return err
	}
	if a.Task >= o.Tasks() {
		return refusal(wire.CodeVoteMismatch, "order %s has %d tasks, none has the number %d", a.Order.Short(), o.Tasks(), a.Task)
	}
	input, err := o.inputDigest(a.Task)
	if err != nil {
		return err
	}
	switch {
	case a.Module != o.release.ModuleSHA256 || a.Input != input:
		return refusal(wire.CodeVoteMismatch, "the audit of task %d is of another module or input", a.Task)
	case a.Output != canon.Sum(q.Output) || len(q.Output) > int(o.release.Limits.OutputBytes):
		return refusal(wire.CodeVoteMismatch, "the audit of task %d has another output than it says", a.Task)
	case o.Redundancy.First != nil:
		return refusal(wire.CodeVoteMismatch, "the first outcome counts in order %s: another run proves nothing", a.Order.Short())
	}
	return nil
}

// audit tells the machine, and returns when the verdict is on disk.
func (h *Hub) audit(q *wire.AuditRequest) (verdict string, err error) {
	a := &q.Audit
	statement, err := a.Statement()
	if err != nil {
		return "", err
	}
	before, votes, err := h.store.VerdictOn(a.Order, a.Task)
	if err != nil {
		return "", err
	}
	fact := job.Audit{Order: a.Order, Task: a.Task, Outcome: a.Outcome(), Votes: facts(votes)}
	verdict = "decided"
	if before != nil {
		v := verdictFact(*before)
		fact.Verdict, fact.Accepted = &v, before.Outcome
		if verdict = "overturned"; before.Undecided {
			verdict = "decided"
		} else if before.Outcome == fact.Outcome {
			verdict = "confirmed"
		}
	}
	done := make(chan error, 1)
	if err := h.conclude(fact, &store.Signed{Auditor: q.Auditor, Signature: q.Signature, Statement: statement}, q.Output, done); err != nil {
		return "", err
	}
	if err := <-done; err != nil {
		h.fail(err)
		return "", err
	}
	if before != nil {
		h.uncount(before)
	}
	return verdict, nil
}

// conclude writes an audit before whatever follows from it.
func (h *Hub) conclude(a job.Audit, signed *store.Signed, output []byte, done chan<- error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.machine.Auditable(a); err != nil {
		return err
	}
	actions := h.machine.Audit(h.now(), a)
	for _, x := range actions {
		d, ok := x.(job.Decide)
		if !ok || !d.Audited {
			continue
		}
		v := durableVerdict(d)
		v.Evidence.Audit = signed
		if err := h.store.PutAudit(v, output, func(err error) { done <- err }); err != nil {
			h.fail(err)
			return err
		}
	}
	if a.Verdict == nil {
		h.results.Add(1)
	}
	h.perform(actions)
	return nil
}
