package main

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/countersign/countersign/internal/wasm"
)

// lane is a float type, or a shape of vectors of floats.
type lane byte

const (
	f32 lane = iota
	f64
	f32x4
	f64x2
)

// laneOps has the instructions of a lane: unary ones that keep a NaN's bits, or
// not, binary ones, and for vectors those that choose one operand, by their number
// behind the prefix.
type laneOps struct {
	typ             wasm.ValType
	abs             int
	unary, binary   []int
	choose, compare []int
}

var ops = [...]laneOps{
	f32:   {wasm.F32, 0x8b, []int{0x8d, 0x8e, 0x8f, 0x90, 0x91, 0x91}, span(0x92, 6), nil, span(0x5b, 6)},
	f64:   {wasm.F64, 0x99, []int{0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0x9f}, span(0xa0, 6), nil, span(0x61, 6)},
	f32x4: {wasm.V128, 0xe0, []int{0x67, 0x68, 0x69, 0x6a, 0xe3}, span(0xe4, 6), span(0xea, 2), span(0x41, 6)},
	f64x2: {wasm.V128, 0xec, []int{0x74, 0x75, 0x7a, 0x94, 0xef}, span(0xf0, 6), span(0xf6, 2), span(0x47, 6)},
}

func span(first, n int) (all []int) {
	for i := range n {
		all = append(all, first+i)
	}
	return all
}

func laneOf(t wasm.ValType) lane {
	switch t {
	case wasm.F32:
		return f32
	case wasm.F64:
		return f64
	}
	return f32x4
}

func (l lane) width() int { return []int{4, 8, 4, 8}[l] }

// laneOp writes one of a lane's instructions.
func (g *generator) laneOp(l lane, some []int) {
	if op := some[g.IntN(len(some))]; l < f32x4 {
		g.op(byte(op))
	} else {
		g.vector(op)
	}
}

var (
	consts32 = []uint32{0, 0x80000000, 0x3f800000, 0xbf800000, 0xc0100000, 0x7f7fffff, 1, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7fa12345, 0xff812345, 0x7fe00001}
	consts64 = []uint64{0, 1 << 63, 0x3ff0000000000000, 0xbff0000000000000, 0xc002000000000000, 0x7fefffffffffffff, 1, 0x7ff0000000000000, 0xfff0000000000000,
		0x7ff8000000000000, 0xfff8000000000000, 0x7ff4000012345678, 0xfff4000012345678, 0x7ffc000000000001}
)

// floatConst is a constant: a number, an infinity or a NaN.
func floatConst(code []byte, r *rand.Rand, t wasm.ValType) []byte {
	switch t {
	case wasm.F32:
		return binary.LittleEndian.AppendUint32(append(code, byte(wasm.OpF32Const)), consts32[r.IntN(len(consts32))])
	case wasm.F64:
		return binary.LittleEndian.AppendUint64(append(code, byte(wasm.OpF64Const)), consts64[r.IntN(len(consts64))])
	}
	code = append(code, prefixVector, opV128Const)
	if r.IntN(2) == 0 {
		for range 2 {
			code = binary.LittleEndian.AppendUint64(code, consts64[r.IntN(len(consts64))])
		}
		return code
	}
	for range 4 {
		code = binary.LittleEndian.AppendUint32(code, consts32[r.IntN(len(consts32))])
	}
	return code
}
