package main

import "github.com/countersign/countersign/internal/wasm"

// relative writes what addresses are relative to: mostly the same, so that what
// is stored is loaded again.
func (k *kernel) relative() {
	if k.IntN(3) == 0 {
		k.get(1 - k.home)
	} else {
		k.get(k.home)
	}
}

// target writes the address of a store.
func (k *kernel) target() {
	switch k.IntN(4) {
	case 0:
		k.get(k.i)
	case 1:
		k.get(k.i)
		k.relative()
		k.op(byte(wasm.OpI32Add))
	default:
		k.relative()
		k.get(k.i)
		k.op(byte(wasm.OpI32Add))
	}
	if k.IntN(4) == 0 {
		k.i32(k.width() * k.IntN(4))
		k.op(byte(wasm.OpI32Add))
	}
	if k.IntN(4) == 0 {
		k.tee(k.t)
	}
}

// source writes a load, where something was stored perhaps.
func (k *kernel) source() {
	if len(k.stored) > 0 && k.IntN(3) == 0 {
		k.again()
		return
	}
	switch k.IntN(6) {
	case 0:
		k.get(k.p)
	case 1:
		k.get(uint32(k.IntN(2)))
	default:
		k.target()
	}
	k.op([]byte{f32: opF32Load, f64: opF64Load}[k.lane], byte(k.IntN(3)))
	k.near()
}

// value writes arithmetic.
func (k *kernel) value(depth int) {
	switch k.IntN(5) {
	case 0:
		k.operand(depth - 1)
		k.laneOp(k.lane, ops[k.lane].unary)
	default:
		k.operand(depth - 1)
		k.operand(depth - 1)
		k.laneOp(k.lane, ops[k.lane].binary)
	}
}

func (k *kernel) operand(depth int) {
	t := ops[k.lane].typ
	switch n := k.IntN(12); {
	case n == 0:
		k.code = floatConst(k.code, k.Rand, t)
	case n < 3:
		k.get(k.any(t).index)
	case n == 3:
		k.source()
		k.op(map[lane]byte{f32: opF32Neg, f64: opF64Neg}[k.lane])
	case n == 4 && depth > 0:
		k.operand(depth - 1)
		k.operand(depth - 1)
		k.operand(depth - 1)
		k.operand(depth - 1)
		k.laneOp(k.lane, ops[k.lane].compare)
		k.op(byte(wasm.OpSelect))
	case n == 5:
		l := k.any(t)
		if l.pure {
			k.value(1)
		} else {
			k.source()
		}
		k.tee(l.index)
	case n < 8 || depth <= 0:
		k.source()
	default:
		k.value(depth)
	}
}

// spoil writes something that looks at the bits in memory, or changes them.
func (k *kernel) spoil() {
	t := ops[k.lane].typ
	global := uint32(k.lane)
	n := k.IntN(7)
	if n == 2 && len(k.stored) == 0 {
		n = 0
	}
	switch n {
	case 0:
		k.source()
		k.code = index(k.code, wasm.OpGlobalSet, global)
	case 1:
		k.target()
		k.source()
		k.op([]byte{f32: opF32Store, f64: opF64Store}[k.lane], 2)
		k.near()
	case 2:
		k.target()
		k.op(k.stored[0].code...)
		k.op(0x29, 0) // i64.load
		k.near()
		k.op(0x37, 0) // i64.store
		k.near()
	case 3:
		k.target()
		k.arithmetic(f32x4, 2)
		k.op(prefixVector, 0x0b, 0, 0)
	case 4:
		k.target()
		k.expr(t, 2)
		k.op([]byte{f32: opF32Store, f64: opF64Store}[k.lane], 0, byte(k.IntN(9)))
	case 5:
		k.source()
		k.source()
		k.laneOp(k.lane, ops[k.lane].binary)
		k.code = index(k.code, wasm.OpGlobalSet, global)
	case 6:
		l := k.any(t)
		k.source()
		if l.pure {
			k.op(byte(wasm.OpDrop))
		} else {
			k.set(l.index)
		}
	}
}
