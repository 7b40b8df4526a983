package meter

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/countersign/countersign/internal/wasm"
)

// generator writes random functions with every way of branching, valid by
// construction. A function may call those behind it.
type generator struct {
	*rand.Rand
	out    []byte
	labels []int // arities of the open blocks
	fn     int
	budget int // of statements
}

// Functions of a generated module: the import, _start, and two of type
// (i32) → (i32).
const genFuncs = 4

func (g *generator) module() []byte {
	unary := wasm.FuncType{Params: []wasm.ValType{wasm.I32}, Results: []wasm.ValType{wasm.I32}}
	m := &wasm.Module{
		Types:   []wasm.FuncType{{}, unary, {Results: []wasm.ValType{wasm.I32}}},
		Imports: []wasm.Import{{Module: "wasi_snapshot_preview1", Name: "sched_yield", Type: 2}},
		Funcs:   []uint32{0, 1, 1},
		Memory:  &wasm.Limits{Min: 1, Max: -1},
		Exports: []wasm.Export{{Name: "memory", Kind: wasm.ExportMemory}, {Name: "_start", Index: 1}},
	}
	for g.fn = 1; g.fn < genFuncs; g.fn++ {
		g.out, g.budget = nil, 40
		results := len(m.Types[m.Funcs[g.fn-1]].Results)
		g.labels = []int{results}
		g.statements()
		if results > 0 {
			g.expr(2)
		}
		m.Code = append(m.Code, wasm.Body{Locals: []wasm.Local{{Count: 5, Type: wasm.I32}}, Code: append(g.out, opEnd)})
	}
	return m.Encode()
}

func (g *generator) op(op wasm.Op, immediates ...int64) {
	g.out = append(g.out, byte(op))
	for _, i := range immediates {
		g.out = wasm.AppendSigned(g.out, i) // all are below 64
	}
}

func (g *generator) statements() {
	for range 1 + g.IntN(5) {
		if g.budget--; g.budget < 0 {
			return
		}
		g.statement()
	}
}

func (g *generator) block(op wasm.Op) {
	g.op(op)
	g.out = append(g.out, 0x40)
	g.labels = append(g.labels, 0)
	if op == wasm.OpLoop { // something that costs: a loop that costs nothing is charged 1
		g.op(wasm.OpI32Const, 0)
		g.op(0x45)
		g.op(wasm.OpDrop)
	}
	g.statements()
	if op == wasm.OpIf && g.IntN(2) == 0 {
		g.op(wasm.OpElse)
		g.statements()
	}
	if op == wasm.OpLoop && g.IntN(2) == 0 { // again while a local counts up to 0 modulo 4
		g.op(wasm.OpLocalGet, 1)
		g.op(wasm.OpI32Const, 1)
		g.op(0x6a)
		g.op(wasm.OpLocalTee, 1)
		g.op(wasm.OpI32Const, 3)
		g.op(0x71)
		g.op(wasm.OpBrIf, 0)
	}
	g.labels = g.labels[:len(g.labels)-1]
	g.op(wasm.OpEnd)
}

func (g *generator) statement() {
	switch g.IntN(14) {
	case 0, 1:
		g.expr(2)
		g.op(wasm.OpLocalSet, g.local())
	case 2:
		g.expr(2)
		g.op(wasm.OpDrop)
	case 3:
		g.op(wasm.OpNop)
	case 4, 5:
		g.block(wasm.OpBlock)
	case 6, 7:
		g.block(wasm.OpLoop)
	case 8, 9:
		g.expr(2)
		g.block(wasm.OpIf)
	case 10, 11:
		l := g.IntN(len(g.labels))
		arity := g.labels[len(g.labels)-1-l]
		for range arity {
			g.expr(1)
		}
		if g.IntN(3) > 0 {
			g.expr(1)
			g.op(wasm.OpBrIf, int64(l))
			for range arity {
				g.op(wasm.OpDrop)
			}
		} else {
			g.op(wasm.OpBr, int64(l))
		}
	case 12:
		if g.IntN(2) == 0 {
			g.table()
		} else {
			g.counted()
		}
	case 13:
		switch g.IntN(6) {
		case 0:
			g.op(wasm.OpUnreachable)
		case 1, 2:
			for range g.labels[0] {
				g.expr(1)
			}
			g.op(wasm.OpReturn)
		default:
			g.op(wasm.OpCall, 0)
			g.op(wasm.OpDrop)
		}
	}
}

// counted is a loop that counts up or down, mostly so that it ends; its bound is
// a constant, zero or a local, its counter what it is before or behind the step.
func (g *generator) counted() {
	step := []int64{1, 2, 4, 8, -1, -2, 3, 0}[g.IntN(8)]
	from, turns := int64(g.IntN(20)), int64(1+g.IntN(6))
	until := from + step*turns
	if until > 63 || until < -64 || g.IntN(10) == 0 {
		until = int64(g.IntN(60)) // perhaps it never is met
	}
	bound := g.IntN(3)
	if bound == 1 {
		from, until = -step*turns, 0
	}
	g.op(wasm.OpI32Const, from)
	g.op(wasm.OpLocalSet, 3)
	g.op(wasm.OpI32Const, until)
	g.op(wasm.OpLocalSet, 4)
	g.op(wasm.OpLoop)
	g.out = append(g.out, 0x40)
	g.op(wasm.OpLocalGet, g.local())
	g.op(wasm.OpLocalGet, 3)
	g.op(wasm.OpI32Add)
	g.op(wasm.OpLocalSet, g.local())
	before := g.IntN(4) == 0
	if before { // what is compared is the counter before its step
		g.op(wasm.OpLocalGet, 3)
	}
	g.op(wasm.OpLocalGet, 3)
	g.op(wasm.OpI32Const, step)
	g.op(wasm.OpI32Add)
	if before {
		g.op(wasm.OpLocalSet, 3)
	} else {
		g.op(wasm.OpLocalTee, 3)
	}
	switch bound {
	case 0:
		g.op(wasm.OpI32Const, until)
		g.op(opI32Ne)
	case 2:
		g.op(wasm.OpLocalGet, 4)
		g.op(opI32Ne)
	}
	g.op(wasm.OpBrIf, 0)
	g.op(wasm.OpEnd)
}

// table branches to one of several labels without values, where there are any.
func (g *generator) table() {
	var to []int64
	for l := range g.labels {
		if g.labels[len(g.labels)-1-l] == 0 {
			to = append(to, int64(l))
		}
	}
	if len(to) == 0 {
		return
	}
	g.expr(1)
	n := g.IntN(4)
	g.op(wasm.OpBrTable, int64(n))
	for range n + 1 {
		g.out = append(g.out, byte(to[g.IntN(len(to))]))
	}
}

func (g *generator) local() int64 { return int64(g.IntN(3)) }

// expr writes code that leaves one i32.
func (g *generator) expr(depth int) {
	if depth == 0 || g.budget <= 0 {
		if g.IntN(2) == 0 {
			g.op(wasm.OpI32Const, int64(g.IntN(10)))
		} else {
			g.op(wasm.OpLocalGet, g.local())
		}
		return
	}
	switch g.IntN(9) {
	case 0, 1:
		g.expr(depth - 1)
		g.expr(depth - 1)
		g.op(0x6a)
	case 2:
		g.expr(depth - 1)
		g.op(0x45)
	case 3:
		g.expr(depth - 1)
		g.op(wasm.OpLocalTee, g.local())
	case 4:
		for range 3 {
			g.expr(depth - 1)
		}
		g.op(wasm.OpSelect)
	case 5:
		g.valueBlock(wasm.OpBlock, depth)
	case 6:
		g.expr(depth - 1)
		g.valueBlock(wasm.OpIf, depth)
	case 7:
		if g.fn+1 < genFuncs {
			g.expr(depth - 1)
			g.op(wasm.OpCall, int64(g.fn+1+g.IntN(genFuncs-g.fn-1)))
			return
		}
		fallthrough
	case 8:
		g.expr(0)
	}
}

// valueBlock is a block or if with a result.
func (g *generator) valueBlock(op wasm.Op, depth int) {
	g.op(op)
	g.out = append(g.out, byte(wasm.I32))
	g.labels = append(g.labels, 1)
	g.statements()
	g.expr(depth - 1)
	if op == wasm.OpIf {
		g.op(wasm.OpElse)
		g.statements()
		g.expr(depth - 1)
	}
	g.labels = g.labels[:len(g.labels)-1]
	g.op(wasm.OpEnd)
}

const genSteps = 20000

// TestFuelIsWhatRuns runs random modules before and after metering. What was
// charged has to be what the instructions that ran cost, whatever the slice.
func TestFuelIsWhatRuns(t *testing.T) {
	var exits, traps, refills, counts int
	for seed := range uint64(1000) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 1))}
		source := g.module()
		if seed < 5 {
			tool(t, "wasm-validate", inFile(t, source))
		}
		want, err := newMachine(source, genSteps)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		end := want.call(1)
		if end == errSteps {
			continue // for ever, perhaps
		}
		out, report, err := Rewrite(source, nil)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		counts += report.Counted
		first, _, _ := runMetered(t, out, 1<<40)
		for _, slice := range []int64{1, 100, 1 << 40} {
			used, n, gotEnd := runMetered(t, out, slice)
			switch {
			case gotEnd != end:
				t.Fatalf("seed %d: metered it ends with %v, not %v", seed, gotEnd, end)
			case end == nil && used != want.cost:
				t.Fatalf("seed %d, slices of %d: %d fuel charged, instructions of %d ran", seed, slice, used, want.cost)
			case used != first:
				t.Fatalf("seed %d: %d fuel in slices of %d, %d in one", seed, used, slice, first)
			}
			refills += n
		}
		if end == errTrap {
			traps++
		} else {
			exits++
		}
	}
	if exits < 300 || traps < 15 || refills < 3000 || counts < 300 {
		t.Fatalf("%d runs ended well, %d trapped, %d refills, %d counted loops: too few to mean anything", exits, traps, refills, counts)
	}
}

// runMetered returns the fuel that was used, and how many refills it took.
func runMetered(t *testing.T, module []byte, slice int64) (used uint64, refills int, end error) {
	t.Helper()
	v, err := newMachine(module, 100*genSteps)
	if err != nil {
		t.Fatal(err)
	}
	var granted int64
	v.refill = func(balance int64) int64 {
		if balance >= 0 {
			panic(fmt.Sprintf("refill with a balance of %d", balance))
		}
		granted += slice - balance
		return slice - balance
	}
	end = v.call(2) // _start, behind refill
	return uint64(granted - v.globals[len(v.globals)-2]), v.refills, end
}

// TestCyclesPassChecks makes sure that every time round a loop, and every call,
// charges and checks: with grants of just what is owed, each asks for more.
func TestCyclesPassChecks(t *testing.T) {
	for name, c := range map[string]struct {
		functions, body string
		start           uint32
		times           int
	}{
		"loop":      {"", "(local i32) (loop (local.set 0 (i32.add (local.get 0) (i32.const 1))) (br_if 0 (i32.and (local.get 0) (i32.const 31))))", 2, 32},
		"branch in": {"", "(local i32) (loop (block (if (i32.and (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 31)) (then (br 2)))))", 2, 32},
		"calls":     {"(func $down (param i32) (if (local.get 0) (then (call $down (i32.sub (local.get 0) (i32.const 1))))))", "(call $down (i32.const 32))", 3, 32},
	} {
		out, _, err := Rewrite(assemble(t, within(c.functions, c.body)), nil)
		if err != nil {
			t.Fatal(err)
		}
		v, err := newMachine(out, genSteps)
		if err != nil {
			t.Fatal(err)
		}
		v.globals[len(v.globals)-1] = stackLimit
		v.refill = func(balance int64) int64 { return -balance }
		if err := v.call(c.start); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if v.refills < c.times {
			t.Errorf("%s: %d refills, %d and more are expected", name, v.refills, c.times)
		}
	}
}
