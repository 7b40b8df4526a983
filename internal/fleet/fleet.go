// Package fleet plays volunteers against a hub of its own: honest ones, liars,
// and some that vanish, with the real code of volunteer and hub, over real
// sockets and a real disk. Afterwards it checks what matters: that nothing wrong
// was accepted, and that no vote is lost which was acknowledged.
//
// Who is what, all keys of volunteers, and all inputs follow from one seed. The
// order of events does not: sockets and schedulers have their own.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/volunteer"
	"github.com/countersign/countersign/internal/wire"
)

// Options of Run. The zero value of each means its default.
type Options struct {
	Seed       uint64
	Volunteers int  // 10
	Liars      int  // percent of volunteers that sign wrong outcomes
	Vanish     int  // percent of volunteers that take leases and disappear
	Collude    bool // liars tell the same lies, and so can win votes

	Tasks    int  // 100
	PerTask  int  // numbers to factor in each; 5
	Steps    int  // not 0: tasks are so many steps of payloads/steps, and are handed on
	Agree    int  // votes that must agree; 2
	Of       int  // lanes that the order expects; 3
	Adaptive bool // outcomes win by credibility, on release.DefaultAdaptive
	Lies     int  // percent of its tasks in which a liar lies; 100
	WarmUp   int  // percent of the tasks after which work is counted as after the warm-up; 50
	Restarts int  // times that the hub goes down and comes back

	Dir      string        // where the hub's data goes, and is removed afterwards; "": the system's place
	Timeout  time.Duration // for the whole run; 10 minutes
	Log      *slog.Logger  // of hub and volunteers; nil: none
	Progress func(done, tasks uint64)
}

// DefaultTimeout is how long a run may take.
const DefaultTimeout = 10 * time.Minute

const (
	maxVolunteers = 10_000
	maxTasks      = 1_000_000
	maxPerTask    = 1000
	maxSteps      = 10_000_000
	pollEvery     = 50 * time.Millisecond
	// A checkpoint of a task that is handed on, in simulated haste too.
	checkpointEvery = 20 * time.Millisecond
	// A visitor's absence, in simulated haste.
	minAbsence, maxAbsence = 20 * time.Millisecond, 200 * time.Millisecond
)

func (o *Options) setDefaults() error {
	for v, def := range map[*int]int{&o.Volunteers: 10, &o.Tasks: 100, &o.PerTask: 5, &o.Agree: 2, &o.Of: 3, &o.Lies: 100, &o.WarmUp: 50} {
		if *v == 0 {
			*v = def
		}
	}
	if o.Steps != 0 {
		o.PerTask = 1
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(uint64, uint64) {}
	}
	switch {
	case o.Volunteers < 1 || o.Volunteers > maxVolunteers:
		return fmt.Errorf("%d volunteers: 1 to %d are possible", o.Volunteers, maxVolunteers)
	case o.Tasks < 1 || o.Tasks > maxTasks:
		return fmt.Errorf("%d tasks: 1 to %d are possible", o.Tasks, maxTasks)
	case o.Steps < 0 || o.Steps > maxSteps:
		return fmt.Errorf("%d steps a task: 1 to %d are possible", o.Steps, maxSteps)
	case o.PerTask < 1 || o.PerTask > maxPerTask:
		return fmt.Errorf("%d numbers a task: 1 to %d are possible", o.PerTask, maxPerTask)
	case o.Liars < 0 || o.Vanish < 0 || o.Liars+o.Vanish > 100:
		return fmt.Errorf("%d%% liars and %d%% that vanish: together at most 100%%", o.Liars, o.Vanish)
	case o.Lies < 1 || o.Lies > 100 || o.WarmUp < 1 || o.WarmUp > 99:
		return fmt.Errorf("liars lie in %d%% of their tasks, and warming up takes %d%% of all: 1 to 100 and 1 to 99 are possible", o.Lies, o.WarmUp)
	case o.Restarts < 0 || o.Restarts > 100:
		return fmt.Errorf("%d restarts: 0 to 100 are possible", o.Restarts)
	}
	return nil
}

// Run plays the fleet until its order is done, and reports. An error means that
// there is nothing to report: what went wrong with votes and results is in the
// report.
func Run(ctx context.Context, opt Options) (_ *Report, err error) {
	if err := opt.setDefaults(); err != nil {
		return nil, err
	}
	f := &fleet{opt: &opt, cast: newCast(&opt), acked: map[ballot]acked{}}
	if !opt.Adaptive && f.cast.honest < opt.Agree {
		return nil, fmt.Errorf("%d honest volunteers, but %d votes must agree: the order would never end", f.cast.honest, opt.Agree)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, opt.Timeout, fmt.Errorf("the run was not over after %v", opt.Timeout))
	defer cancel()
	dir, err := os.MkdirTemp(opt.Dir, "countersign-fleet-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if f.engine, err = sandbox.New(ctx, nil); err != nil {
		return nil, err
	}
	defer f.engine.Close(context.WithoutCancel(ctx))
	if f.stage, err = newStage(ctx, f.cast, dir); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.stage.close()) }()
	return f.play(ctx)
}

type fleet struct {
	opt    *Options
	cast   *cast
	stage  *stage
	engine *sandbox.Engine

	mu       sync.Mutex
	acked    map[ballot]acked
	lanes    uint64    // runs that came to an outcome
	warm     [2]uint64 // lanes and verdicts at the end of the warm-up
	vanished uint64
	resumed  uint64
	failed   error // of a volunteer
}

func (f *fleet) play(ctx context.Context) (*Report, error) {
	working, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	began := time.Now()
	for i := range f.cast.roles {
		running.Go(func() {
			if err := f.volunteer(working, i); err != nil {
				f.fail(err)
				stop()
			}
		})
	}
	err := f.untilDone(working)
	took := time.Since(began)
	stop()
	running.Wait()
	if f.failed != nil {
		return nil, f.failed
	}
	if err != nil {
		return nil, err
	}
	return f.report(ctx, took)
}

func (f *fleet) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed == nil {
		f.failed = err
	}
}

// untilDone waits for the order's end, and restarts the hub on the way.
func (f *fleet) untilDone(ctx context.Context) error {
	restarts := 0
	for {
		info, err := f.stage.client.Order(ctx, f.stage.order)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		decided := info.Accepted + info.Undecided
		f.opt.Progress(decided, info.Tasks)
		f.noteWarm(info)
		switch {
		case info.State == "done":
			return nil
		case info.Ended():
			return fmt.Errorf("the order is %s: %s", info.State, info.Reason)
		case restarts < f.opt.Restarts && decided*uint64(f.opt.Restarts+1) >= info.Tasks*uint64(restarts+1):
			restarts++
			if err := f.stage.restart(ctx); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(pollEvery):
		}
	}
}

// noteWarm notes how much was done when the warm-up ended.
func (f *fleet) noteWarm(info *wire.OrderInfo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if decided := info.Accepted + info.Undecided; f.warm[1] == 0 && decided*100 >= info.Tasks*uint64(f.opt.WarmUp) {
		f.warm = [2]uint64{f.lanes, decided}
	}
}

// volunteer plays one of the cast until ctx ends. One that vanishes comes back.
func (f *fleet) volunteer(ctx context.Context, i int) error {
	actor := f.cast.actor(i)
	for {
		v, err := volunteer.New(volunteer.Options{
			Hub: f.stage.url, Key: actor.key, Trust: f.cast.trust(), Engine: f.engine, Agent: "countersign-fleet/0.1.0",
			Log: f.opt.Log.With("volunteer", i), Retry: minAbsence, CheckpointEvery: checkpointEvery,
			Acknowledged: f.acknowledged(actor),
			Misbehave:    &volunteer.Misbehave{Outcome: f.ran(actor), Vanish: actor.vanishes, Checkpoint: actor.state, Left: actor.left},
		})
		if err != nil {
			return err
		}
		err = v.Run(ctx)
		if !errors.Is(err, volunteer.ErrVanished) {
			return err
		}
		f.mu.Lock()
		f.vanished++
		f.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(actor.absence()):
		}
	}
}
