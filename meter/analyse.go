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
	weight   uint32      // of its frame on the call stack
	calls    []uint32    // functions that it calls, each once
	indirect bool        // it calls through tables
	floats   bool        // it has arithmetic that may make NaNs
	loops    []loopFacts // of every loop
	stack    uint32      // what it pays for the call stack; 0 is nothing
}

// loopFacts of one loop: all false where it cannot be reached.
type loopFacts struct {
	quiet bool // nothing is called in it
	inner bool // nor has it another loop in it, nor parameters
	twice bool // it may be written again, if it is counted
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
			g.size++
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
	g.spend(spareCode + g.size/spareShare)
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
	size  int    // of what has been read, in instructions
	plain []plainLoop
}

// loop is an open block.
type loop struct {
	number      int  // of a loop, or -1
	busy, loops bool // it calls something, it has a loop or is one with parameters
	dead        bool

	start, back int  // where it begins, and where the last branch to its start stands, in instructions
	branches    bool // it has others, or blocks
}

// plainLoop is an inner loop whose only branch is the one back, at its end.
type plainLoop struct {
	f           *facts
	number      int
	depth, size int // loops around it; instructions
}

// What may be written again, in instructions: so many of a module, and a share of all.
//
// Sizes are instructions and not bytes, because their number can be told from the
// metered module, for Check, and the length of the source's integers cannot.
const (
	spareCode  = 1 << 10
	spareShare = 128
)

// spend chooses the loops that may be written again: those first that have the
// most loops around them.
func (g *gatherer) spend(spare int) {
	slices.SortStableFunc(g.plain, func(a, b plainLoop) int { return b.depth - a.depth })
	for _, l := range g.plain {
		if l.size <= spare {
			spare -= l.size
			l.f.loops[l.number].twice = true
		}
	}
}

func (g *gatherer) begin(f *facts) {
	g.f = f
	g.loops = append(g.loops[:0], loop{number: -1})
}

func (g *gatherer) end(weight uint32) {
	g.f.weight = weight
	slices.Sort(g.f.calls)
	g.f.calls = slices.Clip(slices.Compact(g.f.calls))
}

func (g *gatherer) step(v *wasm.Instr, live bool) {
	if unsure(v.Op) {
		g.f.floats = true
		return
	}
	switch v.Op {
	case wasm.OpBlock, wasm.OpIf:
		g.branch()
		g.loops = append(g.loops, loop{number: -1})
	case wasm.OpBr, wasm.OpBrTable, wasm.OpReturn, wasm.OpUnreachable:
		g.branch()
	case wasm.OpBrIf:
		if v.A > 0 {
			g.branch()
		}
		g.loops[len(g.loops)-1].back = g.size
	case wasm.OpLoop:
		// One with parameters could not be entered again, and counts as having another.
		g.loops = append(g.loops, loop{number: len(g.f.loops), dead: !live, loops: len(v.Type.Params) > 0, start: g.size})
		g.f.loops = append(g.f.loops, loopFacts{})
	case wasm.OpEnd:
		l := g.loops[len(g.loops)-1]
		g.loops = g.loops[:len(g.loops)-1]
		if l.number >= 0 && !l.busy && !l.dead {
			g.f.loops[l.number] = loopFacts{quiet: true, inner: !l.loops}
			g.uses.local = true
			if size := l.back - l.start - 1; !l.loops && !l.branches && l.back == g.size-1 && size <= maxCounted {
				g.plain = append(g.plain, plainLoop{g.f, l.number, g.depth(), size})
			}
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

func (g *gatherer) branch() { g.loops[len(g.loops)-1].branches = true }

// depth is how many loops stand open.
func (g *gatherer) depth() (n int) {
	for _, l := range g.loops {
		if l.number >= 0 {
			n++
		}
	}
	return n
}

func (g *gatherer) called() { g.loops[len(g.loops)-1].busy = true }

func (g *gatherer) segment(v *wasm.Instr) {
	if v.Op != wasm.OpMemoryFill && v.Op != wasm.OpMemoryCopy && g.segs[v.A].Expr != nil {
		g.uses.segment = true
	}
}
