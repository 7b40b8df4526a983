package meter

import (
	"slices"

	"github.com/countersign/countersign/internal/wasm"
)

// analysis is what the metering pass has to know of a module before it writes
// the first function.
type analysis struct {
	fns  []facts         // of every defined function
	refs map[uint32]bool // functions that tables can hold
	uses uses
}

// facts of one defined function.
type facts struct {
	weight   uint32   // of its frame on the call stack
	calls    []uint32 // functions that it calls, each once
	indirect bool     // it calls through tables
	floats   bool     // it has arithmetic that may make NaNs
	inner    []bool   // of every loop: nothing is called in it, and it has no other loop
	local    bool     // some are, and the balance is kept in a local
	stack    uint32   // what it pays for the call stack; 0 is nothing
}

// uses says which added functions are called.
type uses struct {
	grow, bulk, elements, local bool
	segment                     bool     // an empty data segment
	tables                      []uint32 // that grow, ascending
}

// analyse type-checks every function and gathers facts.
func analyse(m *wasm.Module, library bool) (*analysis, error) {
	a := &analysis{fns: make([]facts, len(m.Code)), refs: m.Referenced()}
	c := wasm.NewChecker(m)
	g := gatherer{uses: &a.uses, refs: a.refs, segs: m.Segs}
	for i := range m.Code {
		c.Begin(i)
		g.begin(&a.fns[i])
		in := m.Instrs(i)
		for v := (wasm.Instr{}); in.Next(&v); {
			g.step(&v, c.Reachable())
			if err := c.Step(&v); err != nil {
				return nil, err
			}
		}
		if err := in.Err(); err != nil {
			return nil, err
		}
		g.end(c.Weight())
	}
	slices.Sort(a.uses.tables)
	weigh(m, a, library)
	return a, nil
}

// gatherer gathers the facts of one function after the other.
type gatherer struct {
	uses  *uses
	refs  map[uint32]bool
	segs  []wasm.Segment
	f     *facts
	loops []loop // open blocks
}

// loop is an open block.
type loop struct {
	number      int  // of a loop, or -1
	busy, loops bool // it calls something, it has a loop
}

func (g *gatherer) begin(f *facts) {
	g.f = f
	g.loops = append(g.loops[:0], loop{number: -1})
}

func (g *gatherer) end(weight uint32) {
	g.f.weight = weight
	slices.Sort(g.f.calls)
	g.f.calls = slices.Clip(slices.Compact(g.f.calls))
	g.uses.local = g.uses.local || g.f.local
}

func (g *gatherer) step(v *wasm.Instr, live bool) {
	if unsure(v.Op) {
		g.f.floats = true
		return
	}
	switch v.Op {
	case wasm.OpBlock, wasm.OpIf:
		g.loops = append(g.loops, loop{number: -1})
	case wasm.OpLoop:
		// One with parameters could not be entered again, and counts as busy.
		g.loops = append(g.loops, loop{number: len(g.f.inner), busy: !live || len(v.Type.Params) > 0})
		g.f.inner = append(g.f.inner, false)
	case wasm.OpEnd:
		l := g.loops[len(g.loops)-1]
		g.loops = g.loops[:len(g.loops)-1]
		inner := l.number >= 0 && !l.busy && !l.loops
		if inner {
			g.f.inner[l.number], g.f.local = true, true
		}
		if n := len(g.loops); n > 0 {
			g.loops[n-1].busy = g.loops[n-1].busy || l.busy
			g.loops[n-1].loops = g.loops[n-1].loops || l.loops || l.number >= 0
		}
	case wasm.OpCall:
		g.f.calls = append(g.f.calls, v.A)
		g.called()
	case wasm.OpCallIndirect:
		g.f.indirect = true
		g.called()
	case wasm.OpRefFunc:
		g.refs[v.A] = true
	case wasm.OpMemoryGrow:
		g.uses.grow = true
		g.called()
	case wasm.OpMemoryFill, wasm.OpMemoryCopy, wasm.OpMemoryInit:
		g.uses.bulk = true
		g.called()
		g.segment(v)
	case wasm.OpDataDrop:
		g.segment(v)
	case wasm.OpTableFill, wasm.OpTableCopy, wasm.OpTableInit:
		g.uses.elements = true
		g.called()
	case wasm.OpTableGrow:
		g.called()
		if !slices.Contains(g.uses.tables, v.A) {
			g.uses.tables = append(g.uses.tables, v.A)
		}
	}
}

func (g *gatherer) called() { g.loops[len(g.loops)-1].busy = true }

func (g *gatherer) segment(v *wasm.Instr) {
	if v.Op != wasm.OpMemoryFill && v.Op != wasm.OpMemoryCopy && g.segs[v.A].Expr != nil {
		g.uses.segment = true
	}
}
