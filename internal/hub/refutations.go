package hub

import (
	"bytes"
	"cmp"
	"net/http"
	"slices"
	"strconv"

	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
)

const maxRefutationBody = 8192

// postRefutation takes an auditor's word that one segment of a transcript is
// wrong: votes with it count for nothing from then on.
func (h *Hub) postRefutation(w http.ResponseWriter, r *http.Request) error {
	who, err := h.bearer(r, roleAuditor)
	if err != nil {
		return err
	}
	deadlines(w, readTimeout, readTimeout)
	var q wire.RefutationRequest
	if err := readJSON(w, r, maxRefutationBody, &q); err != nil {
		return err
	}
	if err := h.checkRefutation(&q); err != nil {
		return err
	}
	if err := h.settled(r.Context()); err != nil { // what was decided must be on disk
		return err
	}
	caught, err := h.refute(&q)
	if err != nil {
		return err
	}
	f := &q.Refutation
	h.log.Warn("transcript refuted", "order", f.Order, "task", f.Task, "segment", f.Segment, "transcript", f.Transcript, "caught", len(caught), "auditor", q.Auditor, "token", who)
	return answer(w, http.StatusCreated, wire.Refuted{Caught: caught})
}

// checkRefutation compares a refutation with its task and with the links of the
// transcript that it is about.
func (h *Hub) checkRefutation(q *wire.RefutationRequest) error {
	f := &q.Refutation
	if err := wire.VerifyRefutation(f, q.Auditor, q.Signature); err != nil {
		return err
	}
	o, err := h.catalog.order(f.Order)
	if err != nil {
		return err
	}
	if f.Task >= o.Tasks() {
		return refusal(wire.CodeVoteMismatch, "order %s has %d tasks, none has the number %d", f.Order.Short(), o.Tasks(), f.Task)
	}
	input, err := o.inputDigest(f.Task)
	if err != nil {
		return err
	}
	links, err := h.store.Links(f.Order, f.Task, f.Transcript)
	switch {
	case err != nil:
		return err
	case f.Module != o.release.ModuleSHA256 || f.Input != input:
		return refusal(wire.CodeVoteMismatch, "the refutation on task %d is of another module or input", f.Task)
	case o.Redundancy.First != nil:
		return refusal(wire.CodeVoteMismatch, "the first outcome counts in order %s: another run proves nothing", f.Order.Short())
	case !f.Refutes(links):
		return refusal(wire.CodeVoteMismatch, "no transcript %s on task %d has another link behind that one at segment %d", f.Transcript.Short(), f.Task, f.Segment)
	}
	return nil
}

// refute tells the machine, and returns when the refutation is on disk.
func (h *Hub) refute(q *wire.RefutationRequest) (caught []wire.Key, err error) {
	f := &q.Refutation
	statement, err := f.Statement()
	if err != nil {
		return nil, err
	}
	before, votes, err := h.store.VerdictOn(f.Order, f.Task)
	if err != nil {
		return nil, err
	}
	if caught, err = h.authors(f, votes); err != nil {
		return nil, err
	}
	r := store.Refutation{Order: f.Order, Task: f.Task, Transcript: f.Transcript, At: h.now(), Caught: caught,
		Signed: store.Signed{Auditor: q.Auditor, Signature: q.Signature, Statement: statement}}
	done := make(chan error, 1)
	if err := h.concludeRefutation(r, before, done); err != nil {
		return nil, err
	}
	if err := <-done; err != nil {
		h.fail(err)
		return nil, err
	}
	return caught, nil
}

// concludeRefutation writes a refutation before whatever follows from it.
func (h *Hub) concludeRefutation(r store.Refutation, before *store.Verdict, done chan<- error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var verdict *job.Verdict
	var accepted wire.Outcome
	if before != nil {
		v := verdictFact(*before)
		verdict, accepted = &v, before.Outcome
	}
	if err := h.machine.Refutable(r.Order, r.Task, r.Transcript, verdict, accepted); err != nil {
		return err
	}
	if err := h.store.PutRefutation(r, func(err error) { done <- err }); err != nil {
		h.fail(err)
		return err
	}
	h.perform(h.machine.Refute(h.now(), refutationFact(r)))
	return nil
}

func refutationFact(r store.Refutation) job.Refutation {
	return job.Refutation{Order: r.Order, Task: r.Task, Transcript: r.Transcript, At: r.At, Caught: r.Caught}
}

// authors lists who signed the refuted segment as their own: those who voted for
// the transcript and had done that segment, and of those who handed it on, the
// ones whose checkpoint is kept.
func (h *Hub) authors(f *wire.Refutation, votes []store.Vote) (all []wire.Key, err error) {
	all = []wire.Key{}
	for _, v := range votes {
		if v.Transcript == f.Transcript && v.From <= f.Segment {
			all = append(all, v.Worker)
		}
	}
	states, err := h.store.States(f.Order, f.Task)
	if err != nil {
		return nil, err
	}
	for _, s := range states {
		data, err := h.store.CheckpointFile(s.File)
		if err != nil {
			continue // it is not needed any more
		}
		c, err := wire.ParseCheckpointFile(data)
		if err == nil && c.Reached.From <= f.Segment && f.Refutes(c.Links) {
			all = append(all, c.Worker)
		}
	}
	slices.SortFunc(all, func(a, b wire.Key) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(all), nil
}

func (h *Hub) loadRefutations() error {
	return h.store.Refutations(func(r store.Refutation) error {
		h.perform(h.machine.Refute(h.now(), refutationFact(r)))
		return nil
	})
}

// getCheckpoints lists what the hub has of a task, for auditors who settle a
// dispute from there.
func (h *Hub) getCheckpoints(w http.ResponseWriter, r *http.Request) error {
	if _, err := h.bearer(r, roleAuditor, roleOperator); err != nil {
		return err
	}
	o, err := h.pathOrder(r)
	if err != nil {
		return err
	}
	task, err := strconv.ParseUint(r.PathValue("task"), 10, 64)
	if err != nil || task >= o.Tasks() {
		return refusal(wire.CodeNotFound, "order %s has no task %.20q", o.digest.Short(), r.PathValue("task"))
	}
	states, err := h.store.States(o.digest, task)
	if err != nil {
		return err
	}
	list := wire.CheckpointList{Checkpoints: []wire.CheckpointInfo{}}
	for _, s := range states {
		list.Checkpoints = append(list.Checkpoints, wire.CheckpointInfo{Segments: s.Segments, Worker: s.Worker, SHA256: s.File})
	}
	slices.SortStableFunc(list.Checkpoints, func(a, b wire.CheckpointInfo) int { return cmp.Compare(a.Segments, b.Segments) })
	return answer(w, http.StatusOK, list)
}
