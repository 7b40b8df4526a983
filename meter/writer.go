package meter

import (
	"slices"

	"github.com/countersign/countersign/internal/abi"
	"github.com/countersign/countersign/internal/wasm"
)

// writer builds the metered module. Function indices of the source move up by
// one behind the imports, for countersign.refill; globals keep theirs.
type writer struct {
	m      *wasm.Module
	out    wasm.Module
	plan   plan
	code   []byte // of all functions, rewritten
	report Report

	pages   uint32
	imports uint32 // of the source, and so the index of countersign.refill
	fuel    uint32 // global
	// Functions that are added; the later two only where they are called.
	refillFn, bulkFn, growFn uint32
}

func newWriter(m *wasm.Module, pages uint32) *writer {
	w := &writer{m: m, out: *m, pages: pages, imports: uint32(len(m.Imports)), fuel: uint32(len(m.Globals))}
	w.plan.imports = w.imports
	first := uint32(m.NumFuncs()) + 1
	w.refillFn, w.bulkFn, w.growFn = first, first+1, first+2
	w.report = Report{SourceBytes: len(m.Data), Functions: len(m.Funcs), MemoryPages: pages, Imports: []string{}}
	for _, im := range m.Imports {
		w.report.Imports = append(w.report.Imports, im.Module+"."+im.Name)
	}
	return w
}

// index renumbers a function.
func (w *writer) index(f uint32) uint32 {
	if f >= w.imports {
		return f + 1
	}
	return f
}

// functions rewrites every function and adds the helpers.
func (w *writer) functions() error {
	w.out.Code = make([]wasm.Body, len(w.m.Code), len(w.m.Code)+addedFuncs)
	total := 0
	for i := range w.m.Code {
		total += len(w.m.Code[i].Code)
	}
	w.code = make([]byte, 0, total+total/2)
	for i := range w.m.Code {
		if err := w.plan.function(w.m, i); err != nil {
			return err
		}
		start := len(w.code)
		w.body(&w.m.Code[i])
		code := w.code[start:len(w.code):len(w.code)]
		if len(code) > wasm.MaxBody || len(w.code) > wasm.MaxModule {
			return inFunction(w.m, i, w.m.Code[i].Offset, "the code grows to %d bytes, all functions to %d: the metered module would be too large", len(code), len(w.code))
		}
		w.out.Code[i] = wasm.Body{Locals: w.m.Code[i].Locals, Code: code}
	}
	w.out.Types = slices.Clone(w.m.Types)
	w.out.Funcs = slices.Clone(w.m.Funcs)
	w.addHelpers()
	return nil
}

// body applies the plan's edits to a function.
func (w *writer) body(b *wasm.Body) {
	at := 0
	for i := range w.plan.edits {
		e := &w.plan.edits[i]
		w.code = append(w.code, b.Code[at:e.at-b.Offset]...)
		w.edit(e)
		at = e.end - b.Offset
	}
	w.code = append(w.code, b.Code[at:]...)
}

func (w *writer) edit(e *edit) {
	switch e.kind {
	case editCharge:
		if e.value > 0 {
			w.report.Charges++
			w.code = w.charge(w.code, e.value)
		}
	case editCheck:
		w.report.Charges++
		w.report.Checks++
		w.code = w.check(w.charge(w.code, max(e.value, 1)))
	case editCall:
		w.code = appendCall(w.code, w.index(uint32(e.value)))
	case editGrow:
		w.report.Bulk++
		w.code = appendCall(w.code, w.growFn)
	case editBulk:
		w.report.Bulk++
		w.code = appendCall(w.code, w.bulkFn)
	}
}

// declare writes all but the functions: what is added, and what is renumbered.
func (w *writer) declare() {
	m, out := w.m, &w.out
	out.Imports = append(slices.Clone(m.Imports), wasm.Import{Module: abi.Countersign, Name: abi.Refill, Type: w.typeOf(refillType)})
	out.Memory = &wasm.Limits{Min: m.Memory.Min, Max: int64(w.pages)}
	out.Globals = append(slices.Clone(m.Globals), wasm.Global{Type: wasm.I64, Mutable: true, Init: []byte{byte(wasm.OpI64Const), 0, opEnd}})
	out.Exports = append(slices.Clone(m.Exports), wasm.Export{Name: abi.FuelGlobal, Kind: wasm.ExportGlobal, Index: w.fuel})
	for i := range m.Exports {
		if m.Exports[i].Kind == wasm.ExportFunc {
			out.Exports[i].Index = w.index(m.Exports[i].Index)
		}
	}
	out.Elems = slices.Clone(m.Elems)
	for i := range out.Elems {
		out.Elems[i].Funcs = slices.Clone(m.Elems[i].Funcs)
		for j, f := range out.Elems[i].Funcs {
			out.Elems[i].Funcs[j] = w.index(f)
		}
	}
	out.Names = w.names()
}

// typeOf returns the index of a type, adding it if the module has none equal.
func (w *writer) typeOf(t wasm.FuncType) uint32 {
	if i := slices.IndexFunc(w.out.Types, t.Equal); i >= 0 {
		return uint32(i)
	}
	w.out.Types = append(w.out.Types, t)
	return uint32(len(w.out.Types) - 1)
}

// names renumbers the source's function names and adds the helpers', in modules
// that have any.
func (w *writer) names() wasm.Names {
	if len(w.m.Names.Funcs) == 0 && w.m.Names.Module == "" {
		return wasm.Names{}
	}
	all := make(map[uint32]string, len(w.m.Names.Funcs)+addedFuncs)
	for f, name := range w.m.Names.Funcs {
		if uint64(f) < uint64(w.m.NumFuncs()) {
			all[w.index(f)] = name
		}
	}
	all[w.imports] = abi.Countersign + "." + abi.Refill
	for i, name := range helperNames[:len(w.out.Funcs)-len(w.m.Funcs)] {
		all[w.refillFn+uint32(i)] = name
	}
	return wasm.Names{Module: w.m.Names.Module, Funcs: all}
}
