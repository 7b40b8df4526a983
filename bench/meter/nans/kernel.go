package main

import (
	"slices"

	"github.com/countersign/countersign/internal/wasm"
)

// kernel is a counted loop that loads and stores floats of one type, as those are
// that make their stores canonical behind them. Operands overlap or not. Now and
// then something in it could tell how a NaN is stored, an address is not aligned,
// or it is too short.
type kernel struct {
	*generator
	lane
	i, p, t uint32 // locals: the counter, an address that moves, one that is kept
	home    uint32 // the parameter that most addresses are relative to
	step    int
	spoiled bool
	stored  []place // so far in a turn
}

// place is an address that is stored at, and the offset of the store.
type place struct {
	code []byte
	near int
}

func (g *generator) kernel() {
	k := &kernel{generator: g, lane: lane(g.IntN(2)), i: g.integer(localK), p: g.integer(localP), t: g.integer(localT), home: g.Uint32N(2)}
	k.step = k.width() << []int{0, 0, 0, 1, 1, 2, 3}[g.IntN(7)]
	k.spoiled = g.IntN(5) == 0
	span := k.step * (1 + g.IntN(40))
	start := k.width()*g.IntN(8) + k.step
	if g.IntN(10) == 0 {
		start++
	}
	until := start + span
	if g.IntN(2) == 0 {
		start, until, k.step = until, start, -k.step
	}
	n := g.integer(localN)
	bound := g.IntN(3)
	if bound == 0 { // against zero
		start, until = start-until, 0
		if start < 0 {
			start, k.step = -start, -k.step
		}
	}
	g.i32(start)
	g.set(k.i)
	g.i32(until)
	g.set(n)
	g.get(uint32(g.IntN(2)))
	g.set(k.p)
	g.op(byte(wasm.OpLoop), noType)
	k.body()
	k.count()
	switch bound {
	case 1:
		g.i32(until)
		g.op(opI32Ne)
	case 2:
		g.get(n)
		g.op(opI32Ne)
	}
	g.op(byte(wasm.OpBrIf), 0, byte(wasm.OpEnd))
}

// count leaves the counter of the next turn.
func (k *kernel) count() {
	k.get(k.i)
	if k.IntN(2) == 0 {
		k.i32(k.step)
		k.op(byte(wasm.OpI32Add))
	} else {
		k.i32(-k.step)
		k.op(byte(wasm.OpI32Sub))
	}
	k.tee(k.i)
}

func (k *kernel) body() {
	moves := k.IntN(2) == 0
	spoil := k.IntN(4)
	for n := range 1 + k.IntN(4) {
		if k.spoiled && n == spoil {
			k.spoil()
		}
		if l := k.any(ops[k.lane].typ); k.IntN(3) == 0 {
			k.keep(l)
		}
		k.store()
		if moves {
			k.get(k.p)
			k.i32(k.width() * (k.IntN(5) - 2))
			k.op(byte(wasm.OpI32Add))
			k.set(k.p)
		}
	}
}

// store stores what has been computed.
func (k *kernel) store() {
	from := len(k.code)
	k.target()
	p := place{slices.Clone(k.code[from:]), k.width() * k.IntN(6)}
	k.value(2 + k.IntN(2))
	k.op([]byte{f32: opF32Store, f64: opF64Store}[k.lane], byte(k.IntN(3)))
	k.code = wasm.AppendUnsigned(k.code, uint64(p.near))
	k.stored = append(k.stored, p)
}

// again loads what was stored, in this turn or the one before.
func (k *kernel) again() {
	p := k.stored[k.IntN(len(k.stored))]
	k.op(p.code...)
	if k.IntN(2) == 0 {
		k.i32(-k.step)
		k.op(byte(wasm.OpI32Add))
	}
	k.op([]byte{f32: opF32Load, f64: opF64Load}[k.lane], byte(k.IntN(3)))
	k.code = wasm.AppendUnsigned(k.code, uint64(p.near))
}

// keep puts something into a local for later, or for the next turn.
func (k *kernel) keep(l local) {
	if !l.pure && k.IntN(2) == 0 {
		k.source()
	} else {
		k.value(2)
	}
	k.set(l.index)
}

// near is an offset.
func (k *kernel) near() { k.code = wasm.AppendUnsigned(k.code, uint64(k.width()*k.IntN(6))) }
