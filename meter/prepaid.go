package meter

import "github.com/countersign/countersign/internal/wasm"

// maxPrepaid is what a function's first block may cost for callers to pay it: a
// block of many calls is charged ahead for all of them.
const maxPrepaid = 256

// prepay finds the functions whose callers pay for their first block with the
// call: those that only calls by name reach, which have no such call in that block
// themselves, so that what a call costs does not depend on what others do.
func (w *writer) prepay() {
	w.plan.prepaid = make([]uint64, w.m.NumFuncs())
	for i := range w.m.Code {
		if f := w.imports + uint32(i); !w.reached(f) {
			w.plan.prepaid[f] = w.plan.entry(w.m, i, &w.a.fns[i])
		}
	}
}

// reached tells whether the host, a table or a start section calls a function.
func (w *writer) reached(f uint32) bool {
	return w.a.refs[f] || w.exported[f] || w.m.Start != nil && *w.m.Start == f
}

// entry returns what a function's first block costs, 0 if callers cannot pay it.
func (p *plan) entry(m *wasm.Module, i int, facts *facts) uint64 {
	p.start(m, i)
	in := m.Instrs(i)
	for v := (wasm.Instr{}); in.Next(&v); {
		if v.Op == wasm.OpCall && p.current == 0 {
			return 0
		}
		p.next(in, m.Data, &v, facts)
		if p.edits[0].value > maxPrepaid {
			return 0
		}
		// No block that is open can lead back to the first one.
		if p.current != 0 && (len(p.frames) == 1 || p.frames[1].entry != 0) {
			break
		}
	}
	return p.edits[0].value
}
