package sandbox

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/countersign/countersign/internal/abi"
)

// hostFailed is the balance by which a module says that the engine could not
// give it memory that it may have.
const hostFailed = math.MinInt64

// segment is the run of one instance of the module.
type segment struct {
	*host
	*tank
	run  *run
	stop End // why refill granted nothing
}

func (s *segment) balance() int64 { return int64(s.fuel.Get()) }

// usedNow is the segment's fuel until now, in a host function.
func (s *segment) usedNow() uint64 { return s.usedAt(s.balance()) }

// refill is countersign.refill. Granting 0 ends the run.
func (s *segment) refill(balance int64) int64 {
	if s.stop != "" {
		return 0 // a metered module does not ask again
	}
	used := s.usedAt(balance)
	slice, ok := s.decide(balance, used)
	if !ok {
		s.used = used
		return 0
	}
	return s.grant(balance, slice)
}

// decide sizes the slice, or sets why there is none.
func (s *segment) decide(balance int64, used uint64) (slice uint64, ok bool) {
	switch {
	case balance > 0:
		s.halt(Fault, fmt.Sprintf("it asks for fuel with %d left: it is not metered by the rules", balance))
	case used > s.limit:
		s.halt(Fuel, "")
	case !s.timeUp():
		slice = s.next(used)
		s.timeUp() // the pace may have slept
	}
	return slice, s.stop == ""
}

func (s *segment) timeUp() bool {
	switch {
	case s.run.ctx.Err() != nil:
		s.halt(Cancelled, context.Cause(s.run.ctx).Error())
	case !s.run.deadline.IsZero() && !s.now().Before(s.run.deadline):
		s.halt(Deadline, "")
	}
	return s.stop != ""
}

func (s *segment) halt(end End, why string) { s.stop, s.why = end, why }

type segmentKey struct{}

// start instantiates the module and runs it. Of the outcome's bytes and links
// it knows nothing.
func (s *segment) start(e *Engine, code wazero.CompiledModule) (Outcome, error) {
	// The engine itself must not look at cancelling: refill does.
	ctx := context.WithValue(context.WithoutCancel(s.run.ctx), segmentKey{}, s)
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
	s.fuel, s.mem = fuel, m.Memory()
	_, err = m.ExportedFunction("_start").Call(ctx)
	o := s.outcome(err)
	if stack := m.ExportedGlobal(abi.StackGlobal); o.End == Trap && stack != nil && int32(stack.Get()) < 0 {
		o.Detail = "call stack exhausted"
	}
	return o, nil
}

// outcome says how the run ended, given what the engine says.
func (s *segment) outcome(err error) Outcome {
	o := Outcome{Fuel: s.used}
	if s.balance() == hostFailed {
		o.End, o.Detail = Fault, "the engine has no more memory"
		return o
	}
	o.End, o.Detail = s.ended(err)
	if o.End != Fault && s.stop == "" { // when stopped, a function may have the balance in a local
		o.Fuel = s.usedAt(s.balance())
	}
	if o.Fuel > s.limit {
		o.End, o.Detail = Fuel, ""
	}
	switch o.End {
	case Exit:
		o.Code = s.code
	case Fuel:
		o.Fuel = s.limit
		o.Detail = s.run.exhausted(s.limit)
	case Deadline:
		o.Detail = "the time limit was reached"
	case Output:
		o.Detail = fmt.Sprintf("more than %d bytes of output", s.outputMax)
	case State:
		o.Detail = s.why
	}
	return o
}

func (s *segment) ended(err error) (end End, detail string) {
	switch {
	case s.stop != "":
		return s.stop, s.why
	case err == nil:
		return Exit, ""
	case s.end != "":
		return s.end, ""
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
