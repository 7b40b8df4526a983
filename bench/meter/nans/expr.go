package main

import "github.com/countersign/countersign/internal/wasm"

// expr writes an expression of a type.
func (g *generator) expr(t wasm.ValType, depth int) {
	switch t {
	case wasm.I32:
		g.int32(depth)
	case wasm.I64:
		g.int64(depth)
	default:
		g.float(t, depth)
	}
}

// float writes an expression of a float type, of arithmetic or not.
func (g *generator) float(t wasm.ValType, depth int) {
	if depth <= 0 {
		g.leafOf(t)
		return
	}
	switch g.IntN(12) {
	case 0:
		g.leafOf(t)
	case 1:
		g.signed(t)
	case 2:
		g.expr(t, depth-1)
		g.expr(t, depth-1)
		g.int32(depth - 1)
		g.op(byte(wasm.OpSelect))
	case 3:
		g.block(t, depth)
	case 4:
		l := g.any(t)
		g.assignable(l, depth-1)
		g.tee(l.index)
	case 5:
		g.made(t, depth)
	case 6:
		if t == wasm.F64 && !g.leaf && g.calls > 0 {
			g.call(depth)
			return
		}
		g.made(t, depth)
	default:
		g.arithmetic(g.laneFor(t), depth)
	}
}

// laneFor is the lane that a type is used as.
func (g *generator) laneFor(t wasm.ValType) lane {
	if t == wasm.V128 && g.IntN(2) == 0 {
		return f64x2
	}
	return laneOf(t)
}

// arithmetic writes an expression whose NaN may have any bits.
func (g *generator) arithmetic(l lane, depth int) {
	t := ops[l].typ
	switch n := g.IntN(10); {
	case n < 3:
		g.expr(t, depth-1)
		g.laneOp(l, ops[l].unary)
	case n < 5:
		g.converted(l, depth)
	default:
		g.expr(t, depth-1)
		g.expr(t, depth-1)
		g.laneOp(l, ops[l].binary)
	}
}

// converted writes a conversion from another width.
func (g *generator) converted(l lane, depth int) {
	switch l {
	case f32:
		g.expr(wasm.F64, depth-1)
		g.op(opF32DemoteF64)
	case f64:
		g.expr(wasm.F32, depth-1)
		g.op(opF64PromoteF32)
	case f32x4:
		g.expr(wasm.V128, depth-1)
		g.vector(opDemoteZero)
	case f64x2:
		g.expr(wasm.V128, depth-1)
		g.vector(opPromoteLow)
	}
}

// leafOf writes a float of one instruction, or a load.
func (g *generator) leafOf(t wasm.ValType) {
	if g.IntN(3) > 0 {
		g.get(g.any(t).index)
		return
	}
	g.exact(t)
}

// exact writes a float that arithmetic did not make.
func (g *generator) exact(t wasm.ValType) {
	switch g.IntN(3) {
	case 0:
		g.code = floatConst(g.code, g.Rand, t)
	case 1:
		g.code = index(g.code, wasm.OpGlobalGet, uint32(int(laneOf(t))+3*g.IntN(2)))
	case 2:
		g.load(t)
	}
}

// signed changes the sign of what arithmetic did not make; of a NaN that it made
// the specification leaves the sign open.
func (g *generator) signed(t wasm.ValType) {
	g.exact(t)
	switch {
	case t == wasm.V128:
		g.vector([]int{0xe1, 0xed}[g.IntN(2)])
	case g.IntN(2) == 0:
		g.op(map[wasm.ValType]byte{wasm.F32: opF32Neg, wasm.F64: opF64Neg}[t])
	default:
		g.expr(t, 1)
		g.op(map[wasm.ValType]byte{wasm.F32: opF32Copysign, wasm.F64: opF64Copysign}[t])
	}
}
