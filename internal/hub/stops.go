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

// postStop ends an order, a task or a release on its researcher's word.
func (h *Hub) postStop(w http.ResponseWriter, r *http.Request) error {
	_, s, err := signedForm(w, r, 0)
	if err != nil {
		return err
	}
	stop, who, err := release.OpenStop(s.statement, s.signature, h.Policy(), h.stopped)
	if err != nil {
		return err
	}
	if stop.Task != nil {
		if err := h.stoppable(stop.TargetSHA256, *stop.Task); err != nil {
			return err
		}
	}
	st := store.Statement{Digest: canon.Sum(s.statement), Bytes: s.statement, Signature: s.signature, At: h.now()}
	fresh, err := h.store.PutStatement(store.Stop, st)
	if err != nil {
		return err
	}
	h.catalog.addStop(st.Digest, s)
	h.work(func(*job.Machine) []job.Action { return h.applyStop(stop) })
	if err := h.notary.advance(); err != nil { // after the stop, which waits for nothing
		h.fail(err)
		return err
	}
	h.log.Info("stopped by a statement", "target", stop.Target, "digest", stop.TargetSHA256, "researcher", who.Name, "reason", stop.Reason)
	h.metrics.admitted.WithLabelValues("stop").Inc()
	return answer(w, created(fresh), wire.StopAdmitted{Stop: st.Digest})
}

// stoppable refuses to stop a task that is none, or one more than can be stopped.
func (h *Hub) stoppable(order canon.Digest, task uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.machine.Stoppable(order, task)
}

// stopped names the release that a stop is about.
func (h *Hub) stopped(s *release.Stop) (string, error) {
	if s.Target == "release" {
		r, err := h.catalog.release(s.TargetSHA256)
		if err != nil {
			return "", err
		}
		return r.Name, nil
	}
	o, err := h.catalog.order(s.TargetSHA256)
	if err != nil {
		return "", err
	}
	return o.release.Name, nil
}

const maxKillBody = 4 << 10

// postKill ends a task, an order, a release or everything on an operator's word. It is
// pushed to the workers first: stopping need not wait for a disk. The answer
// comes when it is durable.
func (h *Hub) postKill(w http.ResponseWriter, r *http.Request) error {
	who, err := h.bearer(r, roleOperator)
	if err != nil {
		return err
	}
	k, err := h.readKill(w, r)
	if err != nil {
		return err
	}
	kill := store.Kill{Scope: k.Scope, Target: k.Target, Reason: k.Reason, Operator: who, At: h.now().UTC().Truncate(time.Second)}
	h.work(func(*job.Machine) []job.Action { return h.applyKill(h.now(), kill) })
	if _, err := h.store.PutKill(kill); err != nil {
		h.fail(err)
		return err
	}
	h.log.Warn("killed by an operator", "scope", k.Scope, "target", k.Target, "reason", k.Reason, "token", who, "client", h.client(r))
	h.metrics.kills.WithLabelValues(string(k.Scope)).Inc()
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h *Hub) readKill(w http.ResponseWriter, r *http.Request) (k wire.KillRequest, err error) {
	if err := readJSON(w, r, maxKillBody, &k); err != nil {
		return k, err
	}
	if k.Scope == wire.KillLease {
		return k, refusal(wire.CodeRequest, "scope %q is not for operators: all, release, order or task", k.Scope)
	}
	// It goes to the workers as it is, so it must be a good message.
	if _, err := wire.Encode(&wire.Kill{Scope: k.Scope, Target: k.Target, Reason: k.Reason}); err != nil {
		return k, refusal(wire.CodeRequest, "%v", err)
	}
	switch k.Scope {
	case wire.KillAll:
		return k, nil
	case wire.KillTask:
		order, task, err := wire.ParseTaskTarget(k.Target)
		if err == nil {
			err = h.stoppable(order, task)
		}
		return k, err
	}
	d, err := canon.ParseDigest(k.Target)
	if err == nil && k.Scope == wire.KillOrder {
		_, err = h.catalog.order(d)
	} else if err == nil {
		_, err = h.catalog.release(d)
	}
	return k, err
}

// postResume lifts a halt; what was stopped stays stopped. It is durable
// before anything starts again.
func (h *Hub) postResume(w http.ResponseWriter, r *http.Request) error {
	who, err := h.bearer(r, roleOperator)
	if err != nil {
		return err
	}
	resume := store.Kill{Scope: wire.KillAll, Resume: true, Operator: who, At: h.now().UTC().Truncate(time.Second)}
	if _, err := h.store.PutKill(resume); err != nil {
		h.fail(err)
		return err
	}
	h.work(func(*job.Machine) []job.Action { return h.applyKill(h.now(), resume) })
	h.log.Warn("resumed by an operator", "token", who, "client", h.client(r))
	w.WriteHeader(http.StatusNoContent)
	return nil
}
