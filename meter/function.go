package meter

import "github.com/countersign/countersign/internal/wasm"

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
	editLoop                       // loop without calls, that is left for a refill
	editLoopEnd                    // behind its end
	editCounted                    // counted loop value
	editCountedEnd                 // behind its end
	editBranch                     // branch over added blocks to label value
	editBrTable                    // br_table to the labels from value on
	editReturn                     // return, value blocks deep
	editExit                       // before the function's last end
	editCall                       // call of function value
	editIndirect                   // call_indirect
	editRef                        // ref.func of function value
	editGrow                       // memory.grow
	editTableGrow                  // table.grow of table value
	editBulk                       // before a bulk operation on bytes, whose length is on the stack
	editElements                   // before a bulk operation on elements, whose count is on the stack
)

// frame is an open block.
type frame struct {
	op       wasm.Op // block, loop, if, else; OpCall for the function's own
	live     bool    // its start can be reached
	targeted bool    // a branch that can run leads to its end
	thenLive bool    // of an else: the end of its then can be reached
	added    uint32  // blocks that are added around it
	head     int     // of a loop with added blocks: its check in the edits
	counted  bool
}

// plan finds the metered blocks of a function: docs/spec/meter.md, "Blocks,
// charges, checks".
type plan struct {
	edits   []edit
	current int // index of the current block's charge, or -1: nothing runs here
	frames  []frame
	loops   int       // that have been met
	added   uint32    // blocks around the current place
	labels  []uint32  // of editBrTable
	counts  []counted // of editCounted
}

// function plans defined function i, in the order of its code.
func (p *plan) function(m *wasm.Module, i int, facts *facts) error {
	p.edits, p.labels, p.counts, p.loops, p.added = p.edits[:0], p.labels[:0], p.counts[:0], 0, 0
	p.frames = append(p.frames[:0], frame{op: wasm.OpCall, live: true})
	p.begin(m.Code[i].Offset, true)
	p.charge(costEntry)
	in := m.Instrs(i)
	for v := (wasm.Instr{}); in.Next(&v); {
		if v.Op == wasm.OpLoop {
			p.loop(in, m.Data, &v, facts.inner[p.loops])
			p.loops++
			continue
		}
		p.step(&v)
	}
	return in.Err()
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
		p.branch(v.A)
		p.relabel(v)
		p.current = -1
	case wasm.OpBrIf:
		p.branch(v.A)
		p.relabel(v)
		if p.live() {
			p.begin(v.End, false)
		}
	case wasm.OpBrTable:
		for _, l := range v.Labels {
			p.branch(l)
		}
		p.relabelTable(v)
		p.current = -1
	case wasm.OpReturn:
		p.instead(v, editReturn, uint32(len(p.frames)-1)+p.added)
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
		p.instead(v, editCall, v.A)
	case wasm.OpCallIndirect:
		p.instead(v, editIndirect, 0)
	case wasm.OpRefFunc:
		p.instead(v, editRef, v.A)
	case wasm.OpMemoryGrow:
		p.instead(v, editGrow, 0)
	case wasm.OpTableGrow:
		p.instead(v, editTableGrow, v.A)
	case wasm.OpMemoryFill, wasm.OpMemoryCopy, wasm.OpMemoryInit:
		p.before(v, editBulk)
	case wasm.OpTableFill, wasm.OpTableCopy, wasm.OpTableInit:
		p.before(v, editElements)
	}
}

func (p *plan) branch(label uint32) {
	if p.live() {
		p.frames[len(p.frames)-1-int(label)].targeted = true
	}
}

func (p *plan) open(v *wasm.Instr) {
	p.frames = append(p.frames, frame{op: v.Op, live: p.live()})
	if p.live() && v.Op != wasm.OpBlock {
		p.begin(v.End, false)
	}
}

// addedBlocks is how many blocks stand around a loop that is left for a refill.
const addedBlocks = 3

// loop plans the start of a loop. The inner ones of functions do without a call
// in them, which makes engines treat them better: they are left when the balance
// runs out, and entered again. Counted ones are there twice.
func (p *plan) loop(in *wasm.Instrs, data []byte, v *wasm.Instr, inner bool) {
	f := frame{op: wasm.OpLoop, live: p.live()}
	if p.live() && inner {
		if c, ok := count(*in, data, v.End); ok {
			f.counted = true
			p.counts = append(p.counts, c)
			p.before(v, editCounted)
			p.edits[len(p.edits)-1].value = uint64(len(p.counts) - 1)
		} else {
			f.added = addedBlocks
			p.added += addedBlocks
			p.instead(v, editLoop, 0)
			f.head = len(p.edits)
		}
	}
	p.frames = append(p.frames, f)
	if p.live() {
		p.charge(cost(v.Op))
		p.begin(v.End, true)
	}
}

// blocks is how many blocks are added between here and a label.
func (p *plan) blocks(label uint32) (n uint32) {
	if p.added == 0 {
		return 0
	}
	for _, f := range p.frames[len(p.frames)-int(label):] {
		n += f.added
	}
	return n
}

func (p *plan) relabel(v *wasm.Instr) {
	if n := p.blocks(v.A); n > 0 {
		p.instead(v, editBranch, v.A+n)
	}
}

func (p *plan) relabelTable(v *wasm.Instr) {
	if p.added == 0 {
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

// close ends a block: what follows begins a new metered block where paths join.
func (p *plan) close(v *wasm.Instr) {
	f := p.frames[len(p.frames)-1]
	p.frames = p.frames[:len(p.frames)-1]
	switch f.op {
	case wasm.OpCall:
		p.before(v, editExit)
	case wasm.OpLoop:
		p.closeLoop(v, &f)
	case wasm.OpIf: // without else: the condition may have been false
		if f.live {
			p.begin(v.End, false)
		}
	case wasm.OpElse:
		if f.live && (p.live() || f.thenLive || f.targeted) {
			p.begin(v.End, false)
		}
	case wasm.OpBlock:
		if f.targeted {
			p.begin(v.End, false)
		}
	}
}

// closeLoop ends a loop. Behind one that is there twice begins a block, as both
// come there.
func (p *plan) closeLoop(v *wasm.Instr, f *frame) {
	p.added -= f.added
	behind := edit{at: v.End, end: v.End}
	switch {
	case f.counted:
		behind.kind = editCountedEnd
		p.edits = append(p.edits, behind)
		p.begin(v.End, false)
	case f.added > 0:
		behind.kind, behind.value = editLoopEnd, uint64(f.head)
		p.edits = append(p.edits, behind)
	}
}
