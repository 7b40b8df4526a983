package meter

import (
	"fmt"
	"math"

	"github.com/countersign/countersign/internal/wasm"
)

// Opcodes that are written.
const (
	opUnreachable, opBlock, opLoop, opIf, opEnd, opBr, opBrIf, opReturn, opCall   = 0x00, 0x02, 0x03, 0x04, 0x0b, 0x0c, 0x0d, 0x0f, 0x10
	opLocalGet, opLocalSet, opLocalTee, opGlobalGet, opGlobalSet                  = 0x20, 0x21, 0x22, 0x23, 0x24
	opMemorySize, opMemoryGrow, opI32Const, opI64Const, opRefFunc                 = 0x3f, 0x40, 0x41, 0x42, 0xd2
	opI32Eq, opI32LtS, opI64LtS, opI64LeS, opI64GtU, opI32Add, opI32Sub           = 0x46, 0x48, 0x53, 0x57, 0x56, 0x6a, 0x6b
	opI32Eqz, opI32Ne, opI32And, opI64Eqz, opI64Ne, opI64GeS, opI64And, opI64ShrU = 0x45, 0x47, 0x71, 0x50, 0x52, 0x59, 0x83, 0x88
	opElse                                                                        = 0x05
	opI64Add, opI64Sub, opI64Mul, opI32ShrU, opI64ExtendU, noType                 = 0x7c, 0x7d, 0x7e, 0x76, 0xad, 0x40
	opVector, vectorBitselect                                                     = 0xfd, 0x52
	opMisc, miscTableGrow, miscTableSize                                          = 0xfc, 0x0f, 0x10
)

// charge appends $fuel -= cost.
func (w *writer) charge(out []byte, cost uint64) []byte {
	return w.setFuel(subtract(w.getFuel(out), cost))
}

func subtract(out []byte, cost uint64) []byte {
	return append(wasm.AppendSigned(append(out, opI64Const), int64(cost)), opI64Sub)
}

// check appends if ($fuel < 0) call $refill.
func (w *writer) check(out []byte) []byte {
	out = append(w.getFuel(out), opI64Const, 0, opI64LtS, opIf, noType)
	return append(appendIndex(out, opCall, w.refill), opEnd)
}

func (w *writer) getFuel(out []byte) []byte { return appendIndex(out, opGlobalGet, w.fuel) }
func (w *writer) setFuel(out []byte) []byte { return appendIndex(out, opGlobalSet, w.fuel) }

func appendIndex(out []byte, op byte, index uint32) []byte {
	return wasm.AppendUnsigned(append(out, op), uint64(index))
}

var (
	emptyType  = wasm.FuncType{}
	refillType = wasm.FuncType{Params: []wasm.ValType{wasm.I64}, Results: []wasm.ValType{wasm.I64}}
	lengthType = wasm.FuncType{Params: []wasm.ValType{wasm.I32}, Results: []wasm.ValType{wasm.I32}}
)

// place gives the added functions their indices: stubs of all imports, and what
// is called.
func (w *writer) place() {
	next := uint32(w.m.NumFuncs()) + 1 + w.imports // behind the source's, refill and the stubs
	take := func(used bool) uint32 {
		if !used {
			return 0
		}
		next++
		return next - 1
	}
	u := &w.a.uses
	w.refill = take(true)
	w.refillLocal, w.bulk, w.elements, w.grow = take(u.local), take(u.bulk), take(u.elements), take(u.grow)
	for _, t := range u.tables {
		w.growTables[t] = take(true)
	}
	w.start = take(w.m.Start != nil && !w.library)
}

// addFunctions writes the added functions, in the order of place.
func (w *writer) addFunctions() {
	for i, im := range w.m.Imports {
		w.add(im.Name, w.m.Types[im.Type], w.stubCode(uint32(i)))
	}
	w.add("refill", emptyType, w.refillCode(), wasm.Local{Count: 1, Type: wasm.I64})
	u := &w.a.uses
	if u.local {
		w.add("refill_local", refillType, w.refillLocalCode(), wasm.Local{Count: 1, Type: wasm.I64})
	}
	if u.bulk {
		w.add("bulk", lengthType, w.lengthCode(bulkShift))
	}
	if u.elements {
		w.add("elements", lengthType, w.lengthCode(0))
	}
	if u.grow {
		w.add("grow", lengthType, w.growCode())
	}
	for _, t := range u.tables {
		typ := wasm.FuncType{Params: []wasm.ValType{w.m.Tables[t].Type, wasm.I32}, Results: []wasm.ValType{wasm.I32}}
		w.add(fmt.Sprintf("grow_table_%d", t), typ, w.growTableCode(t))
	}
	if w.start != 0 {
		w.add("start", emptyType, w.startCode())
	}
}

// Names of what is added. An import's name that would be too long with the prefix
// is left out.
const (
	addedPrefix  = "countersign."
	maxAddedName = wasm.MaxName - len(addedPrefix)
)

func (w *writer) add(name string, t wasm.FuncType, code []byte, locals ...wasm.Local) {
	if len(name) > maxAddedName {
		name = "import"
	}
	w.added = append(w.added, addedPrefix+name)
	w.out.Funcs = append(w.out.Funcs, w.typeOf(t))
	w.out.Code = append(w.out.Code, wasm.Body{Locals: locals, Code: code})
}

// stubCode charges for a call of an imported function, checks, and calls it.
func (w *writer) stubCode(f uint32) []byte {
	out := w.check(w.charge(nil, costHostCall))
	for i := range w.m.FuncType(f).Params {
		out = appendIndex(out, opLocalGet, uint32(i))
	}
	return append(appendIndex(out, opCall, f), opEnd)
}

// refillCode asks the host until the balance is not negative; a grant that is
// not positive ends the run.
func (w *writer) refillCode() []byte {
	out := appendIndex(w.getFuel([]byte{opLoop, noType}), opCall, w.imports)
	out = append(out, opLocalTee, 0, opI64Const, 0, opI64LeS, opIf, noType, opUnreachable, opEnd)
	out = w.setFuel(append(w.getFuel(out), opLocalGet, 0, opI64Add))
	return append(w.getFuel(out), opI64Const, 0, opI64LtS, opBrIf, 0, opEnd, opEnd)
}

// refillLocalCode is refill for a balance that a function keeps in a local. The
// grants go to the global as well, so that fuel used, as far as the global knows,
// stays what it was: a trap leaves the same there whatever the slice.
func (w *writer) refillLocalCode() []byte {
	out := appendIndex([]byte{opLoop, noType, opLocalGet, 0}, opCall, w.imports)
	out = append(out, opLocalTee, 1, opI64Const, 0, opI64LeS, opIf, noType, opUnreachable, opEnd)
	out = w.setFuel(append(w.getFuel(out), opLocalGet, 1, opI64Add))
	out = append(out, opLocalGet, 0, opLocalGet, 1, opI64Add, opLocalTee, 0, opI64Const, 0, opI64LtS, opBrIf, 0, opEnd)
	return append(out, opLocalGet, 0, opEnd)
}

// lengthCode charges for a length shifted right, checks, and gives it back.
func (w *writer) lengthCode(shift byte) []byte {
	out := append(w.getFuel(nil), opLocalGet, 0, opI32Const, shift, opI32ShrU, opI64ExtendU, opI64Sub)
	out = w.check(w.setFuel(out))
	return append(out, opLocalGet, 0, opEnd)
}

// growCode refuses what is over the maximum by itself; an engine that cannot
// grow below the maximum leaves the mark of a host out of memory.
func (w *writer) growCode() []byte {
	out := overMaximum([]byte{opMemorySize, 0}, 0, uint64(w.pages))
	out = w.chargeTimes(out, 0, costPage)
	out = append(out, opLocalGet, 0, opMemoryGrow, 0)
	return w.faultIfFailed(out, 0)
}

// growTableCode is the same for a table.
func (w *writer) growTableCode(t uint32) []byte {
	out := appendIndex([]byte{opMisc}, miscTableSize, t)
	out = overMaximum(out, 1, tableMaximum(&w.m.Tables[t]))
	out = w.chargeTimes(out, 1, costElement)
	out = appendIndex(append(out, opLocalGet, 0, opLocalGet, 1, opMisc), miscTableGrow, t)
	return w.faultIfFailed(out, 1)
}

// tableMaximum is what a table may grow to.
func tableMaximum(t *wasm.Table) uint64 {
	if t.Max < 0 {
		return wasm.MaxTable
	}
	return min(uint64(t.Max), wasm.MaxTable)
}

// overMaximum returns -1 if the size on the stack and local n together are over
// the maximum.
func overMaximum(size []byte, n byte, maximum uint64) []byte {
	out := append(size, opI64ExtendU, opLocalGet, n, opI64ExtendU, opI64Add, opI64Const)
	return append(wasm.AppendSigned(out, int64(maximum)), opI64GtU, opIf, noType, opI32Const, 0x7f, opReturn, opEnd)
}

// chargeTimes charges cost for each unit in local n, and checks.
func (w *writer) chargeTimes(out []byte, n byte, cost int64) []byte {
	out = append(w.getFuel(out), opLocalGet, n, opI64ExtendU, opI64Const)
	out = append(wasm.AppendSigned(out, cost), opI64Mul, opI64Sub)
	return w.check(w.setFuel(out))
}

// faultIfFailed ends a growing function: with the result, or if that is -1 with
// the mark and a trap.
func (w *writer) faultIfFailed(out []byte, n byte) []byte {
	out = append(out, opLocalTee, n, opI32Const, 0x7f, opI32Eq, opIf, noType, opI64Const)
	out = w.setFuel(wasm.AppendSigned(out, math.MinInt64))
	return append(out, opUnreachable, opEnd, opLocalGet, n, opEnd)
}

// startCode runs the source's start function before _start.
func (w *writer) startCode() []byte {
	out := appendIndex(nil, opCall, w.index(*w.m.Start))
	for _, e := range w.m.Exports {
		if e.Name == entry {
			out = appendIndex(out, opCall, w.index(e.Index))
		}
	}
	return append(out, opEnd)
}
