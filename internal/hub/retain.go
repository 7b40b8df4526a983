package hub

import (
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/store"
)

// MinKeep is the shortest time for which votes of ended orders are kept: as
// long as a result of what they lent may come, which is then one that was
// there before.
const MinKeep = 7 * 24 * time.Hour

const retainEvery = 10 * time.Minute

// noteEnd remembers when an order entered a state, and when it ended, or that it
// goes on after all, as one does that a policy left out for a while. Under h.mu.
func (h *Hub) noteEnd(order canon.Digest, state job.State) {
	done := func(err error) {
		if err != nil {
			h.fail(err)
		}
	}
	var err error
	if state == job.Queued || state == job.Running || state == job.Paused {
		err = h.store.DropEnded(order, done)
	} else {
		err = h.store.PutEnded(order, h.now(), done)
	}
	if err == nil {
		info, _ := h.machine.Info(order)
		err = h.store.PutMoment(order, store.Moment{At: h.now().UTC(), State: string(state), Reason: info.Reason,
			Accepted: info.Accepted, Undecided: info.Undecided, Withdrawn: info.Withdrawn}, done)
	}
	if err != nil {
		h.fail(err)
	}
}

func (h *Hub) retain() {
	t := time.NewTicker(retainEvery)
	defer t.Stop()
	for {
		if err := h.prune(); err != nil {
			h.fail(err)
			return
		}
		select {
		case <-h.ctx.Done():
			return
		case <-t.C:
		}
	}
}

// prune removes the votes of orders that ended long enough ago.
func (h *Hub) prune() error {
	if h.opt.KeepFinished == 0 {
		return nil
	}
	var old []canon.Digest
	before := h.now().Add(-h.opt.KeepFinished)
	if err := h.store.Ended(func(e store.Ended) error {
		if !e.Pruned && e.At.Before(before) {
			old = append(old, e.Order)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, d := range old {
		if h.ctx.Err() != nil {
			return nil
		}
		n, err := h.store.Prune(d)
		if err != nil {
			return err
		}
		h.stored.Add(-uint64(n))
		if o, err := h.catalog.order(d); err == nil {
			o.votes.Store(0)
			o.stats.forgetVotes()
		}
		h.log.Info("the votes of an order that ended were removed", "order", d, "votes", n, "kept", h.opt.KeepFinished)
	}
	return nil
}
