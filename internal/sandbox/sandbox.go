// Package sandbox runs a metered module on wazero, deterministically:
// docs/spec/abi.md is what a module sees, docs/spec/meter.md how its fuel is
// counted. Its twin in the browser is webworker/src/host.ts; the vectors of
// testdata/vectors/abi hold for both.
//
// The refill call is the only way out of a running module. wazero's own
// WithCloseOnContextDone would be another, and makes modules 5 to 13 times
// slower; so a module must be metered, and Run refuses one that is not.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/meter"
)

// Task is one run of a module, or what is left of one.
type Task struct {
	// SHA256 says which module; Module is looked at only when the engine does
	// not have that one compiled. The zero Digest: that of Module.
	SHA256 canon.Digest
	Module []byte

	Input  []byte
	Args   []string // the order's parameters, without argv[0]
	Seed   [32]byte
	Limits Limits

	// From is where to go on; nil: from the start. The caller has checked that
	// it is of this task.
	From *Checkpoint
	// Checkpoint gets where the task stands at the end of every segment but the
	// last, on the goroutine of Run.
	Checkpoint func(*Checkpoint)

	// Deadline is how long the run may take; 0: as long as it likes.
	Deadline time.Duration
	// Progress gets the module's reports, on the goroutine of Run.
	Progress func(permille int, text string, fuel uint64)
	// Pace, if any, decides the size of each slice. It may sleep.
	Pace Pace
}

// Limits of a run.
type Limits struct {
	Fuel        uint64 // 1 to 2^53-1
	SegmentFuel uint64 // for one segment; 0: no limit beside Fuel, and segment_due is never 1
	MemoryPages uint32 // the maximum that the module must declare; 0: any
	OutputBytes uint32
}

// Outcome is how a run ended. End, Code, Output and Fuel of an outcome that is
// voted on are the same on every host.
type Outcome struct {
	End    End
	Code   uint32
	Output []byte
	Log    []byte
	Fuel   uint64
	Links  []canon.Digest // one for each segment, those before Task.From included
	Detail string         // what happened, for people
}

// Transcript is the last link.
func (o *Outcome) Transcript() (last canon.Digest) {
	if len(o.Links) > 0 {
		last = o.Links[len(o.Links)-1]
	}
	return last
}

// End is why a run ended.
type End string

// Ends of a run.
const (
	Exit      End = "exit"
	Trap      End = "trap"
	Fuel      End = "fuel"
	Output    End = "output"
	State     End = "state"
	Deadline  End = "deadline"
	Cancelled End = "cancelled"
	Fault     End = "fault"

	checkpointed End = "checkpoint" // of a segment that is not the last
)

// Voted reports whether the end is one that follows from the task alone.
func (e End) Voted() bool {
	return e == Exit || e == Trap || e == Fuel || e == Output || e == State
}

// ErrNotMetered is a module that does not ask for fuel.
var ErrNotMetered = errors.New("the module is not metered")

// Options of New; nil is usable.
type Options struct {
	// Interpreter selects wazero's interpreter, which is slow, and gives the
	// same outcomes.
	Interpreter bool
	// Modules is how many compiled modules are kept; 0: 16.
	Modules int
	// CacheDir, if any, keeps compiled modules from one run of the program to
	// the next. What lies there is machine code that is run as it is, so nobody
	// else may write to it: it is made with mode 0700, and one that others can
	// write to is not used. A directory that cannot be used is no error.
	CacheDir string
	// Now is the clock that slices and deadlines go by; nil: time.Now.
	Now func() time.Time

	allocator experimental.MemoryAllocator // of tests that run out of memory
}

const (
	defaultModules = 16
	maxPages       = 16384
)

// features are those of docs/spec/meter.md, "What is accepted".
const features = api.CoreFeaturesV2 | experimental.CoreFeaturesExtendedConst

// Engine runs modules. It is safe for concurrent use.
type Engine struct {
	runtime wazero.Runtime
	disk    wazero.CompilationCache // nil: none
	modules *cache
	opt     Options
}

// New returns an Engine, to be closed after its last run has ended.
func New(ctx context.Context, opt *Options) (*Engine, error) {
	e := &Engine{}
	if opt != nil {
		e.opt = *opt
	}
	if e.opt.Modules <= 0 {
		e.opt.Modules = defaultModules
	}
	if e.opt.Now == nil {
		e.opt.Now = time.Now
	}
	config := wazero.NewRuntimeConfig()
	if e.opt.Interpreter {
		config = wazero.NewRuntimeConfigInterpreter()
	}
	if e.disk = openCache(e.opt.CacheDir); e.disk != nil {
		config = config.WithCompilationCache(e.disk)
	}
	e.runtime = wazero.NewRuntimeWithConfig(ctx, config.WithCoreFeatures(features).WithMemoryLimitPages(maxPages).WithDebugInfoEnabled(false))
	if err := instantiateHost(ctx, e.runtime); err != nil {
		return nil, errors.Join(err, e.runtime.Close(ctx))
	}
	e.modules = newCache(e.opt.Modules, e.compile)
	return e, nil
}

// Close frees everything. No run may be going on.
func (e *Engine) Close(ctx context.Context) error {
	err := e.runtime.Close(ctx)
	if e.disk != nil {
		err = errors.Join(err, e.disk.Close(ctx))
	}
	return err
}

// Validate makes sure that the engine takes the module: it decodes, type-checks
// and compiles it, and runs nothing. The module need not be metered.
func (e *Engine) Validate(ctx context.Context, module []byte) error {
	c, err := e.compile(ctx, module)
	if err != nil {
		return err
	}
	return c.Close(ctx)
}

// compile reports what an engine makes of a module from outside as an error,
// whatever the engine does.
func (e *Engine) compile(ctx context.Context, module []byte) (c wazero.CompiledModule, err error) {
	defer func() {
		if p := recover(); p != nil {
			c, err = nil, fmt.Errorf("compiling the module: the engine fails: %v", p)
		}
	}()
	if !e.opt.Interpreter {
		if module, err = meter.ForWazero(module); err != nil {
			return nil, fmt.Errorf("compiling the module: %w", err)
		}
	}
	c, err = e.runtime.CompileModule(ctx, module)
	if err != nil {
		return nil, fmt.Errorf("compiling the module: %w", err)
	}
	return c, nil
}

// Run runs a task to its end. Cancelling ctx ends it within one slice. An error
// means that nothing ran: the task is not one that can.
func (e *Engine) Run(ctx context.Context, task Task) (Outcome, error) {
	if err := task.check(); err != nil {
		return Outcome{}, err
	}
	m, err := e.modules.get(ctx, task.Module, task.SHA256)
	if err != nil {
		return Outcome{}, err
	}
	defer e.modules.put(m)
	if err := runnable(m.compiled, task.Limits.MemoryPages); err != nil {
		return Outcome{}, err
	}
	return newRun(ctx, &task, e.opt.Now).finish(e, m.compiled)
}

func (t *Task) check() error {
	if t.Limits.Fuel < 1 || t.Limits.Fuel > canon.MaxInteger {
		return fmt.Errorf("running a task: a fuel limit of %d is not from 1 to 2^53-1", t.Limits.Fuel)
	}
	if len(t.Input) > math.MaxInt32 {
		return fmt.Errorf("running a task: its input of %d bytes is too long", len(t.Input))
	}
	if err := t.From.check(&t.Limits); err != nil {
		return fmt.Errorf("running a task: %w", err)
	}
	size := 0
	for _, a := range t.Args {
		if strings.ContainsRune(a, 0) {
			return fmt.Errorf("running a task: argument %q has a NUL", a)
		}
		size += len(a) + 1
	}
	if size > maxArgs {
		return fmt.Errorf("running a task: %d bytes of arguments, at most %d allowed", size, maxArgs)
	}
	return nil
}

const maxArgs = 65536
