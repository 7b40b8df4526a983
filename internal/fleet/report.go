package fleet

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/hub"
	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/release"
)

// Report is how a fleet fared.
type Report struct {
	Seed       uint64 `json:"seed"`
	Volunteers int    `json:"volunteers"`
	Honest     int    `json:"honest"`
	Liars      int    `json:"liars"`
	Vanishing  int    `json:"vanishing"`
	Restarts   int    `json:"restarts"` // of the hub

	Tasks     uint64 `json:"tasks"`
	Right     uint64 `json:"accepted_right"`
	Wrong     uint64 `json:"accepted_wrong"`
	Undecided uint64 `json:"undecided"`
	Missing   uint64 `json:"missing"` // tasks of the finished order that have no verdict

	Withdrawn            uint64 `json:"withdrawn"`     // verdicts, because a worker behind them was caught
	Lanes                uint64 `json:"lanes"`         // runs that came to an outcome
	WarmLanes, WarmTasks uint64 `json:"-"`             // of them, and verdicts, after the warm-up
	Resumed              uint64 `json:"votes_resumed"` // of votes: on lanes that another had begun
	Vanished             uint64 `json:"vanished"`      // times that a volunteer did
	Votes                uint64 `json:"votes_acknowledged"`
	Lost                 uint64 `json:"votes_lost"` // acknowledged, and not in the store, or altered

	Seconds  float64  `json:"seconds"`
	Problems []string `json:"problems"` // of the hub's data
}

// OK reports whether nothing happened that must not.
func (r *Report) OK() bool {
	return r.Wrong == 0 && r.Lost == 0 && r.Missing == 0 && len(r.Problems) == 0
}

// LanesPerTask is how often work was done: 1 would be without any repetition.
func (r *Report) LanesPerTask() float64 { return float64(r.Lanes) / float64(max(r.Tasks, 1)) }

// WarmLanesPerTask is LanesPerTask after the warm-up.
func (r *Report) WarmLanesPerTask() float64 {
	return float64(r.WarmLanes) / float64(max(r.WarmTasks, 1))
}

// TasksPerSecond is the throughput, in tasks with a verdict.
func (r *Report) TasksPerSecond() float64 { return float64(r.Right+r.Wrong+r.Undecided) / r.Seconds }

// ballot is what a worker has one vote on.
type ballot struct {
	worker wire.Key
	order  canon.Digest
	task   uint64
}

// acked is a vote as it was acknowledged.
type acked = wire.Outcome

// ran counts a lane, and lets its actor say what it came to.
func (f *fleet) ran(a *actor) func(*wire.Lease, sandbox.Outcome) sandbox.Outcome {
	return func(l *wire.Lease, o sandbox.Outcome) sandbox.Outcome {
		f.mu.Lock()
		f.lanes++
		f.mu.Unlock()
		return a.outcome(l, o)
	}
}

func (f *fleet) acknowledged(a *actor) func(*wire.Result, wire.Verdict) {
	return func(r *wire.Result, _ wire.Verdict) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if r.Vote.From > 0 {
			f.resumed++
		}
		f.acked[ballot{a.worker, r.Vote.Order, r.Vote.Task}] = r.Vote.Outcome()
	}
}

// report checks the results, takes the hub down, and checks what is on its disk.
func (f *fleet) report(ctx context.Context, took time.Duration) (*Report, error) {
	r := &Report{Seed: f.opt.Seed, Volunteers: f.opt.Volunteers, Honest: f.cast.honest, Liars: f.cast.liars, Vanishing: f.cast.vanishers, Restarts: f.opt.Restarts,
		Tasks: uint64(f.opt.Tasks), Lanes: f.lanes, Resumed: f.resumed, Vanished: f.vanished, Votes: uint64(len(f.acked)), Seconds: took.Seconds(), Problems: []string{}}
	r.WarmLanes, r.WarmTasks = f.lanes-f.warm[0], r.Tasks-f.warm[1]
	if err := f.checkResults(ctx, r); err != nil {
		return nil, fmt.Errorf("checking the results: %w", err)
	}
	if err := f.stage.close(); err != nil {
		return nil, fmt.Errorf("closing the hub: %w", err)
	}
	if err := f.checkVotes(r); err != nil {
		return nil, fmt.Errorf("checking the votes: %w", err)
	}
	found, err := hub.Check(f.stage.opt.Data, true)
	if err != nil {
		return nil, err
	}
	r.Problems = append(r.Problems, found.Problems...)
	return r, nil
}

// checkResults runs every task again, and compares with what was accepted.
func (f *fleet) checkResults(ctx context.Context, r *Report) error {
	inputs, err := f.inputs()
	if err != nil {
		return err
	}
	info, err := f.stage.client.Order(ctx, f.stage.order)
	if err != nil {
		return err
	}
	r.Withdrawn = info.Withdrawn
	next := uint64(0)
	err = f.stage.client.Results(ctx, f.stage.order, 0, func(line wire.ResultLine) error {
		if line.Task < next || line.Task >= r.Tasks {
			return fmt.Errorf("task %d comes out of order, or is none of the %d", line.Task, r.Tasks)
		}
		r.Missing += line.Task - next
		next = line.Task + 1
		if line.End == wire.Undecided {
			r.Undecided++
			return nil
		}
		right, err := f.right(ctx, line, inputs[line.Task])
		if right {
			r.Right++
		} else {
			r.Wrong++
		}
		return err
	})
	r.Missing += r.Tasks - next
	return err
}

func (f *fleet) inputs() (all [][]byte, err error) {
	_, err = release.Split(bytes.NewReader(f.cast.input), int64(f.opt.PerTask), func(_ uint64, _ release.Span, input []byte) error {
		all = append(all, bytes.Clone(input))
		return nil
	})
	return all, err
}

func (f *fleet) right(ctx context.Context, line wire.ResultLine, input []byte) (bool, error) {
	limits := f.stage.rel.Limits
	_, module := f.opt.payload()
	o, err := f.engine.Run(ctx, sandbox.Task{SHA256: f.stage.rel.ModuleSHA256, Module: module, Input: input,
		Seed:   sandbox.Seed(f.stage.order, line.Task),
		Limits: sandbox.Limits{Fuel: limits.TaskFuel, SegmentFuel: limits.SegmentFuel, MemoryPages: uint32(limits.MemoryPages), OutputBytes: uint32(limits.OutputBytes)}})
	if err == nil && !o.End.Voted() {
		err = fmt.Errorf("task %d: %s: %s", line.Task, o.End, o.Detail)
	}
	return string(o.End) == string(line.End) && o.Code == line.Code && o.Fuel == line.Fuel && o.Transcript() == line.Transcript && uint32(len(o.Links)) == line.Segments && bytes.Equal(o.Output, line.Output), err
}

// checkVotes looks for every acknowledged vote on the hub's disk.
func (f *fleet) checkVotes(r *Report) error {
	left := make(map[ballot]acked, len(f.acked))
	for b, v := range f.acked {
		left[b] = v
	}
	err := hub.Votes(f.stage.opt.Data, func(worker wire.Key, v *wire.Vote) error {
		b := ballot{worker, v.Order, v.Task}
		if left[b] == v.Outcome() {
			delete(left, b)
		}
		return nil
	})
	r.Lost = uint64(len(left))
	return err
}
