package meter

import (
	"bytes"
	"encoding/binary"

	"github.com/countersign/countersign/internal/wasm"
)

// leaving returns the length of the start of a loop that is left for a refill,
// its check included, and begins the loop. No loop of the source has such a
// check without the blocks before it.
func (u *unwriter) leaving(code []byte) int {
	if !u.local || u.leave > 0 {
		return 0
	}
	n := 1
	for n < len(code) && code[n] >= 0x80 {
		n++
	}
	if n++; n > len(code) {
		return 0
	}
	loop := append([]byte{opLoop}, code[1:n]...)
	start := join(code[:n], loop, []byte{opBlock, noType}, loop)
	if !bytes.HasPrefix(code, start) {
		return 0
	}
	check := u.sequences[leavingCheck].match(code[len(start):])
	if check == 0 {
		return 0
	}
	u.mark()
	u.code = append(u.code, loop...)
	u.open = append(u.open, block{})
	u.leave = len(u.open)
	return len(start) + check
}

// refund returns the length of a br_if that gives back what was charged for what
// it jumps over, or puts the balance back, and writes the br_if.
func (u *unwriter) refund(code []byte) int {
	if !u.local || len(code) < 2 || code[1] != noType {
		return 0
	}
	n := 2
	for i := firstGiveBack; i <= lastGiveBack && n == 2; i++ {
		n += u.sequences[i].match(code[2:])
	}
	if n == 2 || n == len(code) || code[n] != opBr {
		return 0
	}
	to, size := binary.Uvarint(code[n+1:])
	if n += 1 + size; size <= 0 || n >= len(code) || code[n] != opEnd {
		return 0
	}
	label, _, ok := u.label(uint32(to) - 1)
	if !ok {
		return 0
	}
	u.mark()
	u.code = appendIndex(u.code, opBrIf, label)
	return n + 1
}

// label returns the label of the source for one of the metered module, and whether
// the branch passes blocks of the metering; ok is false where it leads to one.
func (u *unwriter) label(to uint32) (label uint32, passes, ok bool) {
	inside := uint32(len(u.open) - u.leave) // the label of the loop that is left
	switch {
	case u.leave == 0 || to <= inside:
		return to, false, true
	case to <= inside+addedBlocks:
		return 0, false, false
	}
	return to - addedBlocks, true, true
}

// branch writes a branch. One to the end of the function may have been a return.
func (u *unwriter) branch(v *wasm.Instr) {
	label, passes, ok := u.label(v.A)
	minimal := v.End-v.Start == len(named(opBr, v.A))
	switch {
	case !ok:
		u.fail(u.fn, v.Start, "branch to a block of the metering")
	case v.Op == wasm.OpBr && u.wrapped && int(label) == len(u.open) && minimal:
		u.code = append(u.code, opReturn)
	case passes:
		u.code = appendIndex(u.code, byte(v.Op), label)
	default:
		u.code = append(u.code, u.m.Data[v.Start:v.End]...)
	}
}

func (u *unwriter) table(v *wasm.Instr) {
	adjusted := false
	for _, l := range v.Labels {
		_, passes, ok := u.label(l)
		if adjusted = adjusted || passes; !ok {
			u.fail(u.fn, v.Start, "branch to a block of the metering")
		}
	}
	if !adjusted {
		u.code = append(u.code, u.m.Data[v.Start:v.End]...)
		return
	}
	u.code = appendIndex(u.code, byte(wasm.OpBrTable), uint32(len(v.Labels)-1))
	for _, l := range v.Labels {
		label, _, _ := u.label(l)
		u.code = wasm.AppendUnsigned(u.code, uint64(label))
	}
}

// counted takes away what computes the turns of a counted loop, which ends at
// the instruction whose mark is last. From behind, there is no doubt what it is.
func (u *unwriter) counted() {
	back := backward{u, len(u.marks) - 1}
	back.over(opI64Mul)
	back.any() // the cost of a turn
	back.over(opI64Add)
	back.any() // 1
	back.over(opI64ExtendU)
	if back.over(opI32ShrU) || back.over(opI64ShrU) {
		back.any()
	}
	back.over(opLocalTee)
	back.any() // the difference of
	back.operand()
	back.operand()
	if back.at < 0 {
		return
	}
	u.code, u.marks = u.code[:u.marks[back.at]], u.marks[:back.at]
	u.counting = 1
}

// backward goes back over instructions that have been written.
type backward struct {
	*unwriter
	at int // in marks
}

func (b *backward) any() { b.at-- }

func (b *backward) over(op byte) bool {
	if b.at < 1 {
		return false
	}
	at := b.marks[b.at-1]
	if at == len(b.code) || b.code[at] != op { // an instruction may have gone
		return false
	}
	b.at--
	return true
}

// operand is a constant or a local, or a local less a constant.
func (b *backward) operand() {
	if b.over(opI32Sub) || b.over(opI64Sub) {
		b.any()
	}
	b.any()
}

// unmetered passes over the half of a counted loop that is not charged, up to
// the else before the other half.
func (u *unwriter) unmetered(v *wasm.Instr) bool {
	if u.counting == 0 {
		return false
	}
	switch v.Op {
	case wasm.OpBlock, wasm.OpLoop, wasm.OpIf:
		u.counting++
	case wasm.OpEnd:
		u.counting--
	case wasm.OpElse:
		if u.counting == 2 {
			u.counting, u.isCounted = 0, true
		}
	}
	return true
}
