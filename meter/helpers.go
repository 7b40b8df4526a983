package meter

import (
	"math"

	"github.com/countersign/countersign/internal/wasm"
)

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
	out = wasm.AppendSigned(append(w.getFuel(out), opI64Const), int64(cost))
	return w.setFuel(append(out, opI64Sub))
}

// check appends if ($fuel < 0) call $refill.
func (w *writer) check(out []byte) []byte {
	out = append(w.getFuel(out), opI64Const, 0, opI64LtS, opIf, noType)
	return append(appendCall(out, w.refillFn), opEnd)
}

func (w *writer) getFuel(out []byte) []byte {
	return wasm.AppendUnsigned(append(out, opGlobalGet), uint64(w.fuel))
}

func (w *writer) setFuel(out []byte) []byte {
	return wasm.AppendUnsigned(append(out, opGlobalSet), uint64(w.fuel))
}

func appendCall(out []byte, f uint32) []byte {
	return wasm.AppendUnsigned(append(out, opCall), uint64(f))
}

var (
	refillType = wasm.FuncType{Params: []wasm.ValType{wasm.I64}, Results: []wasm.ValType{wasm.I64}}
	lengthType = wasm.FuncType{Params: []wasm.ValType{wasm.I32}, Results: []wasm.ValType{wasm.I32}}

	helperNames = [...]string{"countersign.refill", "countersign.bulk", "countersign.grow"}
)

// addHelpers adds $refill, and $bulk and $grow where they are called. Their
// indices were given before the code was written, so a module that needs $grow
// gets $bulk too.
func (w *writer) addHelpers() {
	w.typeOf(refillType) // first, for the import
	grant := []wasm.Local{{Count: 1, Type: wasm.I64}}
	w.addHelper(wasm.FuncType{}, grant, w.refillCode())
	if w.plan.bulk || w.plan.grows {
		w.addHelper(lengthType, nil, w.bulkCode())
	}
	if w.plan.grows {
		w.addHelper(lengthType, nil, w.growCode())
	}
}

func (w *writer) addHelper(t wasm.FuncType, locals []wasm.Local, code []byte) {
	w.out.Funcs = append(w.out.Funcs, w.typeOf(t))
	w.out.Code = append(w.out.Code, wasm.Body{Locals: locals, Code: code})
}

// refillCode asks the host until the balance is not negative; a grant that is
// not positive ends the run.
func (w *writer) refillCode() []byte {
	out := appendCall(w.getFuel([]byte{opLoop, noType}), w.imports)
	out = append(out, opLocalTee, 0, opI64Const, 0, opI64LeS, opIf, noType, opUnreachable, opEnd)
	out = w.setFuel(append(w.getFuel(out), opLocalGet, 0, opI64Add))
	return append(w.getFuel(out), opI64Const, 0, opI64LtS, opBrIf, 0, opEnd, opEnd)
}

// bulkCode charges for a length in bytes, checks, and gives the length back.
func (w *writer) bulkCode() []byte {
	out := append(w.getFuel(nil), opLocalGet, 0, opI32Const, bulkShift, opI32ShrU, opI64ExtendU, opI64Sub)
	out = w.check(w.setFuel(out))
	return append(out, opLocalGet, 0, opEnd)
}

// growCode refuses what is over the maximum by itself; an engine that cannot
// grow below the maximum leaves the mark of a host out of memory.
func (w *writer) growCode() []byte {
	out := []byte{opMemorySize, 0, opI64ExtendU, opLocalGet, 0, opI64ExtendU, opI64Add, opI64Const}
	out = append(wasm.AppendSigned(out, int64(w.pages)), opI64GtU, opIf, noType, opI32Const, 0x7f, opReturn, opEnd)
	out = append(w.getFuel(out), opLocalGet, 0, opI64ExtendU, opI64Const)
	out = append(wasm.AppendSigned(out, costPage), opI64Mul, opI64Sub)
	out = w.check(w.setFuel(out))
	out = append(out, opLocalGet, 0, opMemoryGrow, 0, opLocalTee, 0, opI32Const, 0x7f, opI32Eq, opIf, noType, opI64Const)
	out = w.setFuel(wasm.AppendSigned(out, math.MinInt64))
	return append(out, opUnreachable, opEnd, opLocalGet, 0, opEnd)
}
