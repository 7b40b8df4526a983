package meter

import "github.com/countersign/countersign/internal/wasm"

// WebAssembly leaves the bits of a NaN that arithmetic makes to the engine. The
// metered module makes such a NaN the positive canonical one before anything can
// tell the difference: docs/spec/meter.md, "Canonical NaN". What is found here is
// where that has to happen.

// lane is the float type, or the shape of a vector of floats, that bits have.
type lane byte

const (
	noLane lane = iota
	f32
	f64
	f32x4
	f64x2
	lanes
)

func (l lane) valType() wasm.ValType {
	switch l {
	case f32:
		return wasm.F32
	case f64:
		return wasm.F64
	}
	return wasm.V128
}

// state says what is known of a value.
type state byte

const (
	number state = iota // no NaN
	raw                 // a NaN in it may have any bits: arithmetic made it
	exact               // any bits, which all engines agree about and which must not change
)

// value is an operand or local. A raw one has the instruction at whose end it can
// be made canonical. An exact one of a lane may have where it comes from: a load
// plus one, or a local's complement.
type value struct {
	state state
	lane  lane
	site  int32
	from  int32
}

// load is an instruction that loads a float, and whether something looks at its
// bits.
type load struct {
	at       int
	observed bool
}

// flow is a value that is put into a local as it came.
type flow struct {
	from int32
	to   uint32
}

// site is an instruction whose result is a raw value, and whether something looks
// at its bits.
type site struct {
	at       int // end of the instruction
	lane     lane
	observed bool
}

// nans analyses functions one after the other.
type nans struct {
	m      *wasm.Module
	sites  []site
	stack  []operands
	height int // of the stack, in operands
	frames []nanFrame
	moved  bool // what is known of a local has changed

	types  wasm.Locals
	params uint32
	locals []nanLocal // by index
	round  uint32     // counts when everything was forgotten
	unsure bool       // of locals that have not been set since, nothing is known

	loads   []load
	flows   []flow
	reading uint32 // counts passes
}

// operands are some operands in a row of which the same is known: a call of two
// bytes may give a thousand. Raw ones stand alone.
type operands struct {
	value
	count int
}

// nanLocal is what is known of a local since a round.
type nanLocal struct {
	value
	round  uint32
	looked uint32 // the last pass in which something looks at its bits
}

type nanFrame struct {
	typ    *wasm.FuncType
	loop   bool
	height int
	dead   bool // nothing runs here
}

// maxNaNPasses is how often a function is read until what is known of its locals
// holds. Then everything is taken for possible.
const maxNaNPasses = 5

// function finds the sites of defined function i.
func (n *nans) function(i int) {
	n.types.Begin(n.m, i)
	n.forget(false)
	if c := int(n.m.NumLocals(i)) - len(n.locals); c > 0 {
		n.locals = append(n.locals, make([]nanLocal, c)...)
	}
	n.params = uint32(len(n.m.Types[n.m.Funcs[i]].Params))
	for pass := 1; ; pass++ {
		n.pass(i)
		if !n.moved {
			n.follow()
			return
		}
		if pass == maxNaNPasses {
			n.forget(true)
		}
	}
}

// forget starts over: then a local is 0, if it is no parameter, or may be anything.
func (n *nans) forget(unsure bool) { n.round, n.unsure = n.round+1, unsure }

// local is what is known of a local.
func (n *nans) local(i uint32) *value {
	l := &n.locals[i]
	if l.round != n.round {
		l.round, l.value = n.round, value{state: exact}
		if t := n.types.Type(i); i >= n.params && !n.unsure && (t == wasm.F32 || t == wasm.F64 || t == wasm.V128) {
			l.state = number
		}
	}
	return &l.value
}

func (n *nans) pass(i int) {
	n.sites, n.stack, n.height, n.moved = n.sites[:0], n.stack[:0], 0, false
	n.loads, n.flows, n.reading = n.loads[:0], n.flows[:0], n.reading+1
	t := &n.m.Types[n.m.Funcs[i]]
	n.frames = append(n.frames[:0], nanFrame{typ: &wasm.FuncType{Results: t.Results}})
	in := n.m.Instrs(i)
	for v := (wasm.Instr{}); in.Next(&v); {
		n.step(&v)
	}
}

func (n *nans) top() *nanFrame { return &n.frames[len(n.frames)-1] }

func (n *nans) push(v value) { n.pushMany(v, 1) }

func (n *nans) pushMany(v value, count int) {
	if count > 0 {
		n.stack = append(n.stack, operands{v, count})
		n.height += count
	}
}

// take takes at most so many operands off, of which the same is known.
func (n *nans) take(most int) (v value, count int) {
	most = min(most, n.height-n.top().height)
	if most <= 0 {
		return value{}, 0 // nothing runs here
	}
	last := &n.stack[len(n.stack)-1]
	v, count = last.value, min(most, last.count)
	n.height -= count
	if last.count -= count; last.count == 0 {
		n.stack = n.stack[:len(n.stack)-1]
	}
	return v, count
}

func (n *nans) pop() value {
	v, _ := n.take(1)
	return v
}

// cut takes off what the open block has put on the stack.
func (n *nans) cut() {
	for n.height > n.top().height {
		n.take(n.height)
	}
}
