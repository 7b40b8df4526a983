package volunteer

import (
	"context"
	"fmt"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// dispatch does what a message from the hub asks for. An error ends the
// connection.
func (v *Volunteer) dispatch(m wire.FromHub) error {
	switch m := m.(type) {
	case *wire.Lease:
		return v.lend(m)
	case *wire.Kept:
		v.kept(m)
		if bad := v.opt.Misbehave; bad != nil && bad.Left != nil && bad.Left(m) {
			return ErrVanished
		}
	case *wire.Ack:
		v.acknowledged(m)
	case *wire.Refused:
		v.refused(m)
	case *wire.Kill:
		v.kill(m)
	case *wire.Resume:
		v.log.Info("the halt is lifted")
	case *wire.Idle:
		v.log.Debug("the hub has nothing to lend")
	default:
		return refusedBy(m)
	}
	return nil
}

// maxUnacknowledged bounds the results that are kept for a hub that does not
// answer.
const maxUnacknowledged = 128

// lend takes a lease. A hub that lost its memory may lend more than was asked
// for, because it does not know what is held; one that goes far beyond that
// gets leases back.
func (v *Volunteer) lend(l *wire.Lease) error {
	if bad := v.opt.Misbehave; bad != nil && bad.Vanish != nil && bad.Vanish(l) {
		return ErrVanished
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.held[l.ID] != nil || v.results[l.ID] != nil:
		return nil // lent before the connection broke
	case v.stopping || len(v.held) >= 2*v.opt.Slots || len(v.results) >= maxUnacknowledged:
		v.send(&wire.Return{ID: l.ID, Reason: wire.ReturnStopped})
		return nil
	}
	t := newTask(l)
	v.held[l.ID] = t
	v.tasks.Go(func() { v.work(t) })
	return nil
}

func (v *Volunteer) acknowledged(a *wire.Ack) {
	r := v.forget(a.ID)
	if r == nil {
		return // acknowledged before: it was sent twice
	}
	v.log.Info("vote acknowledged", "order", r.Vote.Order.Short(), "task", r.Vote.Task, "verdict", a.Verdict)
	if v.opt.Acknowledged != nil {
		v.opt.Acknowledged(r, a.Verdict)
	}
}

func (v *Volunteer) refused(m *wire.Refused) {
	if m.Code == wire.CodeLeaseToken && v.show(m.ID) {
		return
	}
	if r := v.forget(m.ID); r != nil {
		v.log.Warn("vote refused", "order", r.Vote.Order.Short(), "task", r.Vote.Task, "code", m.Code, "message", m.Message)
	}
}

// show sends a result again with the token that it went without, and reports
// whether there is such a one.
func (v *Volunteer) show(id wire.LeaseID) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.results[id]
	if r == nil || !v.bare[id] {
		return false
	}
	delete(v.bare, id)
	v.send(r)
	return true
}

// forget drops a result that the hub has answered.
func (v *Volunteer) forget(id wire.LeaseID) *wire.Result {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.results[id]
	delete(v.results, id)
	delete(v.bare, id)
	v.check()
	return r
}

func (v *Volunteer) kill(k *wire.Kill) {
	v.log.Info("the hub ends work", "scope", k.Scope, "target", k.Target, "reason", k.Reason)
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, t := range v.held {
		if falls(t.lease, k) {
			t.cancel(fmt.Errorf("%w: %s", errKilled, k.Reason))
		}
	}
}

// falls reports whether a lease falls under a kill.
func falls(l *wire.Lease, k *wire.Kill) bool {
	switch k.Scope {
	case wire.KillOrder:
		return k.Target == l.Order.String()
	case wire.KillRelease:
		return k.Target == l.Release.String()
	case wire.KillTask:
		return k.Target == wire.TaskTarget(l.Order, l.Task)
	case wire.KillLease:
		return k.Target == l.ID.String()
	}
	return true
}

func (v *Volunteer) cancelAll(cause error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, t := range v.held {
		t.cancel(cause)
	}
}

// finish ends a lease with a result or a return.
func (v *Volunteer) finish(t *task, m wire.FromWorker) {
	v.mu.Lock()
	defer v.mu.Unlock()
	t.cancel(context.Canceled)
	delete(v.held, t.lease.ID)
	if r, ok := m.(*wire.Result); ok {
		v.results[t.lease.ID] = r
		delete(v.offers, t.lease.ID)
		bare := *r
		bare.Token = ""
		m, v.bare[t.lease.ID] = &bare, true
	}
	v.send(m)
	v.check()
}

// classOf is the failure class that a return names.
func classOf(err error) string {
	if class := canon.ClassOf(err); len(class) <= 32 {
		return class
	}
	return ""
}
