// Package meter makes WebAssembly modules count their own fuel, by rewriting
// them: docs/spec/meter.md. It needs no engine, and what it makes runs in any;
// wazero's compiler is given what ForWazero makes of it.
//
// Rewrite takes a module's bytes and gives the bytes of the metered one, which
// does the same, and besides
//
//   - imports countersign.refill : (i64) → (i64). It is called with the balance
//     when that is negative, and gives what is added to it; 0 ends the run in a
//     trap. So a host decides how much runs, and gets the processor back often;
//   - exports the balance and what is left of the call stack as globals
//     (FuelGlobal, StackGlobal). Fuel used is all that was granted less the
//     balance, and is the same in every engine and however it was granted.
//
// Fuel is what the instructions that run cost by the cost table: about one for
// one that is simple. Lengths are in bytes, memory is in pages of 64 KiB, and the
// call stack in weights that are bytes no engine exceeds.
//
// Rewriting is deterministic, so who has the source of a module can make sure
// that the metered module is what the rules give. Who does not has Check, which
// proves it from the metered module alone.
package meter

import (
	"github.com/countersign/countersign/internal/abi"
	"github.com/countersign/countersign/internal/wasm"
)

// Names under which a metered module exports its counters: the balance of fuel
// (i64), and what is left of the call stack (i32), negative when it overflowed.
const (
	FuelGlobal  = abi.FuelGlobal
	StackGlobal = abi.StackGlobal
)

// Options of Rewrite. The zero value, and nil, are usable.
type Options struct {
	// MemoryPages is the largest linear memory in pages of 64 KiB; 0 is 256.
	MemoryPages uint32
	// Library accepts modules that are no WASI command: without _start and
	// memory, with any functions imported that have no floats in their types.
	Library bool
}

const defaultPages = 256

// Error is a module that is refused:
//
//	type Error struct {
//		Feature Feature // a string: what is not accepted, "" where the module is malformed or over a limit
//		Offset  int     // where, in bytes of the file
//		Func    int     // the index of the function, -1 outside of functions
//		Name    string  // its name, which the module's author chose: print it with care
//		Msg     string  // in words
//	}
type Error = wasm.Error

// Rewrite returns the metered module of source, and what was added. The same
// source and options give the same bytes; source is not changed, and the result
// shares nothing with it. A module that is not valid WebAssembly 2.0, or has what
// is not accepted, is refused with an *Error. Costs time and memory in proportion
// to the module, which may have 16 MiB.
func Rewrite(source []byte, opt *Options) ([]byte, *Report, error) {
	o := Options{}
	if opt != nil {
		o = *opt
	}
	return rewrite(source, &o, nil)
}

// rewrite is Rewrite, and notes what it makes of each function if inspected is
// not nil.
func rewrite(source []byte, o *Options, inspected *[]Function) ([]byte, *Report, error) {
	if o.MemoryPages == 0 {
		o.MemoryPages = defaultPages
	}
	m, err := wasm.Decode(source)
	if err != nil {
		return nil, nil, err
	}
	if err := accept(m, o); err != nil {
		return nil, nil, err
	}
	a, err := analyse(m, o.Library)
	if err != nil {
		return nil, nil, err
	}
	w := newWriter(m, a, o)
	w.inspected = inspected
	if err := w.functions(); err != nil {
		return nil, nil, err
	}
	w.declare()
	if types, segs := len(w.out.Types), len(w.out.Segs); types > wasm.MaxTypes || segs > wasm.MaxSegs {
		return nil, nil, refuse("", 0, "the metered module would have %d types and %d data segments, at most %d and %d are allowed", types, segs, wasm.MaxTypes, wasm.MaxSegs)
	}
	out := w.out.Encode()
	if len(out) > wasm.MaxModule {
		return nil, nil, refuse("", 0, "the metered module would be larger than 16 MiB")
	}
	w.report.ModuleBytes = len(out)
	return out, &w.report, nil
}

// Metered reports whether a module has been through Rewrite, by what it imports
// and exports. It proves nothing.
func Metered(module []byte) (bool, error) {
	m, err := wasm.Decode(module)
	if err != nil {
		return false, err
	}
	for _, im := range m.Imports {
		if im.Module == abi.Countersign && im.Name == abi.Refill {
			return true, nil
		}
	}
	return false, nil
}
