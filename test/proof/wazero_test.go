package proof

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/countersign/countersign/internal/abi"
	"github.com/countersign/countersign/meter"
)

// wazeroRun is one engine of wazero that goes through a plan.
type wazeroRun struct {
	ctx       context.Context
	compiler  bool
	runtime   wazero.Runtime
	instances map[int]api.Module
	granted   map[api.Module]int64
	stack     map[api.Module]uint64 // what $stack starts with
	refuel    int64
	log       []string
}

// logHost is the module that Binaryen's random modules import.
const logHost = "fuzzing-support"

// onWazero carries out the steps; spectest is the suite's host module, if any.
func onWazero(interpreter bool, spectest []byte, steps []step) ([]outcome, error) {
	config := wazero.NewRuntimeConfigCompiler()
	if interpreter {
		config = wazero.NewRuntimeConfigInterpreter()
	}
	ctx := context.Background()
	w := &wazeroRun{ctx: ctx, compiler: !interpreter, instances: map[int]api.Module{}, granted: map[api.Module]int64{}, stack: map[api.Module]uint64{}}
	w.runtime = wazero.NewRuntimeWithConfig(ctx, config.WithCoreFeatures(api.CoreFeaturesV2|experimental.CoreFeaturesExtendedConst))
	defer w.runtime.Close(ctx)
	_, err := w.runtime.NewHostModuleBuilder(abi.Countersign).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(w.refill), []api.ValueType{api.ValueTypeI64}, []api.ValueType{api.ValueTypeI64}).
		Export(abi.Refill).Instantiate(ctx)
	if err != nil {
		return nil, err
	}
	_, err = w.runtime.NewHostModuleBuilder(logHost).
		NewFunctionBuilder().WithFunc(func(n uint32) { w.log = append(w.log, fmt.Sprintf("i32 %#x", n)) }).Export("log-i32").
		NewFunctionBuilder().WithFunc(func(n uint64) { w.log = append(w.log, fmt.Sprintf("i64 %#x", n)) }).Export("log-i64").Instantiate(ctx)
	if err != nil {
		return nil, err
	}
	if spectest != nil {
		if _, err := w.runtime.InstantiateWithConfig(ctx, spectest, wazero.NewModuleConfig()); err != nil {
			return nil, err
		}
	}
	var all []outcome
	for _, s := range steps {
		o, err := w.step(s)
		if err != nil {
			return nil, fmt.Errorf("step %+v: %w", s, err)
		}
		all = append(all, o)
	}
	return all, nil
}

func (w *wazeroRun) refill(_ context.Context, m api.Module, stack []uint64) {
	grant := w.refuel - int64(stack[0])
	w.granted[m] += grant
	stack[0] = uint64(grant)
}

func (w *wazeroRun) step(s step) (outcome, error) {
	w.refuel, w.log = s.Refuel, nil
	var o outcome
	var err error
	switch s.Op {
	case "module":
		err = w.instantiate(s)
	case "call":
		o.Values, err = w.call(s)
	case "get":
		o.Values = []value{fromWazero(s.Types[0], []uint64{w.instances[s.ID].ExportedGlobal(s.Field).Get()})}
	case "memory":
		o.Hash = w.hash(s)
	default:
		return o, errors.New("no such step")
	}
	if err != nil {
		o.Trap, o.Detail, o.Spent = wazeroTrap(err), err.Error(), w.spent()
		w.unwind()
	}
	o.Fuel, o.Log = w.fuel(s.ID), w.log
	return o, nil
}

func (w *wazeroRun) instantiate(s step) error {
	code, err := os.ReadFile(s.File)
	if err != nil {
		return err
	}
	if w.compiler {
		if code, err = meter.ForWazero(code); err != nil {
			return err
		}
	}
	m, err := w.runtime.InstantiateWithConfig(w.ctx, code, wazero.NewModuleConfig().WithName(s.As).WithStartFunctions())
	if err != nil {
		return err
	}
	w.instances[s.ID] = m
	if g := m.ExportedGlobal(abi.StackGlobal); g != nil {
		w.stack[m] = g.Get()
	}
	return nil
}

func (w *wazeroRun) call(s step) ([]value, error) {
	var args []uint64
	for _, a := range s.Args {
		args = append(args, toWazero(a)...)
	}
	f := w.instances[s.ID].ExportedFunction(s.Field)
	if f == nil {
		return nil, fmt.Errorf("no export %q", s.Field)
	}
	results, err := f.Call(w.ctx, args...)
	if err != nil {
		return nil, err
	}
	var values []value
	for _, t := range s.Types {
		values = append(values, fromWazero(t, results))
		results = results[words(t):]
	}
	return values, nil
}

// spent tells whether a trap was the end of a module's own count of its stack.
func (w *wazeroRun) spent() bool {
	for m := range w.stack {
		if int32(m.ExportedGlobal(abi.StackGlobal).Get()) < 0 {
			return true
		}
	}
	return false
}

// unwind does what a host that goes on after a trap has to do: the functions
// that a trap left have not given their part of the call stack back.
func (w *wazeroRun) unwind() {
	for m, full := range w.stack {
		m.ExportedGlobal(abi.StackGlobal).(api.MutableGlobal).Set(full)
	}
}

func (w *wazeroRun) fuel(id int) int64 {
	m := w.instances[id]
	if m == nil || m.ExportedGlobal(abi.FuelGlobal) == nil {
		return 0
	}
	return w.granted[m] - int64(m.ExportedGlobal(abi.FuelGlobal).Get())
}

func (w *wazeroRun) hash(s step) string {
	memory := w.instances[s.ID].Memory()
	if memory == nil {
		return "none"
	}
	data, _ := memory.Read(0, memory.Size())
	return fmt.Sprintf("%d:%x", memory.Size(), sha256.Sum256(data))
}

func words(kind string) int {
	if kind == "v128" {
		return 2
	}
	return 1
}

// toWazero gives a host's object n as n+1, as wazero's null is 0.
func toWazero(v value) []uint64 {
	lo, hi := v.halves()
	switch {
	case v.Type == "v128":
		return []uint64{lo, hi}
	case v.Type == "externref" && v.Lo != "null":
		return []uint64{lo + 1}
	}
	return []uint64{lo}
}

func fromWazero(kind string, words []uint64) value {
	v := value{Type: kind, Lo: fmt.Sprintf("%#x", words[0]), Hi: "0x0"}
	switch kind {
	case "i32", "f32":
		v.Lo = fmt.Sprintf("%#x", uint32(words[0]))
	case "v128":
		v.Hi = fmt.Sprintf("%#x", words[1])
	case "externref":
		v = value{Type: kind, Lo: fmt.Sprint(words[0] - 1)}
	case "funcref":
		v = value{Type: kind, Lo: "func"}
	}
	if (kind == "externref" || kind == "funcref") && words[0] == 0 {
		v.Lo = "null"
	}
	return v
}

// wazeroTrap names the kind of a trap by what wazero says.
func wazeroTrap(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	for _, k := range []string{trapUnreachable, trapMemory, trapOverflow, trapConversion, trapDivide, trapStack} {
		if strings.HasSuffix(text, k) {
			return k
		}
	}
	switch {
	case strings.HasSuffix(text, "invalid table access"), strings.HasSuffix(text, "indirect call type mismatch"),
		strings.Contains(text, "out of bounds"):
		return trapTable
	}
	return "link"
}

// The kinds of traps that all engines tell apart.
const (
	trapUnreachable = "unreachable"
	trapMemory      = "out of bounds memory access"
	trapOverflow    = "integer overflow"
	trapConversion  = "invalid conversion to integer"
	trapDivide      = "integer divide by zero"
	trapStack       = "stack overflow"
	trapTable       = "table"
)
