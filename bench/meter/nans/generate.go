package main

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/countersign/countersign/internal/wasm"
)

// generator makes up a module that computes with NaNs, infinities and numbers,
// and looks at what it has computed in every way that there is.
type generator struct {
	*rand.Rand
	m *wasm.Module

	// Of the function at hand.
	code   []byte
	locals []local
	params uint32
	loops  int  // around what is written next
	calls  int  // that may still be written
	leaf   bool // nothing is called, and nothing loops
}

// local is a parameter or local of a float type. A pure one never holds anything
// but what arithmetic of its lane made, and its initial zero.
type local struct {
	index uint32
	typ   wasm.ValType
	pure  bool
	lane  lane
}

var floatTypes = []wasm.ValType{wasm.F32, wasm.F64, wasm.V128}

// The functions that others call. The first is in the table too.
const (
	leafScalar = iota // (f64 f64) → f64
	leafVector        // (f32 v128) → f32 v128
	leaves
)

// The locals of integers, behind a function's parameters; leaves have none.
const (
	localI        uint32 = iota // counts a loop
	localJ                      // counts a loop in it
	localK                      // counts a kernel
	localP                      // an address that moves
	localT                      // an address that is kept
	localN                      // where a kernel ends
	integerLocals               // how many there are
)

func generate(r *rand.Rand) *wasm.Module {
	m := &wasm.Module{Memory: &wasm.Limits{Min: 1, Max: 1}, Tables: []wasm.Table{{Type: wasm.FuncRef, Limits: wasm.Limits{Min: 1, Max: 1}}}}
	g := &generator{Rand: r, m: m}
	m.Segs = []wasm.Segment{{Expr: wasm.Const{byte(wasm.OpI32Const), 0, byte(wasm.OpEnd)}, Data: g.memory()}}
	m.Elems = []wasm.Elem{{Type: wasm.FuncRef, Expr: wasm.Const{byte(wasm.OpI32Const), 0, byte(wasm.OpEnd)}, Funcs: []uint32{leafScalar}}}
	for _, t := range append(floatTypes, floatTypes...) {
		m.Globals = append(m.Globals, wasm.Global{Type: t, Mutable: true, Init: append(floatConst(nil, r, t), byte(wasm.OpEnd))})
	}
	g.function(wasm.FuncType{Params: []wasm.ValType{wasm.F64, wasm.F64}, Results: []wasm.ValType{wasm.F64}}, true)
	g.function(wasm.FuncType{Params: []wasm.ValType{wasm.F32, wasm.V128}, Results: []wasm.ValType{wasm.F32, wasm.V128}}, true)
	for range 2 + r.IntN(4) {
		t := wasm.FuncType{Params: []wasm.ValType{wasm.I32, wasm.I32}}
		for range r.IntN(4) {
			t.Params = append(t.Params, floatTypes[r.IntN(3)])
		}
		for range r.IntN(3) {
			t.Results = append(t.Results, []wasm.ValType{wasm.F32, wasm.F64, wasm.V128, wasm.I32, wasm.I64}[r.IntN(5)])
		}
		g.function(t, false)
	}
	return m
}

// memory is full of a few numbers, infinities and NaNs, which are what they are
// as halves of f64 too.
func (g *generator) memory() []byte {
	few := []uint32{0, 0, 0x3ff00000, 0x40000000, 0xc0100000, 0x7ff00000, 0xfff00000, 0x7ff80000, 0xfff80000, 0x7ff40001, 0x7f800000, 0xff800000, 0xffc00000, 0x7fa12345}
	kinds := 1 + g.IntN(len(few))
	data := make([]byte, 6144)
	for at := 0; at < len(data); at += 4 {
		binary.LittleEndian.PutUint32(data[at:], few[g.IntN(kinds)])
	}
	return data
}

// typ is the index of a function type.
func (g *generator) typ(t wasm.FuncType) uint32 {
	g.m.Types = append(g.m.Types, t)
	return uint32(len(g.m.Types) - 1)
}

func (g *generator) function(t wasm.FuncType, leaf bool) {
	g.code, g.locals, g.loops, g.calls, g.leaf = nil, nil, 0, 3, leaf
	typ := g.typ(t)
	for i, p := range t.Params {
		if p != wasm.I32 {
			g.locals = append(g.locals, local{index: uint32(i), typ: p})
		}
	}
	var declared []wasm.Local
	next := uint32(len(t.Params))
	if !leaf {
		declared, next = append(declared, wasm.Local{Count: integerLocals, Type: wasm.I32}), next+integerLocals
	}
	for range 3 {
		for _, t := range floatTypes {
			l := local{index: next, typ: t, pure: g.IntN(3) > 0, lane: laneOf(t)}
			if t == wasm.V128 && g.IntN(2) == 0 {
				l.lane = f64x2
			}
			declared, next = append(declared, wasm.Local{Count: 1, Type: t}), next+1
			g.locals = append(g.locals, l)
		}
	}
	g.params = uint32(len(t.Params))
	for range 3 + g.IntN(5) {
		g.statement(3, t)
	}
	for _, r := range t.Results {
		g.expr(r, 3)
	}
	g.op(byte(wasm.OpEnd))
	g.m.Funcs = append(g.m.Funcs, typ)
	g.m.Code = append(g.m.Code, wasm.Body{Locals: declared, Code: g.code})
	g.m.Exports = append(g.m.Exports, wasm.Export{Kind: wasm.ExportFunc, Index: uint32(len(g.m.Funcs) - 1)})
}

// integer is the index of one of a function's locals of integers.
func (g *generator) integer(i uint32) uint32 { return g.params + i }

func (g *generator) op(code ...byte) { g.code = append(g.code, code...) }

func (g *generator) get(i uint32) { g.code = index(g.code, wasm.OpLocalGet, i) }
func (g *generator) set(i uint32) { g.code = index(g.code, wasm.OpLocalSet, i) }
func (g *generator) tee(i uint32) { g.code = index(g.code, wasm.OpLocalTee, i) }

func (g *generator) i32(n int) {
	g.code = wasm.AppendSigned(append(g.code, byte(wasm.OpI32Const)), int64(n))
}

func (g *generator) vector(op int) {
	g.code = wasm.AppendUnsigned(append(g.code, prefixVector), uint64(op))
}

// any is one of the locals of a type; there is one of each.
func (g *generator) any(t wasm.ValType) local {
	for {
		if l := g.locals[g.IntN(len(g.locals))]; l.typ == t {
			return l
		}
	}
}
