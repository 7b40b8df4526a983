package meter

import (
	"maps"
	"math"
	"slices"

	"github.com/countersign/countersign/internal/abi"
	"github.com/countersign/countersign/internal/wasm"
)

// writer builds the metered module. Function indices of the source move up by
// one behind the imports, for countersign.refill; globals keep theirs.
type writer struct {
	m      *wasm.Module
	pages  uint32
	types  []wasm.FuncType // the source's, and those that are added
	bodies [][]byte        // of the source's functions, rewritten
	plan   plan
	report Report

	imports  uint32 // of the source, and so the index of refill
	fuel     uint32 // global
	helpers  []helper
	refillFn uint32 // index of $refill
	bulkFn   uint32
	growFn   uint32
}

func newWriter(m *wasm.Module, pages uint32) *writer {
	w := &writer{m: m, pages: pages, types: slices.Clone(m.Types), imports: uint32(len(m.Imports)), fuel: uint32(len(m.Globals))}
	w.plan.imports = len(m.Imports)
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

// typeOf returns the index of a type, adding it if the module has none equal.
func (w *writer) typeOf(t wasm.FuncType) uint32 {
	if i := slices.IndexFunc(w.types, t.Equal); i >= 0 {
		return uint32(i)
	}
	w.types = append(w.types, t)
	return uint32(len(w.types) - 1)
}

// code rewrites every function.
func (w *writer) code() error {
	for i := range w.m.Code {
		if err := w.plan.function(w.m, i); err != nil {
			return err
		}
		w.bodies = append(w.bodies, w.body(i))
	}
	w.addHelpers()
	return nil
}

// body applies the plan's edits to a function.
func (w *writer) body(i int) []byte {
	b := &w.m.Code[i]
	out := make([]byte, 0, (b.End-b.Start)*3/2+32)
	out = appendU(out, uint64(len(b.Locals)))
	for _, l := range b.Locals {
		out = append(appendU(out, uint64(l.Count)), byte(l.Type))
	}
	at := b.Start
	for _, e := range w.plan.edits {
		out = append(out, w.m.Data[at:e.at]...)
		out = w.edit(out, e)
		at = e.end
	}
	return append(out, w.m.Data[at:b.End]...)
}

func (w *writer) edit(out []byte, e edit) []byte {
	switch e.kind {
	case editCharge:
		if e.value == 0 {
			return out
		}
		w.report.Charges++
		return w.charge(out, e.value)
	case editCheck:
		w.report.Charges++
		w.report.Checks++
		return w.check(w.charge(out, max(e.value, 1)))
	case editCall:
		return appendCall(out, w.index(uint32(e.value)))
	case editGrow:
		w.report.Bulk++
		return appendCall(out, w.growFn)
	default: // editBulk
		w.report.Bulk++
		return appendCall(out, w.bulkFn)
	}
}

// Opcodes that are written.
const (
	opUnreachable, opLoop, opIf, opEnd, opBrIf, opReturn, opCall  = 0x00, 0x03, 0x04, 0x0b, 0x0d, 0x0f, 0x10
	opLocalGet, opLocalTee, opGlobalGet, opGlobalSet              = 0x20, 0x22, 0x23, 0x24
	opMemorySize, opMemoryGrow, opI32Const, opI64Const            = 0x3f, 0x40, 0x41, 0x42
	opI32Eq, opI64LtS, opI64LeS, opI64GtU                         = 0x46, 0x53, 0x57, 0x56
	opI64Add, opI64Sub, opI64Mul, opI32ShrU, opI64ExtendU, noType = 0x7c, 0x7d, 0x7e, 0x76, 0xad, 0x40
)

// charge appends $fuel -= cost.
func (w *writer) charge(out []byte, cost uint64) []byte {
	out = appendU(append(out, opGlobalGet), uint64(w.fuel))
	out = appendS(append(out, opI64Const), int64(cost))
	out = append(out, opI64Sub, opGlobalSet)
	return appendU(out, uint64(w.fuel))
}

// check appends if ($fuel < 0) call $refill.
func (w *writer) check(out []byte) []byte {
	out = appendU(append(out, opGlobalGet), uint64(w.fuel))
	out = append(out, opI64Const, 0, opI64LtS, opIf, noType)
	return append(appendCall(out, w.refillFn), opEnd)
}

func appendCall(out []byte, f uint32) []byte { return appendU(append(out, opCall), uint64(f)) }

func appendU(out []byte, v uint64) []byte {
	for ; v >= 0x80; v >>= 7 {
		out = append(out, byte(v)|0x80)
	}
	return append(out, byte(v))
}

func appendS(out []byte, v int64) []byte {
	for v < -64 || v > 63 {
		out = append(out, byte(v)|0x80)
		v >>= 7
	}
	return append(out, byte(v)&0x7f)
}

// helper is an added function.
type helper struct {
	name   string
	typ    uint32
	locals []byte // the declaration's bytes
	code   []byte
}

// addHelpers adds $refill, and $bulk and $grow where they are called. Their
// indices were given before the code was written, so all three are there or
// none of the later ones: a module that needs $grow gets $bulk too.
func (w *writer) addHelpers() {
	w.typeOf(refillType)
	w.helpers = append(w.helpers, helper{"countersign.refill", w.typeOf(wasm.FuncType{}), oneLocal(wasm.I64), w.refillCode()})
	lengthType := wasm.FuncType{Params: []wasm.ValType{wasm.I32}, Results: []wasm.ValType{wasm.I32}}
	if w.plan.bulk || w.plan.grows {
		w.helpers = append(w.helpers, helper{"countersign.bulk", w.typeOf(lengthType), noLocals, w.bulkCode()})
	}
	if w.plan.grows {
		w.helpers = append(w.helpers, helper{"countersign.grow", w.typeOf(lengthType), noLocals, w.growCode()})
	}
}

var (
	refillType = wasm.FuncType{Params: []wasm.ValType{wasm.I64}, Results: []wasm.ValType{wasm.I64}}
	noLocals   = []byte{0}
)

func oneLocal(t wasm.ValType) []byte { return []byte{1, 1, byte(t)} }

// refillCode asks the host until the balance is not negative; a grant that is
// not positive ends the run.
func (w *writer) refillCode() []byte {
	out := []byte{opLoop, noType}
	out = appendU(append(out, opGlobalGet), uint64(w.fuel))
	out = appendCall(out, w.imports)
	out = append(out, opLocalTee, 0, opI64Const, 0, opI64LeS, opIf, noType, opUnreachable, opEnd)
	out = appendU(append(out, opGlobalGet), uint64(w.fuel))
	out = append(out, opLocalGet, 0, opI64Add, opGlobalSet)
	out = appendU(out, uint64(w.fuel))
	out = appendU(append(out, opGlobalGet), uint64(w.fuel))
	return append(out, opI64Const, 0, opI64LtS, opBrIf, 0, opEnd, opEnd)
}

// bulkCode charges for a length in bytes, checks, and gives the length back.
func (w *writer) bulkCode() []byte {
	out := appendU([]byte{opGlobalGet}, uint64(w.fuel))
	out = append(out, opLocalGet, 0, opI32Const, bulkShift, opI32ShrU, opI64ExtendU, opI64Sub, opGlobalSet)
	out = w.check(appendU(out, uint64(w.fuel)))
	return append(out, opLocalGet, 0, opEnd)
}

// growCode refuses what is over the maximum by itself; an engine that cannot
// grow below the maximum leaves the mark of a host out of memory.
func (w *writer) growCode() []byte {
	out := []byte{opMemorySize, 0, opI64ExtendU, opLocalGet, 0, opI64ExtendU, opI64Add, opI64Const}
	out = append(appendS(out, int64(w.pages)), opI64GtU, opIf, noType, opI32Const, 0x7f, opReturn, opEnd)
	out = appendU(append(out, opGlobalGet), uint64(w.fuel))
	out = append(out, opLocalGet, 0, opI64ExtendU, opI64Const)
	out = append(appendS(out, costPage), opI64Mul, opI64Sub, opGlobalSet)
	out = w.check(appendU(out, uint64(w.fuel)))
	out = append(out, opLocalGet, 0, opMemoryGrow, 0, opLocalTee, 0, opI32Const, 0x7f, opI32Eq, opIf, noType, opI64Const)
	out = appendU(append(appendS(out, math.MinInt64), opGlobalSet), uint64(w.fuel))
	return append(out, opUnreachable, opEnd, opLocalGet, 0, opEnd)
}

// names renumbers the source's function names and adds the helpers'.
func (w *writer) names() []byte {
	if len(w.m.Names.Funcs) == 0 && w.m.Names.Module == "" {
		return nil
	}
	all := map[uint32]string{w.imports: abi.Countersign + "." + abi.Refill}
	for f, name := range w.m.Names.Funcs {
		if uint64(f) < uint64(w.m.NumFuncs()) {
			all[w.index(f)] = name
		}
	}
	for i, h := range w.helpers {
		all[w.refillFn+uint32(i)] = h.name
	}
	sub := appendU(nil, uint64(len(all)))
	for _, f := range slices.Sorted(maps.Keys(all)) {
		sub = appendName(appendU(sub, uint64(f)), all[f])
	}
	out := appendName(nil, "name")
	if w.m.Names.Module != "" {
		out = appendSection(out, 0, appendName(nil, w.m.Names.Module))
	}
	return appendSection(out, 1, sub)
}
