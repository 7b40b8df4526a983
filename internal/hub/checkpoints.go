package hub

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
)

// Outcomes of an offer, for metrics and logs.
const (
	offerKept    = "kept"
	offerOld     = "old" // there is a better one, or it is too early, or it is no use
	offerRefused = "refused"
	offerFull    = "full"
)

// offer takes a worker's checkpoint and answers with what the hub has. What is
// cheap is checked first, so that a worker that sends too many costs little.
// It waits for the disk: when the worker returns the lease next, the lane must
// be known to have a checkpoint. It reports whether the checkpoint is kept.
func (h *Hub) offer(s *session, m *wire.Offer) (kept bool) {
	l, err := h.leaseOf(s, m.Reached.Lease, m.Token)
	if err == nil && l.Worker != s.worker {
		err = refusal(wire.CodeLeaseInvalid, "the lease was lent to worker %s", l.Worker)
	}
	if err != nil {
		h.answerOffer(s, m, offerRefused, 0, err)
		return false
	}
	c := job.Checkpoint{Order: l.Order, Task: l.Task, Lane: l.Lane, Worker: l.Worker, Net: l.Net, Segments: m.Reached.Segments}
	h.mu.Lock()
	has, keep := h.machine.Offer(h.now(), l.ID, c)
	h.mu.Unlock()
	if !keep {
		h.answerOffer(s, m, offerOld, has, nil)
		return false
	}
	if err := h.checkOffer(s.worker, l, &m.Checkpoint); err != nil {
		h.answerOffer(s, m, offerRefused, has, err)
		return false
	}
	file, err := (&wire.CheckpointFile{Worker: s.worker, Checkpoint: m.Checkpoint}).Encode()
	if err != nil {
		h.answerOffer(s, m, offerRefused, has, err)
		return false
	}
	c.File = canon.Sum(file)
	told, done := make(chan struct{}), false
	err = h.store.PutCheckpoint(store.Checkpoint(c), file, func(kept bool, err error) {
		defer close(told)
		if err != nil {
			h.fail(err)
			return
		}
		done = h.keep(s, m, c, kept)
	})
	switch {
	case errors.Is(err, store.ErrFull):
		h.full()
		h.answerOffer(s, m, offerFull, has, nil)
	case err != nil:
		h.fail(err)
	default:
		<-told
		return done
	}
	return false
}

// keep tells machine and worker about a checkpoint whose fate is known, which it
// returns.
func (h *Hub) keep(s *session, m *wire.Offer, c job.Checkpoint, kept bool) bool {
	if !kept {
		h.mu.Lock()
		has := h.machine.Has(c.Order, c.Task, c.Lane)
		h.mu.Unlock()
		h.answerOffer(s, m, offerOld, has, nil)
		return kept
	}
	h.mu.Lock()
	has, actions := h.machine.Keep(h.now(), c)
	h.answerOffer(s, m, offerKept, has, nil)
	h.perform(actions)
	h.mu.Unlock()
	return kept
}

func (h *Hub) answerOffer(s *session, m *wire.Offer, how string, has uint32, why error) {
	h.metrics.checkpoints.WithLabelValues(how).Inc()
	if why != nil {
		h.log.Info("checkpoint refused", "code", canon.ClassOf(why), "error", why, "worker", s.worker, "client", s.client)
	}
	s.send(outgoing{msg: &wire.Kept{ID: m.Reached.Lease, Segments: has}})
}

// full says now and then that there is no room.
func (h *Hub) full() {
	now := h.now().Unix()
	if last := h.fullAt.Load(); now-last >= int64(time.Minute/time.Second) && h.fullAt.CompareAndSwap(last, now) {
		_, most := h.store.CheckpointBytes()
		h.log.Warn("no more checkpoints are kept: there is no room", "bytes", most)
	}
}

// checkOffer compares a checkpoint with its token, its task and its release.
// The work itself nobody can check here.
func (h *Hub) checkOffer(worker wire.Key, l job.Lease, p *wire.Checkpoint) error {
	r := &p.Reached
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
		return refusal(wire.CodeCheckpoint, "checkpoint of task %d of order %s: %s", l.Task, l.Order.Short(), what)
	}; {
	case r.Order != l.Order || r.Task != l.Task || r.Lane != l.Lane || r.Lease != l.ID:
		return mismatch("it is not of what the lease lends")
	case r.Module != o.release.ModuleSHA256:
		return mismatch("the module is not the release's")
	case r.Input != input:
		return mismatch("the input is not the task's")
	case r.Fuel > limits.TaskFuel:
		return mismatch("such fuel cannot have been used")
	case len(p.Output) > int(limits.OutputBytes):
		return mismatch("the output is longer than the release allows")
	}
	return p.Verify(worker)
}

// getCheckpoint serves what a lease names, as long as it is of use.
func (h *Hub) getCheckpoint(w http.ResponseWriter, r *http.Request) error {
	d, err := digestOf(r, "digest")
	if err != nil {
		return err
	}
	file, err := h.store.CheckpointFile(d)
	if errors.Is(err, fs.ErrNotExist) {
		return refusal(wire.CodeNotFound, "checkpoint %s is not here (any more)", d.Short())
	}
	if err != nil {
		return err
	}
	deadlines(w, downloadTimeout, downloadTimeout)
	immutable(w, "application/json")
	w.Header().Set("Cache-Control", "no-store") // it is of use to one worker, once
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file))
	return nil
}

// forgetCheckpoints drops those of an order that has ended.
func (h *Hub) forgetCheckpoints(order canon.Digest) {
	if err := h.store.DropCheckpoints(order, func(err error) {
		if err != nil {
			h.fail(err)
		}
	}); err != nil {
		h.fail(err)
	}
}

func (h *Hub) loadCheckpoints() error {
	return h.store.Checkpoints(func(c store.Checkpoint) error {
		_, actions := h.machine.Keep(h.now(), job.Checkpoint(c))
		h.perform(actions)
		return nil
	})
}
