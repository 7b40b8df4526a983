package hub

import (
	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
)

// perform sees to what the machine wants done. The caller holds h.mu; nothing
// here waits for a disk or a network.
func (h *Hub) perform(actions []job.Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case job.Lend:
			h.metrics.lent.Inc()
			if a.Lease.From != (canon.Digest{}) {
				h.metrics.resumed.Inc()
			}
			if s := h.sessions[a.Session]; s != nil {
				s.worked = true
			}
			h.send(a.Session, outgoing{lease: &a.Lease})
		case job.Idle:
			h.send(a.Session, outgoing{msg: &wire.Idle{}})
		case job.EndLease:
			h.send(a.Session, outgoing{msg: &wire.Kill{Scope: wire.KillLease, Target: a.Lease.String(), Reason: printable(a.Reason, wire.MaxReason)}})
		case job.Broadcast:
			h.broadcast(&wire.Kill{Scope: a.Scope, Target: a.Target, Reason: printable(a.Reason, wire.MaxReason)})
		case job.Resume:
			h.broadcast(&wire.Resume{})
		case job.Decide:
			if !a.Audited { // an audit is on its way already
				h.decide(a)
			}
		case job.Suspect:
			h.suspect(a)
		case job.Withdraw:
			h.withdraw(a.Verdict)
		case job.Changed:
			h.log.Info("order "+string(a.State), "order", a.Order, "reason", a.Reason)
			if a.State == job.Done || a.State == job.Stopped || a.State == job.Ended {
				h.forgetCheckpoints(a.Order)
			}
			h.noteEnd(a.Order, a.State)
		case job.Gather:
			h.gather(a.Order)
		case job.Reclaimed:
			h.metrics.ended.WithLabelValues(string(a.Why)).Inc()
			h.log.Info("lease reclaimed", "why", a.Why, "lease", a.Lease.ID, "order", a.Lease.Order, "task", a.Lease.Task, "worker", a.Lease.Worker)
		}
	}
}

func (h *Hub) send(id job.SessionID, o outgoing) {
	if s := h.sessions[id]; s != nil {
		h.post(s, o)
	}
}

// post sends a message, or queues it while votes land. The caller holds h.mu.
func (h *Hub) post(s *session, o outgoing) {
	if !h.landing {
		s.send(o)
	} else if s.put(o) {
		h.woken = append(h.woken, s)
	}
}

// broadcast sends one encoding of a message to every session.
func (h *Hub) broadcast(m wire.FromHub) {
	raw, err := wire.Encode(m)
	if err != nil {
		h.log.Error("a message cannot be sent", "error", err)
		return
	}
	for _, s := range h.sessions {
		h.post(s, outgoing{raw: raw})
	}
}

// decide makes a verdict durable. The votes that it stands on are durable
// already, so after a crash it would be concluded again.
func (h *Hub) decide(d job.Decide) {
	h.results.Add(1)
	h.pending.Add(1)
	switch {
	case d.Stopped:
		h.log.Info("task stopped", "order", d.Order, "task", d.Task)
	case d.Undecided:
		h.log.Warn("task undecided", "order", d.Order, "task", d.Task, "strongest", d.Agree)
	}
	h.metrics.decided(d)
	err := h.store.PutVerdict(durableVerdict(d), func(err error) {
		h.pending.Add(-1)
		if err != nil {
			h.fail(err)
		}
	})
	if err != nil {
		h.pending.Add(-1)
		h.fail(err)
	}
}

// leaseMessage makes the message that carries a lease, which its frame's token
// goes with.
func (h *Hub) leaseMessage(l job.Lease) (*wire.Lease, error) {
	o, err := h.catalog.order(l.Order)
	if err != nil {
		return nil, err
	}
	input, err := o.input.input(l.Task)
	if err != nil {
		return nil, err
	}
	proof, err := o.input.proof(l.Task)
	if err != nil {
		return nil, err
	}
	return &wire.Lease{ID: l.ID, Order: l.Order, Release: o.release.digest, Task: l.Task, Lane: l.Lane,
		Input: input, Proof: proof, Checkpoint: l.From, Seconds: uint32(l.Until.Sub(l.Since).Seconds())}, nil
}

// take brings a vote from a session to the disk, and answers when it is there.
// It returns an error if the vote is refused at once.
func (h *Hub) take(s *session, m *wire.Result) error {
	l, err := h.leaseOf(s, m.Vote.Lease, m.Token)
	if err != nil {
		return err
	}
	if err := h.checkVote(s.worker, l, m); err != nil {
		return err
	}
	v := store.Vote{Vote: m.Vote, Worker: l.Worker, Seal: m.Seal, Net: l.Net, At: h.now()}
	if err := h.keepLinks(&v, m.Links); err != nil {
		h.fail(err)
		return refusal(wire.CodeInternal, "the hub cannot write")
	}
	err = h.store.PutVote(v, m.Output, func(put store.Put, err error) {
		if err != nil {
			h.fail(err)
			return
		}
		h.landed = append(h.landed, landed{s, v, put})
	})
	if err != nil {
		h.fail(err)
		return refusal(wire.CodeInternal, "the hub cannot write")
	}
	return nil
}

// leaseOf is the lease that a vote or checkpoint is on: one that this worker
// holds, or one that the token says was lent, which costs as much as a signature.
func (h *Hub) leaseOf(s *session, id wire.LeaseID, token string) (job.Lease, error) {
	h.mu.Lock()
	l, held := h.machine.Alive(s.id, id)
	h.mu.Unlock()
	switch {
	case held:
		return l, nil
	case token == "":
		return l, refusal(wire.CodeLeaseToken, "lease %s is not known any more: show its token", id)
	}
	return h.tokens.readLease(token, id)
}

// keepLinks keeps what tells apart the segments of two votes, if there is more
// than one.
func (h *Hub) keepLinks(v *store.Vote, links []byte) error {
	if v.Segments < 2 {
		return nil
	}
	return h.store.PutLinks(v, links, func(err error) {
		if err != nil {
			h.fail(err)
		}
	})
}

// refuse tells a worker that a vote is not taken, and takes the lease back.
func (h *Hub) refuse(s *session, id wire.LeaseID, err error) {
	code, text := public(err)
	h.metrics.refused.WithLabelValues(code).Inc()
	h.log.Info("vote refused", "code", code, "error", err, "lease", id, "worker", s.worker, "client", s.client)
	s.send(outgoing{msg: &wire.Refused{ID: id, Code: code, Message: printable(text, wire.MaxErrorText)}})
	h.work(func(m *job.Machine) []job.Action {
		_, _, actions := m.Return(h.now(), s.id, id, code != wire.CodeOrderEnded)
		return actions
	})
}

// checkVote compares a vote with its token, its task and its release.
func (h *Hub) checkVote(worker wire.Key, l job.Lease, m *wire.Result) error {
	v := &m.Vote
	if l.Worker != worker {
		return refusal(wire.CodeLeaseInvalid, "the lease was lent to worker %s", l.Worker)
	}
	if m.Seal.Place == nil { // else its sheet was verified
		if err := wire.VerifyVote(v, worker, m.Seal); err != nil {
			return refusal(wire.CodeVoteSignature, "%v", err)
		}
	}
	h.mu.Lock()
	err := h.machine.Admissible(l.Order, l.Task)
	h.mu.Unlock()
	if err != nil {
		return err
	}
	o, err := h.catalog.order(l.Order)
	if err != nil {
		return err
	}
	input, err := o.inputDigest(l.Task)
	if err != nil {
		return err
	}
	limits := o.release.Limits
	switch mismatch := func(what string) error {
		return refusal(wire.CodeVoteMismatch, "vote on task %d of order %s: %s", l.Task, l.Order.Short(), what)
	}; {
	case v.Order != l.Order || v.Task != l.Task || v.Lane != l.Lane || v.Lease != l.ID:
		return mismatch("it is not on what the lease lends")
	case v.Module != o.release.ModuleSHA256:
		return mismatch("the module is not the release's")
	case v.Input != input:
		return mismatch("the input is not the task's")
	case v.Output != canon.Sum(m.Output):
		return mismatch("the output's sha256 differs")
	case !wire.ChainEnds(m.Links, v.Segments, v.Transcript):
		return mismatch("the links do not end in the transcript")
	case len(m.Output) > int(limits.OutputBytes):
		return mismatch("the output is longer than the release allows")
	case v.Fuel > limits.TaskFuel || v.End == wire.EndFuel && v.Fuel != limits.TaskFuel:
		return mismatch("such fuel cannot have been used")
	}
	return nil
}
