package meter

import (
	"math/bits"

	"github.com/countersign/countersign/internal/wasm"
)

// function writes one function. Where it pays for the call stack its code stands
// in a block, so that every way out of it passes the same end.
type function struct {
	*writer
	result                  []wasm.ValType
	stack                   uint32        // what it pays
	balance                 uint32        // local, in functions that have loops in which nothing is called
	quiet                   bool          // in one of them
	scratch                 [lanes]uint32 // locals plus one, 0 until one is needed
	whole, turns, wideTurns uint32        // the same, for counted loops
	sums                    [lanes][2]uint32
	from                    uint32
	locals                  []wasm.Local
	next                    uint32 // index of the next local
}

func newFunction(w *writer, i int) *function {
	b, facts := &w.m.Code[i], &w.a.fns[i]
	f := &function{writer: w, result: w.m.Types[w.m.Funcs[i]].Results, stack: facts.stack,
		locals: b.Locals[:len(b.Locals):len(b.Locals)], next: w.m.NumLocals(i)}
	if w.plan.local {
		f.balance = f.newLocal(wasm.I64)
	}
	return f
}

func (f *function) newLocal(t wasm.ValType) uint32 {
	f.locals = append(f.locals, wasm.Local{Count: 1, Type: t})
	f.next++
	return f.next - 1
}

func (f *function) scratchLocal(l lane) uint32 {
	if l == f64x2 {
		l = f32x4 // vectors share their local
	}
	if f.scratch[l] == 0 {
		f.scratch[l] = f.newLocal(l.valType()) + 1
	}
	return f.scratch[l] - 1
}

// canonical makes the operand on top the canonical NaN if it is one.
func (f *function) canonical(l lane) {
	f.report.NaNs++
	x := f.scratchLocal(l)
	switch l {
	case f32, f64: // not x >= x: one jump, where x != x takes engines two
		f.code = appendIndex(appendIndex(f.code, opLocalTee, x), opLocalGet, x)
		f.code = append(f.code, isNumber[l], opI32Eqz, opIf, noType)
		f.code = append(f.code, canonicalNaN[l]...)
		f.code = append(appendIndex(f.code, opLocalSet, x), opEnd)
		f.code = appendIndex(f.code, opLocalGet, x)
	default: // bitselect(x, NaN, x == x)
		f.code = append(appendIndex(f.code, opLocalTee, x), canonicalNaN[l]...)
		f.code = appendIndex(appendIndex(f.code, opLocalGet, x), opLocalGet, x)
		f.code = append(f.code, opVector, isNumber[l], opVector, vectorBitselect)
	}
}

// What canonical writes, by lane.
var (
	isNumber     = [lanes]byte{f32: 0x60, f64: 0x66, f32x4: 0x41, f64x2: 0x47} // ge; of vectors eq
	canonicalNaN = [lanes][]byte{
		f32:   {byte(wasm.OpF32Const), 0, 0, 0xc0, 0x7f},
		f64:   {byte(wasm.OpF64Const), 0, 0, 0, 0, 0, 0, 0xf8, 0x7f},
		f32x4: {opVector, 0x0c, 0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f},
		f64x2: {opVector, 0x0c, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f},
	}
)

func (f *function) edit(e *edit) {
	switch e.kind {
	case editLoop:
		f.loop(e)
	case editLoopEnd:
		f.loopEnd(e)
	case editCounted:
	case editCountedEnd:
		f.code = append(f.code, opEnd)
	case editEnter:
		f.quiet = true
		f.code = appendIndex(f.getFuel(f.code), opLocalSet, f.balance)
	case editLeave:
		f.quiet = false
		f.spill()
	case editSpill:
		f.spill()
	case editBranch:
		f.code = appendIndex(f.code, f.m.Data[e.at], uint32(e.value))
	case editRefund:
		f.refund(&f.plan.refunds[e.value])
	case editBrTable:
		f.brTable(e)
	case editCharge:
		f.charge(e.value)
	case editCheck:
		f.check(max(e.value, 1))
	case editBareCheck:
		f.report.Checks++
		f.code = f.writer.check(f.code)
	case editHead:
		f.head(max(e.value, 1))
	case editReturn:
		f.ret(e)
	case editEntry:
		f.enter()
	case editExit:
		f.exit()
	case editSegment:
		op := wasm.Op(e.value >> 32)
		f.code = appendIndex(append(f.code, opMisc), byte(op), uint32(e.value))
		if op == wasm.OpMemoryInit {
			f.code = append(f.code, 0) // the memory
		}
	case editRef:
		f.code = appendIndex(f.code, opRefFunc, f.index(uint32(e.value)))
	default:
		f.replace(e)
	}
}

func (f *function) charge(cost uint64) {
	if cost == 0 {
		return
	}
	f.report.Charges++
	if !f.quiet {
		f.code = f.writer.charge(f.code, cost)
		return
	}
	f.code = subtract(appendIndex(f.code, opLocalGet, f.balance), cost)
	f.code = appendIndex(f.code, opLocalSet, f.balance)
}

// check charges, and asks for more where that is not enough.
func (f *function) check(cost uint64) {
	f.report.Charges++
	f.report.Checks++
	if !f.quiet {
		f.code = f.writer.check(f.writer.charge(f.code, cost))
		return
	}
	f.chargeLocal(cost)
	f.code = append(f.code, opIf, noType)
	f.code = appendIndex(appendIndex(f.code, opLocalGet, f.balance), opCall, f.refillLocal)
	f.code = append(appendIndex(f.code, opLocalSet, f.balance), opEnd)
}

// head charges at the start of a loop, which is left where that is not enough.
func (f *function) head(cost uint64) {
	f.report.Charges++
	f.report.Checks++
	f.chargeLocal(cost)
	f.code = append(f.code, opBrIf, 1)
}

// chargeLocal leaves whether the balance is negative.
func (f *function) chargeLocal(cost uint64) {
	f.code = appendIndex(f.code, opLocalGet, f.balance)
	f.code = appendIndex(subtract(f.code, cost), opLocalTee, f.balance)
	f.code = append(f.code, opI64Const, 0, opI64LtS)
}

// loop opens the blocks around a loop that is left when the balance runs out.
func (f *function) loop(e *edit) {
	typ := f.m.Data[e.at+1 : e.end]
	f.code = append(append(f.code, opBlock), typ...)
	f.code = append(append(f.code, opLoop), typ...)
	f.code = append(f.code, opBlock, noType)
	f.code = append(append(f.code, opLoop), typ...)
}

// loopEnd closes them: the charge that was too much is taken back, and made
// again behind the refill.
func (f *function) loopEnd(e *edit) {
	f.code = append(f.code, opBr, 2, opEnd)
	f.code = appendIndex(appendIndex(f.code, opLocalGet, f.balance), opCall, f.refillLocal)
	f.code = wasm.AppendSigned(append(f.code, opI64Const), int64(max(f.plan.edits[e.value].value, 1)))
	f.code = appendIndex(append(f.code, opI64Add), opLocalSet, f.balance)
	f.code = append(f.code, opBr, 0, opEnd, opEnd)
}

// refund writes a branch out of an inner loop, which gives back what was charged
// for what it jumps over.
func (f *function) refund(r *refund) {
	amount := uint64(0)
	for _, c := range f.plan.charges[r.from:r.until] {
		amount += f.plan.edits[c.edit].value - uint64(c.until)
	}
	op, label, apart := byte(opBr), r.label, r.conditional && (amount > 0 || r.leaves)
	switch {
	case apart:
		f.code = append(f.code, opIf, noType)
		label++
	case r.conditional:
		op = opBrIf
	}
	f.giveBack(amount, r.leaves)
	f.code = appendIndex(f.code, op, label)
	if apart {
		f.code = append(f.code, opEnd)
	}
}

// giveBack adds to the balance, and puts it back for what follows the loops in
// which nothing is called.
func (f *function) giveBack(amount uint64, leaves bool) {
	switch {
	case amount == 0 && !leaves:
		return
	case amount == 0:
		f.spill()
		return
	}
	f.code = wasm.AppendSigned(append(appendIndex(f.code, opLocalGet, f.balance), opI64Const), int64(amount))
	f.code = append(f.code, opI64Add)
	if leaves {
		f.code = f.setFuel(f.code)
	} else {
		f.code = appendIndex(f.code, opLocalSet, f.balance)
	}
}

func (f *function) brTable(e *edit) {
	labels := f.plan.labels[e.value:]
	f.code = wasm.AppendUnsigned(append(f.code, byte(wasm.OpBrTable)), uint64(labels[0]-1))
	for _, l := range labels[1 : labels[0]+1] {
		f.code = wasm.AppendUnsigned(f.code, uint64(l))
	}
}

// enterCounted computes what all turns of a loop cost, and leaves whether the
// balance is enough.
func (f *function) enterCounted(n *counted, cost uint64) {
	if f.whole == 0 {
		f.whole = f.newLocal(wasm.I64) + 1
	}
	f.distance(n)
	shift := bits.TrailingZeros64(uint64(n.step))
	if shift > 0 || n.wide {
		t := f.turnsLocal(n.wide)
		f.code = appendIndex(f.code, opLocalTee, t)
		f.code = f.shift(f.code, n.wide, shift)
		// Whether the bound is met exactly, and soon enough.
		defer func() {
			f.code = appendIndex(f.code, opLocalGet, t)
			f.code = f.misses(f.code, n.wide, shift)
			f.code = append(f.code, opI32And)
		}()
	}
	if !n.wide {
		f.code = append(f.code, opI64ExtendU)
	}
	f.code = append(f.code, opI64Const, 1, opI64Add, opI64Const)
	f.code = append(wasm.AppendSigned(f.code, int64(cost)), opI64Mul)
	f.code = appendIndex(f.code, opLocalSet, f.whole-1)
	f.code = appendIndex(appendIndex(f.code, opLocalGet, f.balance), opLocalGet, f.whole-1)
	f.code = append(f.code, opI64Sub)
	f.code = appendIndex(f.code, opLocalTee, f.whole-1)
	f.code = append(f.code, opI64Const, 0, opI64GeS)
}

func (f *function) payCounted() {
	f.code = appendIndex(appendIndex(f.code, opLocalGet, f.whole-1), opLocalSet, f.balance)
}

func (f *function) turnsLocal(wide bool) uint32 {
	slot, t := &f.turns, wasm.I32
	if wide {
		slot, t = &f.wideTurns, wasm.I64
	}
	if *slot == 0 {
		*slot = f.newLocal(t) + 1
	}
	return *slot - 1
}

// distance leaves how far the local has to go, in the direction of its step.
func (f *function) distance(n *counted) {
	sub, constant := byte(opI32Sub), byte(opI32Const)
	if n.wide {
		sub, constant = opI64Sub, opI64Const
	}
	until := func() {
		if n.until.fixed {
			f.code = wasm.AppendSigned(append(f.code, constant), n.until.off)
			return
		}
		f.code = appendIndex(f.code, opLocalGet, n.until.local)
		if n.until.off != 0 {
			f.code = append(wasm.AppendSigned(append(f.code, constant), -n.until.off), sub)
		}
	}
	from := func() {
		f.code = appendIndex(f.code, opLocalGet, n.local)
		if n.off != 0 {
			f.code = append(wasm.AppendSigned(append(f.code, constant), -n.off), sub)
		}
	}
	if n.step > 0 {
		until()
		from()
	} else {
		from()
		until()
	}
	f.code = append(f.code, sub)
}

func (f *function) shift(out []byte, wide bool, by int) []byte {
	if by == 0 {
		return out
	}
	if wide {
		return append(out, opI64Const, byte(by), opI64ShrU)
	}
	return append(out, opI32Const, byte(by), opI32ShrU)
}

// misses leaves 1 where a distance is a whole number of steps, and below 2⁴⁰.
func (f *function) misses(out []byte, wide bool, shift int) []byte {
	mask := int64(1)<<shift - 1
	if wide {
		mask |= -1 << 40
		return append(wasm.AppendSigned(append(out, opI64Const), mask), opI64And, opI64Eqz)
	}
	return append(wasm.AppendSigned(append(out, opI32Const), mask), opI32And, opI32Eqz)
}

// enter pays for the call stack and opens the block.
func (f *function) enter() {
	if f.stack == 0 {
		return
	}
	f.report.Stacked++
	f.code = append(wasm.AppendSigned(append(appendIndex(f.code, opGlobalGet, f.writer.stack), opI32Const), int64(f.stack)), opI32Sub)
	f.code = appendIndex(appendIndex(f.code, opGlobalSet, f.writer.stack), opGlobalGet, f.writer.stack)
	f.code = append(f.code, opI32Const, 0, opI32LtS, opIf, noType, opUnreachable, opEnd)
	f.code = append(f.code, opBlock)
	switch len(f.result) {
	case 0:
		f.code = append(f.code, noType)
	case 1:
		f.code = append(f.code, byte(f.result[0]))
	default:
		f.code = wasm.AppendSigned(f.code, int64(f.typeOf(wasm.FuncType{Results: f.result})))
	}
}

// exit closes the block, and gives back what enter took.
func (f *function) exit() {
	if f.stack == 0 {
		return
	}
	f.code = append(f.code, opEnd)
	f.code = append(wasm.AppendSigned(append(appendIndex(f.code, opGlobalGet, f.writer.stack), opI32Const), int64(f.stack)), opI32Add)
	f.code = appendIndex(f.code, opGlobalSet, f.writer.stack)
}

func (f *function) ret(e *edit) {
	if f.stack > 0 {
		f.code = appendIndex(f.code, opBr, uint32(e.value))
	} else {
		f.code = append(f.code, opReturn)
	}
}

// spill puts the balance where others look for it.
func (f *function) spill() { f.code = f.setFuel(appendIndex(f.code, opLocalGet, f.balance)) }

// replace writes what stands in the place of an instruction, or before it.
func (f *function) replace(e *edit) {
	switch e.kind {
	case editCall:
		f.code = appendIndex(f.code, opCall, f.index(uint32(e.value)))
		return
	case editIndirect:
		f.code = append(f.code, f.m.Data[e.at:e.end]...)
		return
	}
	f.report.Bulk++
	helper := map[editKind]uint32{editGrow: f.grow, editBulk: f.bulk, editElements: f.elements}[e.kind]
	if e.kind == editTableGrow {
		helper = f.growTables[uint32(e.value)]
	}
	f.code = appendIndex(f.code, opCall, helper)
}
