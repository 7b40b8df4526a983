package sandbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/countersign/countersign/internal/abi"
	"github.com/countersign/countersign/internal/canon"
)

// Checkpoint is where a task stands between two segments: all that it takes to
// go on, here or elsewhere.
type Checkpoint struct {
	Fuel   uint64         // used until now
	Links  []canon.Digest // of the transcript, one for each segment done
	State  []byte
	Output []byte // until now
}

func (c *Checkpoint) check(l *Limits) error {
	switch {
	case c == nil:
		return nil
	case len(c.Links) < 1 || len(c.Links) >= maxSegments:
		return fmt.Errorf("its checkpoint has %d segments, 1 to %d are possible", len(c.Links), maxSegments-1)
	case c.Fuel > l.Fuel:
		return fmt.Errorf("its checkpoint used %d fuel, more than the limit of %d", c.Fuel, l.Fuel)
	case len(c.State) > maxState || uint64(len(c.Output)) > uint64(l.OutputBytes):
		return fmt.Errorf("its checkpoint has a state of %d bytes and an output of %d, more than the limits of %d and %d", len(c.State), len(c.Output), maxState, l.OutputBytes)
	}
	return nil
}

// run is a task's run, segment after segment.
type run struct {
	task     *Task
	ctx      context.Context
	now      func() time.Time
	deadline time.Time // zero: none
	slice    uint64    // what slices have come to
	at       Checkpoint
	log      []byte
}

func newRun(ctx context.Context, task *Task, now func() time.Time) *run {
	r := &run{task: task, ctx: ctx, now: now, slice: firstSlice}
	if task.Deadline > 0 {
		r.deadline = now().Add(task.Deadline)
	}
	if from := task.From; from != nil {
		r.at = *from
		// What is appended must not be written behind the caller's slices.
		r.at.Links, r.at.Output = slices.Clip(from.Links), slices.Clip(from.Output)
	}
	return r
}

// finish runs the segments that are left.
func (r *run) finish(e *Engine, code wazero.CompiledModule) (Outcome, error) {
	for {
		s := r.next()
		o, err := s.start(e, code)
		if err != nil {
			return Outcome{}, err
		}
		r.slice = s.slice
		r.log = append(r.log, s.log[:min(len(s.log), maxLog-len(r.log))]...)
		r.at.Fuel += o.Fuel
		if o.End != checkpointed {
			s.saved = nil
		}
		if o.End == checkpointed || o.End.Voted() {
			l := link{end: o.End, code: o.Code, fuel: o.Fuel, output: s.output[len(r.at.Output):], state: s.saved}
			r.at.Links = append(r.at.Links, l.follow(r.at.Links))
		}
		r.at.Output, r.at.State = slices.Clip(s.output), s.saved
		if o.End != checkpointed {
			o.Fuel, o.Links, o.Output, o.Log = r.at.Fuel, r.at.Links, r.at.Output, r.log
			return o, nil
		}
		if r.task.Checkpoint != nil {
			at := r.at
			at.Links = slices.Clip(at.Links)
			r.task.Checkpoint(&at)
		}
	}
}

// next makes the next segment.
func (r *run) next() *segment {
	t, limits, number := r.task, r.task.Limits, uint64(len(r.at.Links))
	limit := limits.Fuel - r.at.Fuel
	if limits.SegmentFuel > 0 {
		limit = min(limit, limits.SegmentFuel)
	}
	s := &segment{run: r, host: newHost(t.Input, t.Args, segmentSeed(t.Seed, number), limits.OutputBytes)}
	s.tank = newTank(limit, r.now, r.slice)
	if pace := t.Pace; pace != nil {
		base := r.at.Fuel
		s.pace = func(slice Slice) uint64 { slice.Used += base; return pace(slice) }
	}
	s.number, s.state, s.output = number, r.at.State, r.at.Output
	s.due = func() bool { return limits.SegmentFuel > 0 && s.usedNow() >= half(limits.SegmentFuel) }
	if t.Progress != nil {
		base := r.at.Fuel
		s.progress = func(permille int, text string) { t.Progress(permille, text, base+s.usedNow()) }
	}
	return s
}

// half rounds up.
func half(n uint64) uint64 { return n - n/2 }

// exhausted says which fuel limit it was.
func (r *run) exhausted(limit uint64) string {
	if t := r.task.Limits; limit == t.SegmentFuel && limit < t.Fuel {
		return fmt.Sprintf("the fuel limit of %d for a segment was reached, in segment %d", limit, len(r.at.Links))
	}
	return fmt.Sprintf("the fuel limit of %d was reached", r.task.Limits.Fuel)
}

// runnable checks that a compiled module is what this package can stop.
func runnable(m wazero.CompiledModule, pages uint32) error {
	metered := false
	for _, f := range m.ImportedFunctions() {
		module, name, _ := f.Import()
		known, ok := abi.Lookup(module, name)
		if !ok || !slices.Equal(f.ParamTypes(), values(known.Type.Params)) || !slices.Equal(f.ResultTypes(), values(known.Type.Results)) {
			return fmt.Errorf("the module imports %q.%q, which the ABI has not, or with another type", module, name)
		}
		metered = metered || module == abi.Countersign && name == abi.Refill
	}
	if !metered {
		return ErrNotMetered
	}
	mem := m.ExportedMemories()["memory"]
	start := m.ExportedFunctions()["_start"]
	switch {
	case mem == nil:
		return errors.New("the module exports no memory")
	case start == nil || len(start.ParamTypes())+len(start.ResultTypes()) > 0:
		return errors.New("the module exports no function _start of type () -> ()")
	}
	if most, declared := mem.Max(); !declared || pages != 0 && most > pages {
		return fmt.Errorf("the module's memory has no maximum, or one over the %d pages of its limits", pages)
	}
	return nil
}
