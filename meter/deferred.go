package meter

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/countersign/countersign/internal/wasm"
)

// A counted loop may store the floats that it computes as they are, and add up
// what it stores: only if the sum is a NaN can there be one among them, and then
// what has been stored is made canonical in memory, once, behind the loop. That
// is right where nothing in the loop can tell how a NaN is stored:
// docs/spec/meter.md, "Canonical NaN".

// access is a load or store of a float in a counted loop.
type access struct {
	op   wasm.Op
	at   int
	form symbol // the address, the memarg's offset included
}

const (
	opF32Load, opF64Load, opF32Store, opF64Store  = 0x2a, 0x2b, 0x38, 0x39
	opI32Or, opF32Ne, opF64Ne, opF32Add, opF64Add = 0x72, 0x5c, 0x62, 0x92, 0xa0
)

const (
	minDeferred = 20 // instructions: less waits longer for its sum than for a jump at each store
	maxAccesses = 32
)

func (a *access) store() bool { return a.op == opF32Store || a.op == opF64Store }

func (a *access) lane() lane {
	if a.op == opF32Load || a.op == opF32Store {
		return f32
	}
	return f64
}

// width of a lane's floats in bytes.
func (l lane) width() int64 {
	if l == f32 {
		return 4
	}
	return 8
}

// access notes a load or store, whose operands are on the stack.
func (r *loopReader) access(v *wasm.Instr, data []byte) {
	a := access{op: v.Op, at: v.Start}
	switch {
	case v.Op == opF32Load || v.Op == opF64Load:
		a.form = r.below(0)
	case a.store():
		a.form = r.below(1)
	default: // of another type, or perhaps a vector's
		r.mixed = r.mixed || v.Op >= 0x28 && v.Op <= 0x3e || v.Op > 0xfd0000
		return
	}
	if len(r.accesses) == maxAccesses || len(r.accesses) > 0 && r.accesses[0].lane() != a.lane() {
		r.mixed = true
	}
	if r.mixed {
		return
	}
	memarg := data[v.Start+1 : v.End]
	_, n := binary.Uvarint(memarg)
	offset, _ := binary.Uvarint(memarg[n:])
	a.form.off += int64(offset)
	r.accesses = append(r.accesses, a)
}

// below is the operand under n others.
func (r *loopReader) below(n int) symbol {
	if n = len(r.stack) - 1 - n; n < 0 {
		return symbol{}
	}
	return r.stack[n]
}

// deferrable tells whether the loop that has been read, counted by c, stores
// floats so that they can be found again behind it: at the counter plus what does
// not change. Every load and store is of the same type, at an address that is a
// multiple of its width in every turn if it is in the first.
func (r *loopReader) deferrable(c *counted) bool {
	stores := false
	for i := range r.accesses {
		a := &r.accesses[i]
		width := a.lane().width()
		if a.form.off%width != 0 {
			return false
		}
		for _, l := range a.form.locals() {
			s := r.local(l)
			if s.kind != moved || s.local != l || s.off%width != 0 || a.store() && l != c.local && s.off != 0 {
				return false
			}
		}
		counters := 0
		for _, l := range a.form.locals() {
			if l == c.local {
				counters++
			}
		}
		if len(a.form.locals()) == 0 || a.store() && counters != 1 {
			return false
		}
		stores = stores || a.store()
	}
	return stores && !r.mixed && !c.wide
}

// locals of an address: one, or two that are added.
func (s *symbol) locals() []uint32 {
	switch s.kind {
	case moved:
		return []uint32{s.local}
	case summed:
		return []uint32{s.local, s.second}
	}
	return nil
}

// deferral is a loop whose stores are made canonical behind it.
type deferral struct {
	*counted
	lane       lane
	x          uint32 // locals: what is stored, the sum of a turn, and of all
	turn, all  uint32
	from       uint32 // what the counter started from
	stored, of int    // stores that have been written in this turn
}

// deferral returns how the loop's stores are made canonical, nil where that has to
// be done before each: where one of them is of what is not computed, or a value
// that is loaded is observed.
func (c *cursor) deferral(n *counted) *deferral {
	if len(n.accesses) == 0 {
		return nil
	}
	d := &deferral{counted: n, lane: n.accesses[0].lane()}
	for i := range n.accesses {
		a := &n.accesses[i]
		if !a.store() {
			at, ok := slices.BinarySearchFunc(c.nans.loads, a.at, func(l load, at int) int { return l.at - at })
			if !ok || c.nans.loads[at].observed {
				return nil
			}
			continue
		}
		if at, ok := slices.BinarySearchFunc(c.sites, a.at, func(s site, at int) int { return s.at - at }); !ok || !c.sites[at].observed {
			return nil
		}
		d.of++
	}
	d.x, d.turn, d.all = c.scratchLocal(d.lane), c.sumLocal(d.lane, 0), c.sumLocal(d.lane, 1)
	if c.from == 0 {
		c.from = c.newLocal(wasm.I32) + 1
	}
	d.from = c.from - 1
	return d
}

// sumLocal is one of two locals that add up floats of a lane.
func (f *function) sumLocal(l lane, i int) uint32 {
	if s := &f.sums[l][i]; *s == 0 {
		*s = f.newLocal(l.valType()) + 1
	}
	return f.sums[l][i] - 1
}

// aligned leaves whether the addresses are multiples of the width.
func (c *cursor) aligned(d *deferral) {
	var locals []uint32
	for i := range d.accesses {
		locals = append(locals, d.accesses[i].form.locals()...)
	}
	slices.Sort(locals)
	for i, l := range slices.Compact(locals) {
		c.code = appendIndex(c.code, opLocalGet, l)
		if i > 0 {
			c.code = append(c.code, opI32Or)
		}
	}
	c.code = append(c.code, opI32Const, byte(d.lane.width()-1), opI32And, opI32Eqz, opI32And)
}

// defers tells whether what is made canonical at a place is stored, and dealt with
// behind the loop.
func (c *cursor) defers(at int) bool {
	return c.deferred != nil && slices.ContainsFunc(c.deferred.accesses, func(a access) bool { return a.store() && a.at == at })
}

// beginDeferral is written before the loop.
func (c *cursor) beginDeferral(d *deferral) {
	zero := append([]byte{byte(wasm.OpF64Const)}, make([]byte, 8)...)
	if d.lane == f32 {
		zero = append([]byte{byte(wasm.OpF32Const)}, make([]byte, 4)...)
	}
	c.code = appendIndex(append(c.code, zero...), opLocalSet, d.all)
	c.code = appendIndex(appendIndex(c.code, opLocalGet, d.counted.local), opLocalSet, d.from)
}

// sum is written before a store: it adds up what a turn stores, and then adds
// that to what all have stored, so that a turn waits for one addition only.
func (c *cursor) sum(d *deferral) {
	add := byte(opF64Add)
	if d.lane == f32 {
		add = opF32Add
	}
	x := d.x
	if d.stored == 0 && d.of > 1 {
		x = d.turn
	}
	c.code = appendIndex(c.code, opLocalTee, x)
	d.stored++
	if d.stored == 1 && d.of > 1 {
		return
	}
	last := d.stored == d.of
	if last {
		c.code = appendIndex(c.code, opLocalGet, d.all)
	}
	if d.of > 1 {
		c.code = append(appendIndex(appendIndex(c.code, opLocalGet, d.turn), opLocalGet, x), add)
	} else {
		c.code = appendIndex(c.code, opLocalGet, x)
	}
	if !last {
		c.code = appendIndex(c.code, opLocalSet, d.turn)
		return
	}
	c.code = appendIndex(append(c.code, add), opLocalSet, d.all)
}

// endDeferral is written behind the loop: where the sum is a NaN, a loop over the
// same addresses makes every NaN canonical.
func (c *cursor) endDeferral(d *deferral) {
	ne := byte(opF64Ne)
	if d.lane == f32 {
		ne = opF32Ne
	}
	c.code = appendIndex(appendIndex(c.code, opLocalGet, d.all), opLocalGet, d.all)
	c.code = append(c.code, ne, opIf, noType, opLoop, noType)
	for i := range d.accesses {
		if a := &d.accesses[i]; a.store() {
			c.code = d.address(c.code, a)
			c.code = append(c.code, loadOf[d.lane], byte(bits.TrailingZeros64(uint64(d.lane.width()))), 0)
			c.code = appendIndex(appendIndex(c.code, opLocalTee, d.x), opLocalGet, d.x)
			c.code = append(c.code, ne, opIf, noType)
			c.code = append(d.address(c.code, a), canonicalNaN[d.lane]...)
			c.code = append(c.code, loadOf[d.lane]+opF64Store-opF64Load, byte(bits.TrailingZeros64(uint64(d.lane.width()))), 0, opEnd)
		}
	}
	c.code = wasm.AppendSigned(append(appendIndex(c.code, opLocalGet, d.from), opI32Const), d.step)
	c.code = appendIndex(append(c.code, opI32Add), opLocalTee, d.from)
	c.code = appendIndex(c.code, opLocalGet, d.counted.local)
	c.code = append(c.code, opI32Ne, opBrIf, 0, opEnd, opEnd)
}

var loadOf = [lanes]byte{f32: opF32Load, f64: opF64Load}

// address is what a store's was when the counter was what from is.
func (d *deferral) address(out []byte, a *access) []byte {
	out = appendIndex(out, opLocalGet, d.from)
	for _, l := range a.form.locals() {
		if l != d.counted.local {
			out = append(appendIndex(out, opLocalGet, l), opI32Add)
		}
	}
	if off := int64(int32(a.form.off)); off != 0 {
		out = append(wasm.AppendSigned(append(out, opI32Const), off), opI32Add)
	}
	return out
}
