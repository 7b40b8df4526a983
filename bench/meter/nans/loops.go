package main

import "github.com/countersign/countersign/internal/wasm"

// loop writes a loop of a few turns around other statements.
func (g *generator) loop(depth int, f wasm.FuncType) {
	if g.loops == 2 {
		g.store()
		return
	}
	i := g.integer([]uint32{localI, localJ}[g.loops])
	g.loops++
	turns, step := 1+g.IntN(6), 1<<g.IntN(4)
	g.i32(0)
	g.set(i)
	g.op(byte(wasm.OpBlock), noType, byte(wasm.OpLoop), noType)
	for range 1 + g.IntN(2) {
		g.statement(depth-1, f)
	}
	if g.IntN(3) == 0 {
		g.int32(1)
		g.op(byte(wasm.OpBrIf), 1)
	}
	g.get(i)
	g.i32(step)
	g.op(byte(wasm.OpI32Add))
	g.tee(i)
	g.i32(turns * step)
	g.op(opI32Ne, byte(wasm.OpBrIf), 0, byte(wasm.OpEnd), byte(wasm.OpEnd))
	g.loops--
}

// carried writes a loop whose parameter and result is a float.
func (g *generator) carried(depth int) {
	if g.loops == 2 {
		g.store()
		return
	}
	t := floatTypes[g.IntN(3)]
	i := g.integer([]uint32{localI, localJ}[g.loops])
	typ := g.typ(wasm.FuncType{Params: []wasm.ValType{t}, Results: []wasm.ValType{t}})
	g.loops++
	g.i32(1 + g.IntN(5))
	g.set(i)
	g.expr(t, 2)
	g.code = wasm.AppendSigned(append(g.code, byte(wasm.OpLoop)), int64(typ))
	if x := uint32(laneOf(t)); g.IntN(2) == 0 { // something looks at it
		g.code = index(index(g.code, wasm.OpGlobalSet, x), wasm.OpGlobalGet, x)
	}
	g.expr(t, depth-1)
	g.laneOp(laneOf(t), ops[laneOf(t)].binary)
	g.get(i)
	g.i32(1)
	g.op(byte(wasm.OpI32Sub))
	g.tee(i)
	g.op(byte(wasm.OpBrIf), 0, byte(wasm.OpEnd))
	g.loops--
	if l := g.any(t); l.pure {
		g.code = index(g.code, wasm.OpGlobalSet, uint32(laneOf(t)))
	} else {
		g.set(l.index)
	}
}
