package hub

import (
	"net/http"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/release"
)

// postPause pauses an order, or lets it go on, on its researcher's word.
func (h *Hub) postPause(w http.ResponseWriter, r *http.Request) error {
	_, s, err := signedForm(w, r, 0)
	if err != nil {
		return err
	}
	p, who, err := release.OpenPause(s.statement, s.signature, h.Policy(), func(d canon.Digest) (string, error) {
		return h.stopped(&release.Stop{Target: "order", TargetSHA256: d})
	})
	if err != nil {
		return err
	}
	fresh, err := h.keepPause(p, s)
	if err != nil {
		return err
	}
	if err := h.notary.advance(); err != nil { // after the pause, which waits for nothing
		h.fail(err)
		return err
	}
	h.log.Info("paused by a statement", "paused", p.Paused, "order", p.OrderSHA256, "researcher", who.Name, "reason", p.Reason)
	h.metrics.admitted.WithLabelValues("pause").Inc()
	return answer(w, created(fresh), wire.PauseAdmitted{Pause: canon.Sum(s.statement), Sequence: p.Sequence})
}

// keepPause makes a pause durable that comes in its turn, and then effective.
func (h *Hub) keepPause(p *release.Pause, s signed) (fresh bool, err error) {
	h.turn.Lock()
	defer h.turn.Unlock()
	digest := canon.Sum(s.statement)
	h.mu.Lock()
	last := h.machine.PauseSequence(p.OrderSHA256)
	h.mu.Unlock()
	if _, known := h.catalog.statement(digest); known && p.Sequence == last {
		return false, nil
	}
	if p.Sequence <= last {
		return false, refusal("rollback", "pause: its sequence is %d, order %s has had %d: sign another", p.Sequence, p.OrderSHA256.Short(), last)
	}
	if _, err := h.store.PutStatement(store.Pause, store.Statement{Digest: digest, Bytes: s.statement, Signature: s.signature, At: h.now()}); err != nil {
		return false, err
	}
	h.catalog.addStop(digest, s)
	h.work(func(m *job.Machine) []job.Action { return m.Pause(h.now(), pauseFact(p)) })
	return true, nil
}

func pauseFact(p *release.Pause) job.Pause {
	return job.Pause{Order: p.OrderSHA256, Sequence: p.Sequence, Paused: p.Paused, Reason: p.Reason}
}

// postOperatorPause pauses an order, or lets it go on, on an operator's word.
func (h *Hub) postOperatorPause(w http.ResponseWriter, r *http.Request) error {
	who, err := h.bearer(r, roleOperator)
	if err != nil {
		return err
	}
	var q wire.PauseRequest
	if err := readJSON(w, r, maxKillBody, &q); err != nil {
		return err
	}
	if _, err := h.catalog.order(q.Order); err != nil {
		return err
	}
	// It goes to the workers, so it must fit into a message.
	if _, err := wire.Encode(&wire.Kill{Scope: wire.KillOrder, Target: q.Order.String(), Reason: q.Reason}); err != nil {
		return refusal(wire.CodeRequest, "%v", err)
	}
	k := store.Kill{Scope: wire.KillOrder, Target: q.Order.String(), Reason: q.Reason, Operator: who, Pause: q.Paused, Resume: !q.Paused, At: h.now().UTC().Truncate(time.Second)}
	if k.Seq, err = h.store.PutKill(k); err != nil {
		h.fail(err)
		return err
	}
	h.work(func(*job.Machine) []job.Action { return h.applyKill(h.now(), k) })
	h.log.Warn("paused by an operator", "paused", q.Paused, "order", q.Order, "reason", q.Reason, "token", who, "client", h.client(r))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h *Hub) loadPauses() error {
	all, err := h.statements(store.Pause)
	if err != nil {
		return err
	}
	for _, st := range all {
		p, err := release.ParsePause(st.Bytes)
		if err != nil {
			return err
		}
		// As with stops, who may sign today does not matter: it was said.
		h.catalog.addStop(st.Digest, signed{st.Bytes, st.Signature})
		h.perform(h.machine.Pause(h.now(), pauseFact(p)))
	}
	return nil
}
