package meter

import (
	"slices"

	"github.com/countersign/countersign/internal/wasm"
)

// edit is a change to a function's code: the bytes from at to end of the file
// are replaced by what kind says.
type edit struct {
	at, end int
	kind    editKind
	value   uint64 // a cost, or a function index of the source
}

type editKind byte

const (
	editCharge     editKind = iota // at the start of a metered block
	editCheck                      // the same, and check
	editHead                       // the same, in a loop that is left for a refill
	editBareCheck                  // check alone: callers pay for the block
	editEnter                      // before a loop in which nothing is called
	editLeave                      // behind its end
	editLoop                       // loop without calls, that is left for a refill
	editLoopEnd                    // behind its end
	editCounted                    // counted loop value
	editCountedEnd                 // behind its end
	editBranch                     // br or br_if to label value
	editBrTable                    // br_table to the labels from value on
	editRefund                     // br or br_if, with refund value
	editSpill                      // before a branch out of loops in which nothing is called
	editReturn                     // return, value blocks deep
	editEntry                      // behind the function's first check
	editExit                       // before the function's last end
	editCall                       // call of function value
	editIndirect                   // call_indirect
	editRef                        // ref.func of function value
	editSegment                    // memory.init or data.drop of an active data segment: the opcode, and the segment to name
	editGrow                       // memory.grow
	editTableGrow                  // table.grow of table value
	editBulk                       // before a bulk operation on bytes, whose length is on the stack
	editElements                   // before a bulk operation on elements, whose count is on the stack
)

// frame is an open block.
type frame struct {
	op       wasm.Op // block, loop, if, else; OpCall for the function's own
	live     bool    // its start can be reached
	values   bool    // a branch to it carries values
	targeted bool    // a branch that can run leads to its end
	thenLive bool    // of an else: the end of its then can be reached
	head     int     // of a loop that is left for a refill: its check in the edits, or 0
	counted  bool
	entry    int // the charge of the block that it stands in, or -1
	outer    int // the frame around it that has another entry; entries never decrease inwards
	reach    int // the outermost frame that a branch in it leads to the end of, or itself
}

// refund is what a branch out of an inner loop gives back: what has been charged
// for code that it jumps over. It may be nothing.
type refund struct {
	conditional bool
	leaves      bool // the loop in which nothing is called, too
	label       uint32
	from, until uint32 // in plan.charges
}

// charged is a block's charge, and how much of it was for what stands before a
// branch.
type charged struct{ edit, until uint32 }

// maxRefunds is how many blocks a branch may have to give back from.
const maxRefunds = 32

// plan finds the metered blocks of a function: docs/spec/meter.md, "Blocks,
// charges, checks".
type plan struct {
	edits   []edit
	current int // index of the current block's charge, or -1: nothing runs here
	frames  []frame
	loops   int       // that have been met
	labels  []uint32  // of editBrTable
	counts  []counted // of editCounted
	refunds []refund  // of editRefund
	charges []charged // of refunds
	segs    []wasm.Segment
	prepaid []uint64 // by function of the source, imported ones too
	quiet   int      // the frame of the outermost open loop in which nothing is called, or -1
	inner   int      // the frame of the inner loop that stands open, or -1
	local   bool     // there are such loops
	locals  uint32
	reader  loopReader
}

// function plans defined function i, in the order of its code.
func (p *plan) function(m *wasm.Module, i int, facts *facts) error {
	p.start(m, i)
	in := m.Instrs(i)
	for v := (wasm.Instr{}); in.Next(&v); {
		p.next(in, m.Data, &v, facts)
	}
	if p.prepaid[len(m.Imports)+i] > 0 {
		p.edits[0].kind = editBareCheck
	}
	return in.Err()
}

func (p *plan) start(m *wasm.Module, i int) {
	*p = plan{edits: p.edits[:0], frames: p.frames[:0], labels: p.labels[:0], counts: p.counts[:0], refunds: p.refunds[:0],
		charges: p.charges[:0], quiet: -1, inner: -1, segs: m.Segs, prepaid: p.prepaid, locals: m.NumLocals(i), reader: p.reader}
	p.frames = append(p.frames, frame{op: wasm.OpCall, live: true, values: len(m.Types[m.Funcs[i]].Results) > 0})
	p.begin(m.Code[i].Offset, true)
	p.edits = append(p.edits, edit{at: m.Code[i].Offset, end: m.Code[i].Offset, kind: editEntry})
	p.charge(costEntry)
}

func (p *plan) next(in *wasm.Instrs, data []byte, v *wasm.Instr, facts *facts) {
	if v.Op == wasm.OpLoop {
		p.loop(in, data, v, facts.loops[p.loops])
		p.loops++
		return
	}
	p.step(v)
}

// begin starts a metered block before the byte at.
func (p *plan) begin(at int, check bool) {
	kind := editCharge
	if check {
		kind = editCheck
	}
	p.current = len(p.edits)
	p.edits = append(p.edits, edit{at: at, end: at, kind: kind})
}

func (p *plan) live() bool { return p.current >= 0 }

func (p *plan) charge(fuel uint64) {
	if p.live() {
		p.edits[p.current].value += fuel
	}
}

// instead replaces an instruction.
func (p *plan) instead(v *wasm.Instr, kind editKind, value uint32) {
	p.edits = append(p.edits, edit{v.Start, v.End, kind, uint64(value)})
}

// before adds something in front of an instruction.
func (p *plan) before(v *wasm.Instr, kind editKind) {
	p.edits = append(p.edits, edit{v.Start, v.Start, kind, 0})
}

// step plans one instruction.
func (p *plan) step(v *wasm.Instr) {
	p.charge(cost(v.Op))
	switch v.Op {
	case wasm.OpBlock, wasm.OpIf:
		p.open(v)
	case wasm.OpElse:
		p.otherwise(v)
	case wasm.OpEnd:
		p.close(v)
	case wasm.OpBr:
		if !p.exit(v, v.A) {
			p.branch(v.A)
			p.relabel(v)
		}
		p.current = -1
	case wasm.OpBrIf:
		if !p.exit(v, v.A) {
			p.branch(v.A)
			p.relabel(v)
			if p.live() {
				p.begin(v.End, false)
			}
		}
	case wasm.OpBrTable:
		for _, l := range v.Labels {
			p.branch(l)
		}
		p.relabelTable(v)
		p.current = -1
	case wasm.OpReturn:
		if out := uint32(len(p.frames) - 1); !p.exit(v, out) {
			p.branch(out)
			if p.leaves(out) {
				p.before(v, editSpill)
			}
			p.instead(v, editReturn, out+p.blocks(out))
		}
		p.current = -1
	case wasm.OpUnreachable:
		p.current = -1
	default:
		p.replace(v)
	}
}

// replace notes what stands in the way of counting: functions are renumbered,
// and what takes time by its operands is charged for them.
func (p *plan) replace(v *wasm.Instr) {
	switch v.Op {
	case wasm.OpCall:
		p.charge(p.prepaid[v.A])
		p.checked()
		p.instead(v, editCall, v.A)
	case wasm.OpCallIndirect:
		p.checked()
		p.instead(v, editIndirect, 0)
	case wasm.OpRefFunc:
		p.instead(v, editRef, v.A)
	case wasm.OpMemoryGrow:
		p.instead(v, editGrow, 0)
	case wasm.OpTableGrow:
		p.instead(v, editTableGrow, v.A)
	case wasm.OpMemoryInit:
		p.before(v, editBulk)
		p.segment(v)
	case wasm.OpDataDrop:
		p.segment(v)
	case wasm.OpMemoryFill, wasm.OpMemoryCopy:
		p.before(v, editBulk)
	case wasm.OpTableFill, wasm.OpTableCopy, wasm.OpTableInit:
		p.before(v, editElements)
	}
}

// checked notes a call, which leads to a check at a function's start: a loop that
// comes to it every turn needs none of its own.
func (p *plan) checked() {
	if p.current > 0 && p.edits[p.current].kind == editCheck {
		p.edits[p.current].kind = editCharge
	}
}

// segment names another data segment than an active one, which is empty once the
// module has started; not every engine knows.
func (p *plan) segment(v *wasm.Instr) {
	if p.segs[v.A].Expr != nil {
		p.edits = append(p.edits, edit{v.Start, v.End, editSegment, uint64(v.Op)<<32 | uint64(len(p.segs))})
	}
}

// branch notes a branch to a label: what follows the frames that it leaves is not
// run whenever they are.
func (p *plan) branch(label uint32) {
	if p.live() {
		to := len(p.frames) - 1 - int(label)
		p.frames[to].targeted = true
		top := &p.frames[len(p.frames)-1]
		top.reach = min(top.reach, to)
	}
}

// exit plans a branch out of an inner loop, which happens once where what follows
// it happens every turn: what follows is charged with what precedes, and the
// branch gives that back. False where it cannot.
func (p *plan) exit(v *wasm.Instr, label uint32) bool {
	to := len(p.frames) - 1 - int(label)
	if !p.live() || p.inner < 0 || to >= p.inner || v.Op == wasm.OpBrIf && p.frames[to].values {
		return false
	}
	r := refund{conditional: v.Op == wasm.OpBrIf, leaves: p.leaves(label), label: label + p.blocks(label), from: uint32(len(p.charges))}
	p.charges = append(p.charges, p.charged(p.current))
	last := p.current
	for i := len(p.frames) - 1; i > p.inner; i = p.frames[i].outer {
		if p.frames[i].entry == last {
			continue
		}
		if len(p.charges)-int(r.from) == maxRefunds {
			p.charges = p.charges[:r.from]
			return false
		}
		last = p.frames[i].entry
		p.charges = append(p.charges, p.charged(last))
	}
	r.until = uint32(len(p.charges))
	p.frames[to].targeted = true
	loop := &p.frames[p.inner]
	loop.reach = min(loop.reach, to)
	p.refunds = append(p.refunds, r)
	p.instead(v, editRefund, uint32(len(p.refunds)-1))
	return true
}

func (p *plan) charged(e int) charged { return charged{uint32(e), uint32(p.edits[e].value)} }

func (p *plan) open(v *wasm.Instr) {
	p.push(frame{op: v.Op, values: len(v.Type.Results) > 0})
	if p.live() && v.Op != wasm.OpBlock {
		p.begin(v.End, false)
	}
}

func (p *plan) push(f frame) {
	f.live, f.entry, f.reach = p.live(), p.current, len(p.frames)
	f.outer = f.reach - 1
	if up := &p.frames[f.outer]; up.entry == f.entry {
		f.outer = up.outer
	}
	p.frames = append(p.frames, f)
}

// addedBlocks is how many blocks stand around a loop that is left for a refill.
const addedBlocks = 3

// loop plans the start of a loop. Those in which nothing is called keep the balance
// in a local. The inner ones of them do without a call in them, which makes engines
// treat them better: they are left when the balance runs out, and entered again.
// Counted ones are there twice.
func (p *plan) loop(in *wasm.Instrs, data []byte, v *wasm.Instr, facts loopFacts) {
	f := frame{op: wasm.OpLoop, values: len(v.Type.Params) > 0}
	if p.live() && facts.quiet && p.quiet < 0 {
		p.quiet, p.local = len(p.frames), true
		p.before(v, editEnter)
	}
	if p.live() && facts.inner {
		if c, ok := p.count(*in, data, facts); ok {
			f.counted = true
			p.counts = append(p.counts, c)
			p.before(v, editCounted)
			p.edits[len(p.edits)-1].value = uint64(len(p.counts) - 1)
		} else {
			p.instead(v, editLoop, 0)
			f.head = len(p.edits)
			p.inner = len(p.frames)
		}
	}
	p.charge(cost(v.Op))
	p.push(f)
	if p.live() {
		p.begin(v.End, true)
		if f.head > 0 {
			p.edits[f.head].kind = editHead
		}
	}
}

func (p *plan) count(in wasm.Instrs, data []byte, facts loopFacts) (c counted, ok bool) {
	if !facts.twice {
		return c, false
	}
	return p.reader.count(in, data, p.locals)
}

// blocks is how many blocks are added between here and a label.
func (p *plan) blocks(label uint32) uint32 {
	if p.inner < 0 || len(p.frames)-1-int(label) >= p.inner {
		return 0
	}
	return addedBlocks
}

// leaves tells whether a branch to a label leaves the loops in which nothing is
// called.
func (p *plan) leaves(label uint32) bool {
	return p.live() && p.quiet >= 0 && len(p.frames)-1-int(label) < p.quiet
}

// relabel plans a branch that gives nothing back.
func (p *plan) relabel(v *wasm.Instr) {
	n := p.blocks(v.A)
	switch {
	case !p.leaves(v.A):
	case v.Op == wasm.OpBrIf && !p.frames[len(p.frames)-1-int(v.A)].values:
		p.refunds = append(p.refunds, refund{conditional: true, leaves: true, label: v.A + n})
		p.instead(v, editRefund, uint32(len(p.refunds)-1))
		return
	default:
		p.before(v, editSpill)
	}
	if n > 0 {
		p.instead(v, editBranch, v.A+n)
	}
}

func (p *plan) relabelTable(v *wasm.Instr) {
	if slices.ContainsFunc(v.Labels, p.leaves) {
		p.before(v, editSpill)
	}
	if !slices.ContainsFunc(v.Labels, func(l uint32) bool { return p.blocks(l) > 0 }) {
		return
	}
	p.instead(v, editBrTable, uint32(len(p.labels)))
	p.labels = append(p.labels, uint32(len(v.Labels)))
	for _, l := range v.Labels {
		p.labels = append(p.labels, l+p.blocks(l))
	}
}

func (p *plan) otherwise(v *wasm.Instr) {
	f := &p.frames[len(p.frames)-1]
	f.op, f.thenLive = wasm.OpElse, p.live()
	p.current = -1
	if f.live {
		p.begin(v.End, false)
	}
}

// close ends a block. What follows is part of the block that the closed one stands
// in, unless some branch jumps over it.
func (p *plan) close(v *wasm.Instr) {
	f := p.frames[len(p.frames)-1]
	p.frames = p.frames[:len(p.frames)-1]
	if f.op == wasm.OpCall {
		p.before(v, editExit)
		return
	}
	up := &p.frames[len(p.frames)-1]
	up.reach = min(up.reach, f.reach)
	follows := p.live()
	switch f.op {
	case wasm.OpIf: // without else: the condition may have been false
		follows = f.live
	case wasm.OpElse:
		follows = f.live && (p.live() || f.thenLive || f.targeted)
	case wasm.OpBlock:
		follows = p.live() || f.targeted
	case wasm.OpLoop:
		p.closeLoop(v, &f)
	}
	switch {
	case !follows:
		p.current = -1
	case f.reach == len(p.frames): // nothing in it leads further than its end
		p.current = f.entry
	case f.op == wasm.OpLoop && !f.counted: // its last block goes on
	default:
		p.begin(v.End, false)
	}
}

// closeLoop ends a loop.
func (p *plan) closeLoop(v *wasm.Instr, f *frame) {
	behind := edit{at: v.End, end: v.End}
	switch {
	case f.counted:
		behind.kind = editCountedEnd
		p.edits = append(p.edits, behind)
	case f.head > 0:
		p.inner = -1
		behind.kind, behind.value = editLoopEnd, uint64(f.head)
		p.edits = append(p.edits, behind)
	}
	if p.quiet == len(p.frames) {
		p.quiet = -1
		p.edits = append(p.edits, edit{at: v.End, end: v.End, kind: editLeave})
	}
}
