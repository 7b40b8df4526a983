package meter

import (
	"math"

	"github.com/countersign/countersign/internal/wasm"
)

// What each instruction does with values that may be NaNs: which look at the bits,
// which cannot tell, and what comes of them.

// observe has something look at the bits of a value.
func (n *nans) observe(v value) {
	switch {
	case v.state == raw:
		n.sites[v.site].observed = true
	case v.from > 0:
		n.loads[v.from-1].observed = true
	case v.from < 0:
		n.locals[^v.from].looked = n.reading
	}
}

func (n *nans) looked(local uint32) bool { return n.locals[local].looked == n.reading }

// maxFollowed is how many locals in a row a value is followed through.
const maxFollowed = 4

// follow marks what goes into locals whose bits something looks at.
func (n *nans) follow() {
	for round := 0; ; round++ {
		changed := false
		for _, f := range n.flows {
			was := f.from > 0 || n.looked(uint32(^f.from))
			if n.looked(f.to) || round > maxFollowed {
				n.observe(value{state: exact, from: f.from})
			}
			changed = changed || !was && n.looked(uint32(^f.from))
		}
		if !changed || round > maxFollowed {
			return
		}
	}
}

// use has arithmetic of a lane look at a value: it cannot tell NaNs apart.
func (n *nans) use(v value, l lane) {
	if v.lane != l {
		n.observe(v)
	}
}

// result pushes a raw value that the instruction makes.
func (n *nans) result(v *wasm.Instr, l lane) {
	n.sites = append(n.sites, site{at: v.End, lane: l})
	n.push(value{state: raw, lane: l, site: int32(len(n.sites) - 1)})
}

func (n *nans) observeTop(count int) {
	for count > 0 {
		v, taken := n.take(count)
		if taken == 0 {
			return
		}
		n.observe(v)
		count -= taken
	}
}

func (n *nans) pushExact(count int) { n.pushMany(value{state: exact}, count) }

// merge pushes one of two values of a lane, with the bits that it had.
func (n *nans) merge(v *wasm.Instr, a, b value) {
	switch {
	case a.state == exact || b.state == exact || a.state == raw && b.state == raw && a.lane != b.lane:
		n.observe(a)
		n.observe(b)
		n.pushExact(1)
	case a.state == raw:
		n.result(v, a.lane)
	case b.state == raw:
		n.result(v, b.lane)
	default:
		n.push(value{})
	}
}

// keep pushes what comes of a value when its sign changes, or lanes of it.
func (n *nans) keep(v *wasm.Instr, a value, to lane) {
	if a.state == raw {
		n.result(v, to)
		return
	}
	if a.from != 0 {
		a.lane = to
	}
	n.push(a)
}

func (n *nans) step(v *wasm.Instr) {
	switch v.Op {
	case wasm.OpBlock, wasm.OpLoop, wasm.OpIf:
		n.open(v)
	case wasm.OpElse:
		f := *n.top()
		n.close()
		n.enter(f.typ, false, n.dead())
	case wasm.OpEnd:
		f := n.close()
		n.pushExact(len(f.typ.Results))
	case wasm.OpBr:
		n.observeTop(n.arity(v.A))
		n.leave()
	case wasm.OpBrIf:
		n.pop()
		count := n.arity(v.A)
		n.observeTop(count)
		n.pushExact(count)
	case wasm.OpBrTable:
		n.pop()
		n.observeTop(n.arity(v.Labels[0]))
		n.leave()
	case wasm.OpReturn:
		n.observeTop(len(n.frames[0].typ.Results))
		n.leave()
	case wasm.OpUnreachable:
		n.leave()
	case wasm.OpCall:
		n.called(n.m.FuncType(v.A))
	case wasm.OpCallIndirect:
		n.pop()
		n.called(n.m.Types[v.A])
	default:
		n.plain(v)
	}
}

func (n *nans) dead() bool { return len(n.frames) > 0 && n.top().dead }

func (n *nans) open(v *wasm.Instr) {
	if v.Op == wasm.OpIf {
		n.pop()
	}
	n.observeTop(len(v.Type.Params))
	n.enter(v.Type, v.Op == wasm.OpLoop, n.dead())
}

func (n *nans) enter(t *wasm.FuncType, loop, dead bool) {
	n.frames = append(n.frames, nanFrame{typ: t, loop: loop, height: n.height, dead: dead})
	n.pushExact(len(t.Params))
}

func (n *nans) close() nanFrame {
	f := *n.top()
	n.observeTop(len(f.typ.Results))
	n.cut()
	n.frames = n.frames[:len(n.frames)-1]
	if len(n.frames) == 0 {
		n.frames = append(n.frames, nanFrame{typ: &wasm.FuncType{}}) // behind the function's end
	}
	return f
}

func (n *nans) leave() {
	n.cut()
	n.top().dead = true
}

func (n *nans) arity(label uint32) int {
	f := &n.frames[len(n.frames)-1-int(label)]
	if f.loop {
		return len(f.typ.Params)
	}
	return len(f.typ.Results)
}

func (n *nans) called(t wasm.FuncType) {
	n.observeTop(len(t.Params))
	n.pushExact(len(t.Results))
}

// plain reads an instruction that does not branch.
func (n *nans) plain(v *wasm.Instr) {
	switch v.Op {
	case wasm.OpDrop:
		n.pop()
	case wasm.OpSelect, wasm.OpSelectT:
		n.pop()
		b, a := n.pop(), n.pop()
		n.merge(v, a, b)
	case wasm.OpLocalGet:
		if l := *n.local(v.A); l.state == raw {
			n.result(v, l.lane)
		} else {
			n.push(n.named(v.A, l))
		}
	case wasm.OpLocalSet:
		n.set(v.A, n.pop())
	case wasm.OpLocalTee:
		a := n.pop()
		n.set(v.A, a)
		n.push(a)
	case wasm.OpGlobalGet, wasm.OpRefNull, wasm.OpRefFunc, wasm.OpTableSize:
		n.pushExact(1)
	case wasm.OpGlobalSet:
		n.observeTop(1)
	case wasm.OpRefIsNull, wasm.OpTableGet:
		n.observeTop(1)
		n.pushExact(1)
	case wasm.OpTableSet:
		n.observeTop(2)
	case wasm.OpTableGrow:
		n.observeTop(2)
		n.pushExact(1)
	case wasm.OpTableFill, wasm.OpTableInit, wasm.OpTableCopy:
		n.observeTop(3)
	default:
		n.typed(v)
	}
}

// set puts a value into a local. What is known of the local only ever gets less:
// number, raw of one lane, exact.
func (n *nans) set(i uint32, v value) {
	l := n.local(i)
	switch {
	case n.top().dead || v.state == number:
	case v.state == exact, l.state == exact, l.state == raw && l.lane != v.lane:
		if v.state == exact && v.from != 0 {
			n.flows = append(n.flows, flow{v.from, i})
		} else {
			n.observe(v)
		}
		if l.state != exact {
			*l, n.moved = value{state: exact}, true
		}
	case l.state == number:
		*l, n.moved = value{state: raw, lane: v.lane}, true
	}
}

// typed reads an instruction of fixed type.
func (n *nans) typed(v *wasm.Instr) {
	a := floatOpOf(v.Op)
	switch a.kind {
	case arithmetic:
		for range a.operands {
			n.use(n.pop(), a.from)
		}
		n.result(v, a.to)
	case test:
		for range a.operands {
			n.use(n.pop(), a.from)
		}
		n.pushExact(1)
	case makes:
		n.observeTop(1)
		n.push(value{})
	case sign:
		n.keep(v, n.lane(n.pop(), a.from), a.to)
	case copySign:
		y, x := n.pop(), n.pop()
		n.observe(y)
		n.keep(v, n.lane(x, a.from), a.to)
	case chooses:
		y, x := n.lane(n.pop(), a.from), n.lane(n.pop(), a.from)
		n.merge(v, x, y)
	case replaces:
		x, vector := n.pop(), n.lane(n.pop(), a.from)
		if x.state == raw {
			x.lane = a.from // of the vector that it becomes part of
		}
		n.merge(v, vector, x)
	default:
		if l := loaded(v.Op); l != noLane {
			n.pop()
			n.loads = append(n.loads, load{at: v.Start})
			n.push(value{state: exact, lane: l, from: int32(len(n.loads))})
			return
		}
		in, out, _ := v.Op.Signature()
		n.observeTop(len(in))
		if number := n.constant(v); number {
			n.push(value{})
		} else {
			n.pushExact(len(out))
		}
	}
}

// lane makes a value of another lane one whose bits count.
func (n *nans) lane(v value, l lane) value {
	if (v.state == raw || v.from != 0) && v.lane != l {
		n.observe(v)
		return value{state: exact}
	}
	return v
}

// named is what a local that is not raw holds, with the local's name.
func (n *nans) named(i uint32, v value) value {
	if l := laneOf(n.types.Type(i)); v.state == exact && l != noLane {
		return value{state: exact, lane: l, from: ^int32(i)}
	}
	return v
}

// laneOf is what a value of a type may be used as without looking at its bits:
// for a vector that depends, and lanes stands for none.
func laneOf(t wasm.ValType) lane {
	switch t {
	case wasm.F32:
		return f32
	case wasm.F64:
		return f64
	case wasm.V128:
		return lanes
	}
	return noLane
}

// loaded is the lane of what an instruction loads, noLane for other instructions.
func loaded(op wasm.Op) lane {
	switch op {
	case opF32Load:
		return f32
	case opF64Load:
		return f64
	}
	return noLane
}

// constant tells whether an instruction is a constant without a NaN.
func (n *nans) constant(v *wasm.Instr) bool {
	bits := n.m.Data[v.Start:v.End]
	switch v.Op {
	case wasm.OpF32Const:
		return !nan32(bits[1:])
	case wasm.OpF64Const:
		return !nan64(bits[1:])
	case wasm.OpV128Const:
		b := bits[len(bits)-16:]
		return !nan32(b) && !nan32(b[4:]) && !nan32(b[8:]) && !nan32(b[12:]) && !nan64(b) && !nan64(b[8:])
	}
	return false
}

func nan32(b []byte) bool {
	f := math.Float32frombits(uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24)
	return f != f
}

func nan64(b []byte) bool {
	var u uint64
	for i := range 8 {
		u |= uint64(b[i]) << (8 * i)
	}
	f := math.Float64frombits(u)
	return f != f
}
