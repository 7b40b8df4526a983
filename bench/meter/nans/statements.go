package main

import "github.com/countersign/countersign/internal/wasm"

const noType = 0x40

// statement writes code that leaves nothing on the stack.
func (g *generator) statement(depth int, f wasm.FuncType) {
	n := g.IntN(14)
	if depth == 0 || g.leaf {
		n %= 6
	}
	switch n {
	case 0, 1, 2:
		l := g.locals[g.IntN(len(g.locals))]
		g.assignable(l, 3)
		g.set(l.index)
	case 3:
		x := g.IntN(6)
		g.expr(floatTypes[x%3], 3)
		g.code = index(g.code, wasm.OpGlobalSet, uint32(x))
	case 4:
		g.store()
	case 5:
		g.leave(f)
	case 6:
		g.int32(2)
		g.op(byte(wasm.OpIf), noType)
		g.statement(depth-1, f)
		g.op(byte(wasm.OpElse))
		g.statement(depth-1, f)
		g.op(byte(wasm.OpEnd))
	case 7, 8:
		g.loop(depth, f)
	case 9:
		g.carried(depth)
	case 10:
		g.both()
	default:
		g.kernel()
	}
}

// assignable writes what a local may hold.
func (g *generator) assignable(l local, depth int) {
	if l.pure {
		g.arithmetic(l.lane, max(1, depth))
		return
	}
	g.expr(l.typ, depth)
}

// leave returns now and then.
func (g *generator) leave(f wasm.FuncType) {
	g.i32(0)
	if g.IntN(3) == 0 {
		g.op(byte(wasm.OpDrop))
		g.int32(2)
	}
	g.op(byte(wasm.OpIf), noType)
	for _, t := range f.Results {
		g.expr(t, 2)
	}
	g.op(byte(wasm.OpReturn), byte(wasm.OpEnd))
}

// block writes blocks with a result, which a branch may give.
func (g *generator) block(t wasm.ValType, depth int) {
	if g.IntN(2) == 0 {
		g.int32(depth - 1)
		g.op(byte(wasm.OpIf), byte(t))
		g.expr(t, depth-1)
		g.op(byte(wasm.OpElse))
		g.expr(t, depth-1)
		g.op(byte(wasm.OpEnd))
		return
	}
	g.op(byte(wasm.OpBlock), byte(t))
	g.expr(t, depth-1)
	g.int32(depth - 1)
	if g.IntN(2) == 0 {
		g.op(byte(wasm.OpBrIf), 0)
		g.laneOp(g.laneFor(t), []int{ops[laneOf(t)].abs})
	} else {
		g.op(byte(wasm.OpBrTable), 1, 0, 0)
	}
	g.op(byte(wasm.OpEnd))
}

// call writes a call that gives an f64.
func (g *generator) call(depth int) {
	g.calls--
	g.expr(wasm.F64, depth-1)
	g.expr(wasm.F64, depth-1)
	if g.IntN(2) == 0 {
		g.code = index(g.code, wasm.OpCall, leafScalar)
		return
	}
	g.i32(0)
	g.op(byte(wasm.OpCallIndirect), 0, 0)
}

// both calls the function of two results, or outside of loops an earlier one.
func (g *generator) both() {
	f := uint32(leafVector)
	if n := len(g.m.Funcs); g.loops == 0 && n > leaves && g.calls > 0 {
		f = uint32(leaves + g.IntN(n-leaves))
	}
	g.calls--
	t := g.m.Types[g.m.Funcs[f]]
	for _, p := range t.Params {
		if p == wasm.I32 {
			g.base()
		} else {
			g.expr(p, 2)
		}
	}
	g.code = index(g.code, wasm.OpCall, f)
	for i := len(t.Results) - 1; i >= 0; i-- {
		l := local{pure: true}
		if r := t.Results[i]; r != wasm.I32 && r != wasm.I64 {
			l = g.any(r)
		}
		if l.pure {
			g.op(byte(wasm.OpDrop))
		} else {
			g.set(l.index)
		}
	}
}
