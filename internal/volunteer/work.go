package volunteer

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/release"
)

// task is a lease that is held.
type task struct {
	lease  *wire.Lease
	input  []byte       // verified, while it runs
	sum    canon.Digest // of it
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu     sync.Mutex
	last   wire.Progress
	sentAt time.Time

	reached trail
	by      *opened // what it was begun by, under the volunteer's lock
}

func newTask(l *wire.Lease) *task {
	t := &task{lease: l, last: wire.Progress{ID: l.ID}}
	t.ctx, t.cancel = context.WithCancelCause(context.Background())
	return t
}

// progress is how far the task is.
func (t *task) progress() *wire.Progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.last
	return &last
}

// note keeps how far the task is, and reports whether it is time to tell.
func (t *task) note(change func(*wire.Progress)) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(&t.last)
	if now := time.Now(); now.Sub(t.sentAt) >= wire.ProgressEvery {
		t.sentAt = now
		return true
	}
	return false
}

// report tells the hub how far a task is, at most once a second.
func (v *Volunteer) report(t *task, change func(*wire.Progress)) {
	if !t.note(change) {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.send(t.progress())
}

// work does a task when a slot is free.
func (v *Volunteer) work(t *task) {
	select {
	case <-v.slots:
		defer func() { v.slots <- struct{}{} }()
	case <-t.ctx.Done():
		v.finish(t, v.giveBack(t, context.Cause(t.ctx)))
		return
	}
	result, err := v.do(t)
	if err != nil {
		v.finish(t, v.giveBack(t, err))
		return
	}
	v.finish(t, result)
}

// handOn reports whether a lane may go on with another worker after it ended
// for that reason here.
func handOn(err error) bool {
	var end *endError
	return errors.Is(err, errStopped) || errors.As(err, &end) && end.End == sandbox.Deadline
}

// do verifies and runs a task, and countersigns what it came to.
func (v *Volunteer) do(t *task) (*wire.Result, error) {
	l := t.lease
	order, r, module, err := v.verified(t)
	if err != nil {
		return nil, err
	}
	defer func() { t.input = nil }() // a vote may wait long for its acknowledgement
	from, err := v.resume(t, r)
	if err != nil {
		return nil, err
	}
	o, err := v.run(t, order, r, module, from)
	if err != nil {
		if handOn(err) {
			v.offer(t, r)
		}
		return nil, err
	}
	if bad := v.opt.Misbehave; bad != nil && bad.Outcome != nil {
		o = bad.Outcome(l, o)
	}
	return voteOn(t, r, o)
}

func (v *Volunteer) run(t *task, order *release.Order, r *release.Release, module []byte, from *sandbox.Checkpoint) (sandbox.Outcome, error) {
	l := t.lease
	o, err := v.opt.Engine.Run(t.ctx, sandbox.Task{
		SHA256: r.ModuleSHA256, Module: module, Input: t.input, Args: order.Parameters, Seed: sandbox.Seed(l.Order, l.Task),
		Limits: limitsOf(r),
		From:   from, Checkpoint: func(at *sandbox.Checkpoint) { v.pass(t, r, at) },
		Deadline: order.RunFor(r),
		Progress: func(permille int, text string, fuel uint64) {
			v.report(t, func(p *wire.Progress) { p.Permille, p.Text, p.Fuel = uint32(permille), text, fuel })
		},
		Pace: v.pace(t),
	})
	switch {
	case err != nil:
		return o, &canon.Error{Class: wire.CodeModuleInvalid, Msg: "module " + r.ModuleSHA256.Short(), Err: err}
	case o.End == sandbox.Cancelled:
		return o, context.Cause(t.ctx)
	case !o.End.Voted():
		return o, &endError{o}
	}
	return o, nil
}

func limitsOf(r *release.Release) sandbox.Limits {
	return sandbox.Limits{Fuel: r.Limits.TaskFuel, SegmentFuel: r.Limits.SegmentFuel, MemoryPages: uint32(r.Limits.MemoryPages), OutputBytes: uint32(r.Limits.OutputBytes)}
}

// verified fetches and verifies all that a lease names.
func (v *Volunteer) verified(t *task) (*release.Order, *release.Release, []byte, error) {
	l := t.lease
	o, err := v.source.order(t.ctx, l.Order, v.opt.Now())
	if err != nil {
		return nil, nil, nil, err
	}
	if o.order.ReleaseSHA256 != l.Release {
		return nil, nil, nil, canon.Fail("bounds", "the lease names release %s, its order %s", l.Release.Short(), o.order.ReleaseSHA256.Short())
	}
	module, err := v.source.module(t.ctx, o.release)
	if err != nil {
		return nil, nil, nil, err
	}
	if t.input, err = v.source.taskInput(t.ctx, o.order, l); err != nil {
		return nil, nil, nil, err
	}
	t.sum = canon.Sum(t.input)
	return o.order, o.release, module, v.goBy(t, &o)
}

// voteOn says what a task came to. It is countersigned on its way out, with what
// goes with it.
func voteOn(t *task, r *release.Release, o sandbox.Outcome) (*wire.Result, error) {
	l := t.lease
	vote := wire.Vote{Type: wire.VoteType, Order: l.Order, Task: l.Task, Lane: l.Lane, Lease: l.ID,
		Module: r.ModuleSHA256, Input: t.sum,
		End: wire.End(o.End), Code: o.Code, Fuel: o.Fuel, Output: canon.Sum(o.Output),
		Segments: uint32(len(o.Links)), Transcript: o.Transcript(), From: t.reached.from}
	if _, err := vote.Statement(); err != nil { // it would be no message, ever
		return nil, err
	}
	return &wire.Result{Token: l.Token, Vote: vote, Output: o.Output, Links: bytesOf(o.Links)}, nil
}

// endError is an outcome that nobody votes on.
type endError struct{ sandbox.Outcome }

func (e *endError) Error() string { return string(e.End) + ": " + e.Detail }

// giveBack says why a lease comes back without a vote.
func (v *Volunteer) giveBack(t *task, err error) *wire.Return {
	r := &wire.Return{ID: t.lease.ID, Reason: wire.ReturnFault, Detail: printable(err.Error(), wire.MaxText)}
	var end *endError
	switch {
	case errors.Is(err, errStopped):
		r.Reason = wire.ReturnStopped
	case errors.Is(err, errKilled):
		r.Reason = wire.ReturnKilled
	case errors.As(err, &end) && end.End == sandbox.Deadline:
		r.Reason = wire.ReturnDeadline
	case classOf(err) != "":
		r.Reason, r.Check = wire.ReturnRefused, classOf(err)
	}
	v.log.Warn("lease returned", "order", t.lease.Order.Short(), "task", t.lease.Task, "reason", r.Reason, "check", r.Check, "detail", r.Detail)
	return r
}

// pace leaves the rest of the processor to others, and tells the hub now and
// then that the task goes on.
func (v *Volunteer) pace(t *task) sandbox.Pace {
	rest := time.Duration(100 - v.opt.Share)
	return func(s sandbox.Slice) uint64 {
		v.report(t, func(p *wire.Progress) { p.Fuel = s.Used })
		if pause := s.Busy * rest / time.Duration(v.opt.Share); pause > 0 {
			select {
			case <-time.After(pause):
			case <-t.ctx.Done():
			}
		}
		return 0
	}
}

// printable makes text fit for the wire.
func printable(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), most)]
}
