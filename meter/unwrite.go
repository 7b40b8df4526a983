package meter

import (
	"bytes"

	"github.com/countersign/countersign/internal/wasm"
)

// sequence is a run of instructions that Rewrite adds, with an integer between
// its parts where there is an after. Every one begins with a counter or a local
// of the metering, which the source cannot name: what looks like one is one.
type sequence struct{ before, after []byte }

// match returns the length of the sequence at the start of code, 0 if it is not
// there.
func (q *sequence) match(code []byte) int {
	if !bytes.HasPrefix(code, q.before) {
		return 0
	}
	n := len(q.before)
	if q.after == nil {
		return n
	}
	for n < len(code) && code[n] >= 0x80 {
		n++
	}
	if n++; n > len(code) || !bytes.HasPrefix(code[n:], q.after) {
		return 0
	}
	return n + len(q.after)
}

// named is an instruction with its index, as bytes to write in a sequence.
func named(op byte, index uint32) []byte { return appendIndex(nil, op, index) }

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// globalSequences are those of functions that use the counters themselves.
func (s *stripper) globalSequences() []sequence {
	getFuel, setFuel := named(opGlobalGet, s.fuel), named(opGlobalSet, s.fuel)
	getStack, setStack := named(opGlobalGet, s.stack), named(opGlobalSet, s.stack)
	charge := sequence{join(getFuel, []byte{opI64Const}), join([]byte{opI64Sub}, setFuel)}
	more := sequence{join(getFuel, []byte{opI64Const, 0, opI64LtS, opIf, noType}, named(opCall, s.refill), []byte{opEnd}), nil}
	check := sequence{charge.before, join(charge.after, more.before)}
	enter := sequence{join(getStack, []byte{opI32Const}), join([]byte{opI32Sub}, setStack, getStack, []byte{opI32Const, 0, opI32LtS, opIf, noType, opUnreachable, opEnd})}
	exit := sequence{enter.before, join([]byte{opI32Add}, setStack)}
	return []sequence{check, charge, enter, exit, more}
}

// Where some stand among localSequences.
const leavingCheck, firstGiveBack, lastGiveBack = 2, 5, 7

// localSequences are those of functions that keep the balance in a local, where
// nothing is called.
func (s *stripper) localSequences(balance, refill uint32) []sequence {
	getFuel, setFuel := named(opGlobalGet, s.fuel), named(opGlobalSet, s.fuel)
	get, set, tee := named(opLocalGet, balance), named(opLocalSet, balance), named(opLocalTee, balance)
	constant := []byte{opI64Const}
	less := join([]byte{opI64Sub}, tee, []byte{opI64Const, 0, opI64LtS})
	again := join([]byte{opBr, 2, opEnd}, get, named(opCall, refill), constant)
	return []sequence{
		{join(getFuel, set), nil}, // before the outermost loop
		{join(get, constant), join(less, []byte{opIf, noType}, get, named(opCall, refill), set, []byte{opEnd})},
		{join(get, constant), join(less, []byte{opBrIf, 1})}, // that leaves a loop
		{join(get, constant), join([]byte{opI64Sub}, set)},
		{again, join([]byte{opI64Add}, set, []byte{opBr, 0, opEnd, opEnd})}, // behind such a loop
		{join(get, constant), join([]byte{opI64Add}, set)},                  // given back before a branch
		{join(get, constant), join([]byte{opI64Add}, setFuel)},              // and out of the outermost loop
		{join(get, setFuel), nil},                                           // behind it, and before a branch
	}
}

// unwriter takes away what function writes.
type unwriter struct {
	*stripper
	fn        int
	sequences []sequence
	code      []byte
	marks     []int // where the instructions of code begin

	wrapped bool // in a block of the metering
	opened  bool
	open    []block
	leave   int // how many blocks are open with the loop that is left for a refill, 0 without

	local     bool   // the balance is in a local
	balance   uint32 // which
	counting  int    // where the unmetered half of a counted loop is being read
	isCounted bool   // the next loop

	scratches int    // locals behind those of the source, without the balance
	guessed   bool   // how many
	first     uint32 // of them
	nans      []nan
	removed   []removal
	used      uint8 // scratch locals that are used as such, a bit each
	misused   bool  // one is used for something else
}

// block is an open block of the source.
type block struct {
	counted bool // a loop that is there twice
	choice  bool // between its halves: the metering's
}

// function strips defined function i, with at most most scratch locals.
func (s *stripper) function(i, most int) *unwriter {
	for {
		u := &unwriter{stripper: s, fn: i, code: make([]byte, 0, len(s.m.Code[i].Code))}
		locals, fixed := u.begin(&s.m.Code[i])
		if !fixed {
			u.guessed = true
			u.scratches = min(most, u.scratchLocals())
			locals = u.localsBelow(u.m.NumLocals(i) - uint32(u.scratches))
		}
		u.scratch()
		u.all()
		if s.out.Code[i] = (wasm.Body{Locals: locals, Code: u.code}); fixed || u.scratches == 0 || s.err != nil || u.fits() {
			return u
		}
		most = u.scratches - 1
	}
}

// all strips the whole code.
func (u *unwriter) all() {
	b := &u.m.Code[u.fn]
	in, end := u.m.Instrs(u.fn), b.Offset+len(b.Code)
	skip := 0
	for v := (wasm.Instr{}); in.Next(&v); {
		if v.Start < skip || u.unmetered(&v) {
			continue
		}
		if n := u.added(u.m.Data[v.Start:end]); n > 0 {
			skip = v.Start + n
			continue
		}
		u.mark()
		u.step(&v)
	}
	if err := in.Err(); err != nil && u.err == nil {
		u.err = err
	}
}

// mark notes that an instruction begins.
func (u *unwriter) mark() { u.marks = append(u.marks, len(u.code)) }

// begin finds out how a function is metered. Where it has a balance, that fixes
// which locals are the source's.
func (u *unwriter) begin(b *wasm.Body) (locals []wasm.Local, fixed bool) {
	u.sequences = u.globalSequences()
	check, enter, more := &u.sequences[0], &u.sequences[2], &u.sequences[4]
	u.wrapped = enter.match(b.Code[max(check.match(b.Code), more.match(b.Code)):]) > 0
	balance, ok := u.findBalance(b)
	if !ok {
		return nil, false
	}
	u.local, u.balance = true, balance
	u.sequences = append(u.localSequences(u.balance, u.refillLocal), u.sequences...)
	locals = u.localsBelow(u.balance)
	u.scratches = max(0, len(b.Locals)-len(locals)-1) // behind the balance
	return locals, true
}

// findBalance looks for the local that the balance is taken into.
func (u *unwriter) findBalance(b *wasm.Body) (local uint32, ok bool) {
	if !bytes.Contains(b.Code, append(named(opGlobalGet, u.fuel), opLocalSet)) {
		return 0, false
	}
	in, taken := u.m.Instrs(u.fn), false
	for v := (wasm.Instr{}); in.Next(&v); {
		if taken && v.Op == wasm.OpLocalSet {
			return v.A, v.A < u.m.NumLocals(u.fn)
		}
		taken = v.Op == wasm.OpGlobalGet && v.A == u.fuel
	}
	return 0, false
}

// localsBelow returns the declarations of the locals before one of the metering.
func (u *unwriter) localsBelow(index uint32) []wasm.Local {
	locals := u.m.Code[u.fn].Locals
	next := uint32(len(u.m.Types[u.m.Funcs[u.fn]].Params))
	for i, l := range locals {
		if next >= index && l.Count > 0 {
			return locals[:i]
		}
		next += l.Count
	}
	return locals
}

// added returns the length of what the metering added at the start of code.
func (u *unwriter) added(code []byte) int {
	switch code[0] {
	case opBlock:
		return u.leaving(code)
	case opIf:
		return u.refund(code)
	case opLocalGet, opLocalTee, opGlobalGet, opBr: // all others begin so
	default:
		return 0
	}
	for i := range u.sequences {
		if n := u.sequences[i].match(code); n > 0 {
			return n
		}
	}
	return u.canonical(code)
}

// step writes an instruction as the source had it.
func (u *unwriter) step(v *wasm.Instr) {
	switch v.Op {
	case wasm.OpBlock, wasm.OpLoop, wasm.OpIf:
		if u.wrapped && !u.opened {
			u.opened = true
			return
		}
		u.open = append(u.open, block{counted: u.isCounted})
		u.isCounted = false
	case wasm.OpEnd:
		if !u.close() {
			return
		}
	case wasm.OpBr, wasm.OpBrIf:
		u.branch(v)
		return
	case wasm.OpBrTable:
		u.table(v)
		return
	case wasm.OpCall:
		u.call(v)
		return
	case wasm.OpLocalGet, wasm.OpLocalSet, wasm.OpLocalTee:
		u.misused = u.misused || v.A >= u.first
		if v.Op == wasm.OpLocalSet && u.local && v.A > u.balance {
			u.counted()
			return
		}
	case wasm.OpRefFunc:
		u.code = appendIndex(u.code, opRefFunc, u.index(u.fn, v.Start, v.A))
		return
	}
	u.code = append(u.code, u.m.Data[v.Start:v.End]...)
}

// close ends a block; false where it is the metering's.
func (u *unwriter) close() bool {
	n := len(u.open) - 1
	if n < 0 {
		mine := u.wrapped
		u.wrapped = false // what follows is the function's end
		return !mine
	}
	b := u.open[n]
	u.open = u.open[:n]
	if n < u.leave {
		u.leave = 0
	}
	if b.counted { // then comes the end of the choice between its halves
		u.open = append(u.open, block{choice: true})
	}
	return !b.choice
}

// call writes what a call stands for: one of the source's calls, or an
// instruction that became the call of a helper. Calls that only charge are gone.
func (u *unwriter) call(v *wasm.Instr) {
	h := u.helpers[v.A]
	switch h.kind {
	case helperLength:
	case helperGrow:
		u.code = append(u.code, opMemoryGrow, 0)
	case helperGrowTable:
		u.code = appendIndex(append(u.code, opMisc), miscTableGrow, h.table)
	default:
		u.code = appendIndex(u.code, opCall, u.index(u.fn, v.Start, v.A))
	}
}
