package main

import (
	"fmt"
	"math/rand/v2"

	"github.com/countersign/countersign/internal/wasm"
)

// call is an export that calls a function of the module with constants, and
// gives what it returns as the bits of i64.
type call struct {
	name     string
	function uint32
	kinds    []wasm.ValType // of what each value is the bits of
}

const (
	logHost, logI32, logI64 = "fuzzing-support", "log-i32", "log-i64"
	memoryName              = "memory"
	// Binaryen's export that starts its count of loops and calls anew, after
	// which a function ends by itself.
	hangLimit = "hangLimitInitializer"
)

const maxPages = 256 // which meter.Options have by themselves

// adapted gives a module other exports: for every function that it exported a
// call, one that looks at all globals, and the memory. Hosts pass floats on in
// ways of their own, and wasmtime's has no vectors.
func adapted(m *wasm.Module, r *rand.Rand) *program {
	p := &program{}
	var limit *uint32
	var funcs []uint32
	for _, x := range m.Exports {
		switch {
		case x.Kind != wasm.ExportFunc:
		case x.Name == hangLimit:
			limit = &x.Index
		default:
			funcs = append(funcs, x.Index)
		}
	}
	m.Exports, m.Names = nil, wasm.Names{}
	if m.Memory != nil {
		m.Exports = append(m.Exports, wasm.Export{Name: memoryName, Kind: wasm.ExportMemory})
		if m.Memory.Max < 0 || m.Memory.Max > maxPages {
			m.Memory.Max = maxPages
		}
	}
	for i := range m.Tables {
		if t := &m.Tables[i]; t.Max < 0 || t.Max > 1<<20 {
			t.Max = 1 << 20
		}
	}
	for _, f := range append(funcs, funcs...) {
		p.add(m, caller(m, r, f, limit))
	}
	p.add(m, globals(m))
	p.source = m.Encode()
	return p
}

// wrapper is a function that is added.
type wrapper struct {
	call
	locals []wasm.Local
	code   []byte
}

func (p *program) add(m *wasm.Module, w *wrapper) {
	w.name = fmt.Sprint(len(p.calls))
	results := make([]wasm.ValType, len(w.kinds))
	for i := range results {
		results[i] = wasm.I64
	}
	m.Types = append(m.Types, wasm.FuncType{Results: results})
	m.Funcs = append(m.Funcs, uint32(len(m.Types)-1))
	m.Code = append(m.Code, wasm.Body{Locals: w.locals, Code: append(w.code, byte(wasm.OpEnd))})
	m.Exports = append(m.Exports, wasm.Export{Name: w.name, Kind: wasm.ExportFunc, Index: uint32(m.NumFuncs() - 1)})
	p.calls = append(p.calls, w.call)
}

func caller(m *wasm.Module, r *rand.Rand, f uint32, limit *uint32) *wrapper {
	w := &wrapper{call: call{function: f}}
	if limit != nil {
		w.code = index(w.code, wasm.OpCall, *limit)
	}
	t := m.FuncType(f)
	for _, p := range t.Params {
		w.code = argument(w.code, r, p)
	}
	w.code = index(w.code, wasm.OpCall, f)
	last := len(t.Results) - 1
	for i, t := range t.Results {
		w.locals = append(w.locals, wasm.Local{Count: 1, Type: t})
		w.code = index(w.code, wasm.OpLocalSet, uint32(last-i))
	}
	for i, t := range t.Results {
		w.bits(wasm.OpLocalGet, uint32(i), t)
	}
	return w
}

// globals looks at the globals, of which no more than 1,000 are results.
func globals(m *wasm.Module) *wrapper {
	w := &wrapper{}
	for i, g := range m.Globals {
		if len(w.kinds) < 990 {
			w.bits(wasm.OpGlobalGet, uint32(i), g.Type)
		}
	}
	return w
}

// bits reads a local or global, and makes i64 of it.
func (w *wrapper) bits(get wasm.Op, i uint32, t wasm.ValType) {
	w.code, w.kinds = index(w.code, get, i), append(w.kinds, t)
	switch {
	case t == wasm.I32:
		w.code = append(w.code, opI64ExtendI32U)
	case t == wasm.F32:
		w.code = append(w.code, opI32ReinterpretF32, opI64ExtendI32U)
	case t == wasm.F64:
		w.code = append(w.code, opI64ReinterpretF64)
	case t == wasm.V128:
		w.code = append(index(append(w.code, prefixVector, opI64x2ExtractLane, 0), get, i), prefixVector, opI64x2ExtractLane, 1)
		w.kinds = append(w.kinds, t)
	case t.IsRef():
		w.code = append(w.code, byte(wasm.OpRefIsNull), opI64ExtendI32U)
	}
}

// argument is a constant: a number, an infinity, or a NaN with a payload.
func argument(code []byte, r *rand.Rand, t wasm.ValType) []byte {
	switch t {
	case wasm.I32:
		n := 8 * r.IntN([]int{8, 40, 300}[r.IntN(3)])
		if r.IntN(4) == 0 {
			n += r.IntN(8)
		}
		return wasm.AppendSigned(append(code, byte(wasm.OpI32Const)), int64(n))
	case wasm.I64:
		return wasm.AppendSigned(append(code, byte(wasm.OpI64Const)), r.Int64N(1000))
	case wasm.F32, wasm.F64, wasm.V128:
		return floatConst(code, r, t)
	}
	return append(code, byte(wasm.OpRefNull), byte(t))
}

func index(code []byte, op wasm.Op, i uint32) []byte {
	return wasm.AppendUnsigned(append(code, byte(op)), uint64(i))
}
