package meter

import "github.com/countersign/countersign/internal/wasm"

// floatKind is what an instruction does with the bits of floats.
type floatKind byte

const (
	_          floatKind = iota
	arithmetic           // makes a float of floats; a NaN has any bits
	test                 // compares or converts to integers, and cannot tell NaNs apart
	makes                // makes a float that is no NaN
	sign                 // changes the sign, or moves lanes, and keeps the other bits
	copySign             // the same, and looks at the sign of its second operand
	chooses              // gives one of two operands
	replaces             // puts a float into a vector
)

// floatOp is an instruction on floats: how many operands of which lane, and the
// lane of the result.
type floatOp struct {
	kind     floatKind
	operands byte
	from, to lane
}

// floats has the rows of opcodes of one byte, then of those behind 0xfc, then of
// those behind 0xfd.
var floats = func() (t [3 * 256]floatOp) {
	for op, f := range buildFloats() {
		t[row(op)] = f
	}
	return t
}()

func row(op wasm.Op) int {
	switch op >> 16 {
	case 0xfc:
		return 256 + int(op&0xff)
	case 0xfd:
		return 512 + int(op&0xff)
	}
	return int(op & 0xff)
}

func floatOpOf(op wasm.Op) *floatOp { return &floats[row(op)] }

// unsure tells whether an instruction may make a NaN of any bits.
func unsure(op wasm.Op) bool { return floatOpOf(op).kind == arithmetic }

func buildFloats() map[wasm.Op]floatOp {
	t := map[wasm.Op]floatOp{}
	span := func(first, last wasm.Op, f floatOp) {
		for op := first; op <= last; op++ {
			t[op] = f
		}
	}
	each := func(f floatOp, ops ...wasm.Op) {
		for _, op := range ops {
			t[op] = f
		}
	}
	scalar := func(l lane, compare, abs, add wasm.Op) {
		span(compare, compare+5, floatOp{test, 2, l, noLane})
		span(abs, abs+1, floatOp{sign, 1, l, l})         // abs, neg
		span(abs+2, abs+6, floatOp{arithmetic, 1, l, l}) // ceil, floor, trunc, nearest, sqrt
		span(add, add+5, floatOp{arithmetic, 2, l, l})   // add, sub, mul, div, min, max
		t[add+6] = floatOp{copySign, 2, l, l}
	}
	scalar(f32, 0x5b, 0x8b, 0x92)
	scalar(f64, 0x61, 0x99, 0xa0)
	each(floatOp{test, 1, f32, noLane}, 0xa8, 0xa9, 0xae, 0xaf, 0xfc0000, 0xfc0001, 0xfc0004, 0xfc0005)
	each(floatOp{test, 1, f64, noLane}, 0xaa, 0xab, 0xb0, 0xb1, 0xfc0002, 0xfc0003, 0xfc0006, 0xfc0007)
	each(floatOp{kind: makes}, 0xb2, 0xb3, 0xb4, 0xb5, 0xb7, 0xb8, 0xb9, 0xba, 0xfd00fa, 0xfd00fb, 0xfd00fe, 0xfd00ff)
	t[0xb6], t[0xbb] = floatOp{arithmetic, 1, f64, f32}, floatOp{arithmetic, 1, f32, f64}

	vector := func(l lane, compare, abs wasm.Op) {
		span(compare, compare+5, floatOp{test, 2, l, noLane})
		span(abs, abs+1, floatOp{sign, 1, l, l})
		t[abs+3] = floatOp{arithmetic, 1, l, l}          // sqrt
		span(abs+4, abs+9, floatOp{arithmetic, 2, l, l}) // add, sub, mul, div, min, max
		span(abs+10, abs+11, floatOp{chooses, 2, l, l})  // pmin, pmax
	}
	vector(f32x4, 0xfd0041, 0xfd00e0)
	vector(f64x2, 0xfd0047, 0xfd00ec)
	span(0xfd0067, 0xfd006a, floatOp{arithmetic, 1, f32x4, f32x4})
	each(floatOp{arithmetic, 1, f64x2, f64x2}, 0xfd0074, 0xfd0075, 0xfd007a, 0xfd0094)
	each(floatOp{test, 1, f32x4, noLane}, 0xfd00f8, 0xfd00f9)
	each(floatOp{test, 1, f64x2, noLane}, 0xfd00fc, 0xfd00fd)
	t[0xfd005e], t[0xfd005f] = floatOp{arithmetic, 1, f64x2, f32x4}, floatOp{arithmetic, 1, f32x4, f64x2}
	t[0xfd0013], t[0xfd0014] = floatOp{sign, 1, f32, f32x4}, floatOp{sign, 1, f64, f64x2} // splat
	t[0xfd001f], t[0xfd0021] = floatOp{sign, 1, f32x4, f32}, floatOp{sign, 1, f64x2, f64} // extract_lane
	t[0xfd0020], t[0xfd0022] = floatOp{replaces, 2, f32x4, f32x4}, floatOp{replaces, 2, f64x2, f64x2}
	return t
}
