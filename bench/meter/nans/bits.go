package main

import "github.com/countersign/countersign/internal/wasm"

// made writes a float that keeps the bits of what it is made of.
func (g *generator) made(t wasm.ValType, depth int) {
	switch t {
	case wasm.F32:
		g.scalar32(depth)
	case wasm.F64:
		g.scalar64(depth)
	default:
		g.vectorOf(depth)
	}
}

func (g *generator) scalar32(depth int) {
	switch g.IntN(4) {
	case 0:
		g.int32(depth - 1)
		g.op(opF32ReinterpretI32)
	case 1:
		g.int32(depth - 1)
		g.op(0xb2) // f32.convert_i32_s
	case 2:
		g.expr(wasm.V128, depth-1)
		g.op(prefixVector, 0x1f, byte(g.IntN(4))) // f32x4.extract_lane
	case 3:
		g.expr(wasm.F32, depth-1)
		g.op(byte(ops[f32].abs))
	}
}

func (g *generator) scalar64(depth int) {
	switch g.IntN(4) {
	case 0:
		g.int64(depth - 1)
		g.op(opF64ReinterpretI64)
	case 1:
		g.int64(depth - 1)
		g.op(0xb9) // f64.convert_i64_s
	case 2:
		g.expr(wasm.V128, depth-1)
		g.op(prefixVector, 0x21, byte(g.IntN(2))) // f64x2.extract_lane
	case 3:
		g.expr(wasm.F64, depth-1)
		g.op(byte(ops[f64].abs))
	}
}

// vectorOf writes vectors of scalars, of lanes of others, and of their bits.
func (g *generator) vectorOf(depth int) {
	l := g.laneFor(wasm.V128)
	scalar := []wasm.ValType{f32x4: wasm.F32, f64x2: wasm.F64}[l]
	switch g.IntN(9) {
	case 0:
		g.expr(scalar, depth-1)
		g.vector([]int{f32x4: 0x13, f64x2: 0x14}[l]) // splat
	case 1:
		g.expr(wasm.V128, depth-1)
		g.expr(scalar, depth-1)
		g.op(prefixVector, []byte{f32x4: 0x20, f64x2: 0x22}[l], byte(g.IntN(16/l.width()))) // replace_lane
	case 2:
		g.expr(wasm.V128, depth-1)
		g.expr(wasm.V128, depth-1)
		g.laneOp(l, ops[l].choose)
	case 3:
		g.expr(wasm.V128, depth-1)
		g.vector(ops[l].abs)
	case 4:
		g.expr(wasm.V128, depth-1)
		g.expr(wasm.V128, depth-1)
		g.laneOp(l, ops[l].compare)
	case 5:
		g.expr(wasm.V128, depth-1)
		g.expr(wasm.V128, depth-1)
		g.vector([]int{0x4e, 0x4f, 0x50, 0x51, 0xae, 0xce}[g.IntN(6)]) // and, andnot, or, xor, i32x4.add, i64x2.add
	case 6:
		for range 3 {
			g.expr(wasm.V128, depth-1)
		}
		g.vector(0x52) // bitselect
	case 7:
		g.expr(wasm.V128, depth-1)
		g.vector([]int{0x4d, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff}[g.IntN(9)]) // not, conversions to and from integers
	case 8:
		g.expr(wasm.V128, depth-1)
		g.expr(wasm.V128, depth-1)
		g.vector(0x0d) // i8x16.shuffle
		first := byte(g.IntN(5) * 4)
		for i := range byte(16) {
			g.op(first + i)
		}
	}
}

// int32 writes an integer, mostly of what a float is.
func (g *generator) int32(depth int) {
	if depth <= 0 {
		if g.leaf || g.IntN(2) == 0 {
			g.i32(g.IntN(3))
			return
		}
		g.get(g.integer(g.Uint32N(integerLocals)))
		return
	}
	l := lane(g.IntN(2))
	switch g.IntN(8) {
	case 0, 1, 2:
		g.expr(ops[l].typ, depth-1)
		g.expr(ops[l].typ, depth-1)
		g.laneOp(l, ops[l].compare)
	case 3:
		g.expr(wasm.F32, depth-1)
		g.op(opI32ReinterpretF32)
	case 4:
		g.expr(ops[l].typ, depth-1)
		g.op(0xfc, byte(2*l)+byte(g.IntN(2))) // i32.trunc_sat
	case 5:
		g.expr(wasm.V128, depth-1)
		g.op(prefixVector, 0x1b, byte(g.IntN(4))) // i32x4.extract_lane
	case 6:
		g.expr(wasm.V128, depth-1)
		g.vector([]int{0x53, 0x64, 0xa4, 0xc4}[g.IntN(4)]) // any_true, bitmasks
	case 7:
		g.address()
		g.access(0x28, 2)
	}
}

func (g *generator) int64(depth int) {
	switch g.IntN(4) {
	case 0:
		g.expr(wasm.F64, depth-1)
		g.op(opI64ReinterpretF64)
	case 1:
		g.expr(wasm.V128, depth-1)
		g.op(prefixVector, opI64x2ExtractLane, byte(g.IntN(2)))
	case 2:
		g.address()
		g.access(0x29, 3)
	case 3:
		g.int32(depth - 1)
		g.op(opI64ExtendI32U)
	}
}
