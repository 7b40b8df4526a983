package meter

import (
	"math/rand/v2"

	"github.com/countersign/countersign/internal/wasm"
)

// floatModule is a module with functions of random floating-point code: scalars
// and vectors, locals, loops, and now and then what looks like metering.
func floatModule(r *rand.Rand) []byte {
	types := []wasm.ValType{wasm.F32, wasm.F64, wasm.V128}
	m := &wasm.Module{Exports: []wasm.Export{{Name: "memory", Kind: wasm.ExportMemory}}, Memory: &wasm.Limits{Min: 1, Max: -1}}
	for n := range 3 {
		g := floatGenerator{Rand: r, params: make([]wasm.ValType, r.IntN(3)), result: types[r.IntN(3)]}
		for i := range g.params {
			g.params[i] = types[r.IntN(3)]
		}
		g.all = g.params[:len(g.params):len(g.params)]
		for range 1 + r.IntN(3) {
			t := types[r.IntN(3)]
			g.locals, g.all = append(g.locals, wasm.Local{Count: 1, Type: t}), append(g.all, t)
		}
		m.Types = append(m.Types, wasm.FuncType{Params: g.params, Results: []wasm.ValType{g.result}})
		m.Funcs = append(m.Funcs, uint32(n))
		m.Code = append(m.Code, wasm.Body{Locals: g.locals, Code: g.body()})
	}
	return m.Encode()
}

type floatGenerator struct {
	*rand.Rand
	params, all []wasm.ValType
	locals      []wasm.Local
	result      wasm.ValType
	out         []byte
}

func (g *floatGenerator) body() []byte {
	for range 1 + g.IntN(6) {
		g.statement()
	}
	g.expr(g.result, 3)
	return append(g.out, opEnd)
}

func (g *floatGenerator) statement() {
	x := g.IntN(len(g.all))
	switch g.IntN(6) {
	case 0, 1, 2:
		g.expr(g.all[x], 3)
		g.out = append(g.out, opLocalSet, byte(x))
	case 3:
		g.out = append(g.out, opLoop, noType)
		g.statement()
		g.out = append(g.out, opI32Const, 0, opBrIf, 0, opEnd)
	case 4:
		g.expr(g.all[x], 2)
		g.out = append(g.out, byte(wasm.OpDrop))
	case 5: // canonical as metering writes it, in a local of the guest
		g.expr(g.all[x], 1)
		l := map[wasm.ValType]lane{wasm.F32: f32, wasm.F64: f64, wasm.V128: f32x4}[g.all[x]]
		s := nanSequence(l, uint32(x))
		g.out = append(g.out, s.before...)
		g.out = append(g.out, opLocalSet, byte(x))
	}
}

// What one value becomes another by, and two become one.
var floatUnary = map[wasm.ValType][][]byte{
	wasm.F32: {{0x8b}, {0x8c}, {0x91}, {0x8f}}, wasm.F64: {{0x99}, {0x9a}, {0x9f}},
	wasm.V128: {{0xfd, 0xe0, 1}, {0xfd, 0xe3, 1}, {0xfd, 0xef, 1}, {0xfd, 0x4d}},
}

var floatBinary = map[wasm.ValType][][]byte{
	wasm.F32: {{0x92}, {0x95}, {0x96}, {0x98}}, wasm.F64: {{0xa0}, {0xa3}, {0xa6}},
	wasm.V128: {{0xfd, 0xe4, 1}, {0xfd, 0xf0, 1}, {0xfd, 0xea, 1}, {0xfd, 0xf6, 1}, {0xfd, 0x51}},
}

func (g *floatGenerator) expr(t wasm.ValType, depth int) {
	pick := func(from [][]byte) []byte { return from[g.IntN(len(from))] }
	switch n := g.IntN(8); {
	case depth == 0 || n == 0:
		g.leaf(t)
	case n < 3:
		g.expr(t, depth-1)
		g.out = append(g.out, pick(floatUnary[t])...)
	case n == 3:
		g.expr(t, depth-1)
		g.expr(t, depth-1)
		g.out = append(g.out, opI32Const, 1, byte(wasm.OpSelect))
	case n == 4 && t == wasm.V128:
		g.expr(wasm.F32, depth-1)
		g.out = append(g.out, opVector, 0x13)
	case n == 4:
		g.expr(map[wasm.ValType]wasm.ValType{wasm.F32: wasm.F64, wasm.F64: wasm.F32}[t], depth-1)
		g.out = append(g.out, map[wasm.ValType]byte{wasm.F32: 0xb6, wasm.F64: 0xbb}[t])
	default:
		g.expr(t, depth-1)
		g.expr(t, depth-1)
		g.out = append(g.out, pick(floatBinary[t])...)
	}
}

func (g *floatGenerator) leaf(t wasm.ValType) {
	for _, x := range g.Perm(len(g.all)) {
		if g.all[x] == t {
			g.out = append(g.out, opLocalGet, byte(x))
			return
		}
	}
	g.out = append(g.out, canonicalNaN[map[wasm.ValType]lane{wasm.F32: f32, wasm.F64: f64, wasm.V128: f32x4}[t]]...)
}
