package hub

import (
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
)

// landed is a vote whose fate on the disk is known.
type landed struct {
	session *session
	vote    store.Vote
	put     store.Put
}

// land counts and answers the votes that became durable together. What it makes
// the hub say to a worker goes out as one frame, if it fits.
func (h *Hub) land() {
	if len(h.landed) == 0 {
		return
	}
	h.mu.Lock()
	h.landing = true
	for _, l := range h.landed {
		if l.put != store.Conflict {
			h.count(l)
		}
	}
	h.landing = false
	for _, s := range h.woken {
		h.serving.Go(s.flush) // the session itself is counted still
	}
	clear(h.woken)
	h.woken = h.woken[:0]
	h.mu.Unlock()
	for _, l := range h.landed {
		if v := &l.vote; l.put == store.Conflict {
			h.refuse(l.session, v.Lease, refusal(wire.CodeVoteDuplicate, "worker %s has voted otherwise on task %d of order %s", v.Worker, v.Task, v.Order.Short()))
		}
	}
	clear(h.landed)
	h.landed = h.landed[:0]
}

// count takes a vote into account, and acknowledges it.
func (h *Hub) count(l landed) {
	if l.put == store.Stored {
		h.counted(l.vote.Order)
	} else if err := l.session.useless(); err != nil {
		l.session.leave(public(err))
	}
	verdict, actions := h.machine.Cast(h.now(), fact(l.vote))
	h.metrics.votes.WithLabelValues(string(verdict)).Inc()
	h.post(l.session, outgoing{msg: &wire.Ack{ID: l.vote.Lease, Verdict: verdict}})
	h.perform(actions)
}
