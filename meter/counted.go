package meter

import (
	"math/bits"
	"slices"

	"github.com/countersign/countersign/internal/wasm"
)

// counted is a loop without branches but for the one at its end, that runs a
// number of times that can be computed when it is entered: one of its locals
// changes by step each time, until it is, or passes, a bound.
type counted struct {
	wide  bool // the local has 64 bits
	local uint32
	off   int64 // what is compared is the local at the start of a turn, and off
	step  int64
	until operand // what it is compared with
	end   int     // where the loop's end stands

	accesses []access // where its stores may be made canonical behind it
}

// operand is a constant, or a local that the loop does not change plus one.
type operand struct {
	fixed bool
	local uint32
	off   int64
}

// maxCounted is the largest body in instructions that is worth writing twice.
const maxCounted = 512

// symbol is what is known of an operand while a loop's body is read: a constant,
// or what a local held at the start of the turn and an offset.
type symbol struct {
	kind   symbolKind
	local  uint32
	off    int64
	second uint32  // of summed: the other local
	other  *symbol // of differs: what it is compared with
	wide   bool    // of differs
}

type symbolKind byte

const (
	anything symbolKind = iota
	fixed
	moved
	summed // two locals and an offset
	differs
)

// loopReader reads the bodies of loops, one after the other.
type loopReader struct {
	stack []symbol
	sets  []setLocal // by index of the local
	loop  uint32     // how many have been read, this one included

	accesses []access
	mixed    bool // it accesses memory in other ways too
}

// setLocal is what a local has been set to in a loop.
type setLocal struct {
	symbol
	loop uint32
}

func (r *loopReader) begin(locals uint32) {
	r.loop++
	r.stack, r.accesses, r.mixed = r.stack[:0], r.accesses[:0], false
	if n := int(locals) - len(r.sets); n > 0 {
		r.sets = append(r.sets, make([]setLocal, n)...)
	}
}

func (r *loopReader) set(i uint32, s symbol) { r.sets[i] = setLocal{s, r.loop} }

func (r *loopReader) pop() symbol {
	if len(r.stack) == 0 {
		return symbol{}
	}
	s := r.stack[len(r.stack)-1]
	r.stack = r.stack[:len(r.stack)-1]
	return s
}

func (r *loopReader) push(s symbol) { r.stack = append(r.stack, s) }

func (r *loopReader) local(i uint32) symbol {
	if s := &r.sets[i]; s.loop == r.loop {
		return s.symbol
	}
	return symbol{kind: moved, local: i}
}

// count reads the body of a loop, of which the instruction has just been read,
// and tells whether the loop is counted.
func (r *loopReader) count(in wasm.Instrs, data []byte, locals uint32) (c counted, ok bool) {
	r.begin(locals)
	v := wasm.Instr{}
	for size := 0; in.Next(&v) && size < maxCounted; size++ {
		if v.Op == wasm.OpBrIf {
			if v.A != 0 {
				return c, false
			}
			cond := r.pop()
			if !in.Next(&v) || v.Op != wasm.OpEnd || len(r.stack) > 0 {
				return c, false
			}
			if c, ok = r.counted(cond); ok {
				c.end = v.Start
				if size >= minDeferred && r.deferrable(&c) {
					c.accesses = slices.Clone(r.accesses)
				}
			}
			return c, ok
		}
		if !r.step(&v, data) {
			return c, false
		}
	}
	return c, false
}

// step reads an instruction; false where the loop is not simple enough.
func (r *loopReader) step(v *wasm.Instr, data []byte) bool {
	switch v.Op {
	case wasm.OpLocalGet:
		r.push(r.local(v.A))
	case wasm.OpLocalSet:
		r.set(v.A, r.pop())
	case wasm.OpLocalTee:
		s := r.pop()
		r.set(v.A, s)
		r.push(s)
	case wasm.OpI32Const, wasm.OpI64Const:
		r.push(symbol{kind: fixed, off: wasm.Signed(data[v.Start+1 : v.End])})
	case wasm.OpI32Add, wasm.OpI64Add:
		r.add(1)
	case wasm.OpI32Sub, wasm.OpI64Sub:
		r.add(-1)
	case opI32Ne, opI64Ne:
		y, x := r.pop(), r.pop()
		if x.kind == fixed {
			x, y = y, x
		}
		x.other, x.wide = &y, v.Op == opI64Ne
		x.kind = differsIf(x.kind)
		r.push(x)
	case wasm.OpDrop, wasm.OpGlobalSet:
		r.pop()
	case wasm.OpGlobalGet:
		r.push(symbol{})
	case wasm.OpSelect, wasm.OpSelectT:
		r.pop()
		r.pop()
		r.pop()
		r.push(symbol{})
	case wasm.OpNop:
	case wasm.OpMemoryGrow, wasm.OpMemoryFill, wasm.OpMemoryCopy, wasm.OpMemoryInit:
		return false
	default:
		r.access(v, data)
		in, out, ok := v.Op.Signature()
		for range in {
			r.pop()
		}
		for range out {
			r.push(symbol{})
		}
		return ok
	}
	return true
}

func differsIf(k symbolKind) symbolKind {
	if k == moved {
		return differs
	}
	return anything
}

func (r *loopReader) add(sign int64) {
	y, x := r.pop(), r.pop()
	if x.kind == fixed && sign == 1 {
		x, y = y, x
	}
	switch {
	case (x.kind == moved || x.kind == summed) && y.kind == fixed:
		x.off += sign * y.off
		r.push(x)
	case x.kind == moved && y.kind == moved && sign == 1:
		r.push(symbol{kind: summed, local: x.local, second: y.local, off: x.off + y.off})
	default:
		r.push(symbol{})
	}
}

// counted makes sure that the condition of the branch back is of the right form.
func (r *loopReader) counted(cond symbol) (c counted, ok bool) {
	if cond.kind == moved { // it goes on while not zero
		cond.kind, cond.other = differs, &symbol{kind: fixed}
	}
	if cond.kind != differs {
		return c, false
	}
	x, y := cond, *cond.other
	if y.kind == moved && r.stepOf(x.local) == 0 {
		x, y = y, x
	}
	if y.kind == differs {
		y.kind = moved
	}
	c = counted{wide: cond.wide, local: x.local, off: x.off, step: r.stepOf(x.local),
		until: operand{fixed: y.kind == fixed, local: y.local, off: y.off}}
	if c.step == 0 || y.kind != fixed && (y.kind != moved || r.local(y.local) != (symbol{kind: moved, local: y.local})) {
		return c, false
	}
	size := uint64(max(c.step, -c.step))
	return c, bits.OnesCount64(size) == 1 && size < 1<<16 && inRange(c.off) && inRange(c.until.off)
}

func inRange(off int64) bool { return off >= -1<<31 && off < 1<<31 }

// stepOf is what a local changes by each time, or 0.
func (r *loopReader) stepOf(local uint32) int64 {
	s := r.local(local)
	if s.kind != moved || s.local != local {
		return 0
	}
	return s.off
}
