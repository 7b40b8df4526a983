package meter

import (
	"slices"

	"github.com/countersign/countersign/internal/wasm"
)

// The call stack is counted in weights (wasm.Checker.Weight), which are bytes
// that no engine exceeds: docs/spec/meter.md, "Call stack".
const (
	// stackLimit is what all counted frames together may weigh.
	stackLimit = 224 << 10
	// freeStack is what a chain of calls may weigh that is not counted.
	freeStack = 16 << 10
)

// weigh decides which functions pay for the call stack, and how much: those in
// cycles of the call graph, and those over chains that weigh more than
// freeStack. Who pays, pays for the chain below it too.
func weigh(m *wasm.Module, a *analysis, library bool) {
	g := newGraph(m, a, library)
	height := make([]uint32, g.size()) // of the uncounted chain from here, itself included
	below := func(n int) (most uint32) {
		for _, callee := range g.callees(n) {
			most = max(most, height[callee])
		}
		return most
	}
	g.components(func(nodes []int, cyclic bool) {
		for _, hub := range []int{g.host(), g.through()} {
			if slices.Contains(nodes, hub) {
				height[hub] = below(hub)
			}
		}
		for _, n := range nodes {
			if n >= len(a.fns) {
				continue
			}
			whole := min(a.fns[n].weight+below(n), stackLimit+1)
			if cyclic || whole > freeStack {
				a.fns[n].stack = whole
			} else {
				height[n] = whole
			}
		}
	})
}

// graph is the call graph of defined functions. Behind them come two hubs: what
// a call through a table can reach, and what a host can call back into.
type graph struct {
	a        *analysis
	imports  uint32
	tables   []int // functions that tables can hold
	exported []int // functions that a host can call back
	library  bool  // hosts may call back
}

func newGraph(m *wasm.Module, a *analysis, library bool) *graph {
	g := &graph{a: a, imports: uint32(len(m.Imports)), library: library}
	for f := range a.refs {
		if f >= g.imports {
			g.tables = append(g.tables, int(f-g.imports))
		}
	}
	slices.Sort(g.tables)
	for _, e := range m.Exports {
		if e.Kind == wasm.ExportFunc && e.Index >= g.imports && library {
			g.exported = append(g.exported, int(e.Index-g.imports))
		}
	}
	return g
}

func (g *graph) through() int { return len(g.a.fns) }
func (g *graph) host() int    { return len(g.a.fns) + 1 }
func (g *graph) size() int    { return len(g.a.fns) + 2 }

// callees lists what node n calls.
func (g *graph) callees(n int) (out []int) {
	switch n {
	case g.through():
		return g.withHost(g.tables) // tables may hold its functions
	case g.host():
		return slices.Concat(g.exported, g.tables)
	}
	f := &g.a.fns[n]
	for _, c := range f.calls {
		if c >= g.imports {
			out = append(out, int(c-g.imports))
		}
	}
	if f.indirect {
		out = append(out, g.through())
	}
	if len(f.calls) > 0 && f.calls[0] < g.imports {
		out = g.withHost(out)
	}
	return out
}

// withHost adds the host to what is called, if it can call back.
func (g *graph) withHost(out []int) []int {
	if !g.library {
		return out
	}
	return append(out[:len(out):len(out)], g.host())
}

// components calls visit for every strongly connected component, callees first
// (Tarjan, without recursion: a chain of calls may be as long as the module).
func (g *graph) components(visit func(nodes []int, cyclic bool)) {
	total := g.size()
	t := tarjan{g: g, index: make([]int, total), low: make([]int, total), onStack: make([]bool, total), visit: visit}
	for n := range total {
		if t.index[n] == 0 {
			t.run(n)
		}
	}
}

type tarjan struct {
	g          *graph
	index, low []int // from 1; 0 is not visited
	onStack    []bool
	stack      []int
	next       int
	visit      func([]int, bool)
}

// call is a node whose callees are being visited.
type call struct {
	node    int
	callees []int
	itself  bool // it calls itself
}

func (t *tarjan) run(root int) {
	calls := []call{t.enter(root)}
	for len(calls) > 0 {
		c := &calls[len(calls)-1]
		if len(c.callees) == 0 {
			t.leave(c)
			calls = calls[:len(calls)-1]
			if len(calls) > 0 {
				up := calls[len(calls)-1].node
				t.low[up] = min(t.low[up], t.low[c.node])
			}
			continue
		}
		callee := c.callees[0]
		c.callees = c.callees[1:]
		switch {
		case callee == c.node:
			c.itself = true
		case t.index[callee] == 0:
			calls = append(calls, t.enter(callee))
		case t.onStack[callee]:
			t.low[c.node] = min(t.low[c.node], t.index[callee])
		}
	}
}

func (t *tarjan) enter(n int) call {
	t.next++
	t.index[n], t.low[n], t.onStack[n] = t.next, t.next, true
	t.stack = append(t.stack, n)
	return call{node: n, callees: t.g.callees(n)}
}

// leave closes a component if its first node is left.
func (t *tarjan) leave(c *call) {
	if t.low[c.node] != t.index[c.node] {
		return
	}
	at := len(t.stack) - 1
	for t.stack[at] != c.node {
		at--
	}
	nodes := t.stack[at:]
	for _, n := range nodes {
		t.onStack[n] = false
	}
	t.visit(nodes, len(nodes) > 1 || c.itself)
	t.stack = t.stack[:at]
}
