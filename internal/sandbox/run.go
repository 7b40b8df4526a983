package sandbox

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/countersign/countersign/internal/abi"
)

// hostFailed is the balance by which a module says that the engine could not
// give it memory that it may have.
const hostFailed = math.MinInt64

// run is one module's run.
type run struct {
	*host
	*tank
	ctx      context.Context
	deadline time.Time // zero: none
	stop     End       // why refill granted nothing
	why      string    // more of stop, for people
}

func newRun(ctx context.Context, task *Task, now func() time.Time) *run {
	r := &run{
		host: newHost(task.Input, task.Args, task.Seed, task.Limits.OutputBytes),
		tank: newTank(task.Limits.Fuel, now, task.Pace),
		ctx:  ctx,
	}
	if task.Deadline > 0 {
		r.deadline = now().Add(task.Deadline)
	}
	if task.Progress != nil {
		r.progress = func(permille int, text string) { task.Progress(permille, text, r.usedAt(r.balance())) }
	}
	return r
}

func (r *run) balance() int64 { return int64(r.fuel.Get()) }

// refill is countersign.refill. Granting 0 ends the run.
func (r *run) refill(balance int64) int64 {
	if r.stop != "" {
		return 0 // a metered module does not ask again
	}
	used := r.usedAt(balance)
	slice, ok := r.decide(balance, used)
	if !ok {
		r.used = used
		return 0
	}
	return r.grant(balance, slice)
}

// decide sizes the slice, or sets why there is none.
func (r *run) decide(balance int64, used uint64) (slice uint64, ok bool) {
	switch {
	case balance > 0:
		r.halt(Fault, fmt.Sprintf("it asks for fuel with %d left: it is not metered by the rules", balance))
	case used > r.limit:
		r.halt(Fuel, "")
	case !r.timeUp():
		slice = r.next(used)
		r.timeUp() // the pace may have slept
	}
	return slice, r.stop == ""
}

func (r *run) timeUp() bool {
	switch {
	case r.ctx.Err() != nil:
		r.halt(Cancelled, context.Cause(r.ctx).Error())
	case !r.deadline.IsZero() && !r.now().Before(r.deadline):
		r.halt(Deadline, "")
	}
	return r.stop != ""
}

func (r *run) halt(end End, why string) { r.stop, r.why = end, why }

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

type runKey struct{}

// start instantiates the module and runs it.
func (r *run) start(ctx context.Context, e *Engine, code wazero.CompiledModule) (Outcome, error) {
	// The engine itself must not look at cancelling: refill does.
	ctx = context.WithValue(context.WithoutCancel(ctx), runKey{}, r)
	ctx = experimental.WithMemoryAllocator(ctx, e.opt.allocator)
	m, err := e.runtime.InstantiateModule(ctx, code, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return Outcome{End: Fault, Detail: fmt.Sprintf("instantiating the module: %v", err)}, nil
	}
	defer m.Close(ctx)
	fuel, ok := m.ExportedGlobal(abi.FuelGlobal).(api.MutableGlobal)
	if !ok || fuel.Type() != api.ValueTypeI64 {
		return Outcome{}, fmt.Errorf("%w: it exports no mutable i64 %s", ErrNotMetered, abi.FuelGlobal)
	}
	r.fuel, r.mem = fuel, m.Memory()
	_, err = m.ExportedFunction("_start").Call(ctx)
	o := r.outcome(err)
	if stack := m.ExportedGlobal(abi.StackGlobal); o.End == Trap && stack != nil && int32(stack.Get()) < 0 {
		o.Detail = "call stack exhausted"
	}
	return o, nil
}

// outcome says how the run ended, given what the engine says.
func (r *run) outcome(err error) Outcome {
	o := Outcome{Output: r.output, Log: r.log, Fuel: r.used}
	if r.balance() == hostFailed {
		o.End, o.Detail = Fault, "the engine has no more memory"
		return o
	}
	o.End, o.Detail = r.ended(err)
	if o.End != Fault && r.stop == "" { // when stopped, a function may have the balance in a local
		o.Fuel = r.usedAt(r.balance())
	}
	if o.Fuel > r.limit {
		o.End, o.Detail = Fuel, ""
	}
	switch o.End {
	case Exit:
		o.Code = r.code
	case Fuel:
		o.Fuel = r.limit
		o.Detail = fmt.Sprintf("the fuel limit of %d was reached", r.limit)
	case Deadline:
		o.Detail = "the time limit was reached"
	case Output:
		o.Detail = fmt.Sprintf("more than %d bytes of output", r.outputMax)
	}
	return o
}

func (r *run) ended(err error) (end End, detail string) {
	switch {
	case r.stop != "":
		return r.stop, r.why
	case err == nil:
		return Exit, ""
	case r.end != "":
		return r.end, ""
	}
	return classify(err)
}

// traps are the engine's words for what WebAssembly calls a trap, and other
// hosts trap on as well. Whatever else an engine says is its own failure.
var traps = map[string]bool{
	"unreachable":                   true,
	"out of bounds memory access":   true,
	"integer divide by zero":        true,
	"integer overflow":              true,
	"invalid conversion to integer": true,
	"invalid table access":          true,
	"indirect call type mismatch":   true,
}

// classify tells a trap of the module from a failure of the engine. The engine's
// error values are internal to it, so this goes by their texts.
func classify(err error) (End, string) {
	text, _, _ := strings.Cut(err.Error(), "\n")
	for e := err; e != nil; e = errors.Unwrap(e) {
		if traps[e.Error()] {
			return Trap, e.Error()
		}
	}
	return Fault, text
}
