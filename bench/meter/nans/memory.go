package main

import "github.com/countersign/countersign/internal/wasm"

// base writes an address below 4,096.
func (g *generator) base() {
	if g.leaf || g.IntN(4) == 0 {
		g.i32(4 * g.IntN(400))
		return
	}
	g.get(uint32(g.IntN(2)))
}

// address writes an address, which hardly ever is outside of the memory.
func (g *generator) address() {
	g.base()
	if !g.leaf && g.IntN(2) == 0 {
		g.get(g.integer([]uint32{localI, localJ, localK}[g.IntN(3)]))
		g.op(byte(wasm.OpI32Add))
	}
	if g.IntN(300) == 0 {
		g.i32(1 << 16)
		g.op(byte(wasm.OpI32Add))
	}
}

// access writes a load or store, mostly at an offset that is aligned.
func (g *generator) access(op byte, align int) {
	g.op(op, byte(g.IntN(align+1)))
	g.offset(4)
}

func (g *generator) offset(width int) {
	n := width * g.IntN(16)
	if g.IntN(12) == 0 {
		n++
	}
	g.code = wasm.AppendUnsigned(g.code, uint64(n))
}

func (g *generator) load(t wasm.ValType) {
	g.address()
	switch t {
	case wasm.F32:
		g.access(opF32Load, 2)
	case wasm.F64:
		g.access(opF64Load, 3)
	default:
		g.op(prefixVector)
		op := []byte{0x00, 0x00, 0x00, 0x09, 0x0a, 0x5c, 0x5d}[g.IntN(7)] // load, splat, zero
		g.access(op, 2)
	}
}

// store writes a store of anything.
func (g *generator) store() {
	g.address()
	switch g.IntN(6) {
	case 0, 1:
		g.expr(wasm.F32, 3)
		g.access(opF32Store, 2)
	case 2, 3:
		g.expr(wasm.F64, 3)
		g.access(opF64Store, 3)
	case 4:
		g.expr(wasm.V128, 3)
		g.op(prefixVector)
		if n := g.IntN(3); n > 0 {
			g.access([]byte{1: 0x5a, 2: 0x5b}[n], 2) // store32_lane, store64_lane
			g.op(byte(g.IntN(2)))
		} else {
			g.access(0x0b, 4)
		}
	case 5:
		g.int64(3)
		g.access(0x37, 3)
	}
}
