package meter

import "github.com/countersign/countersign/internal/wasm"

// unrolled is an inner loop whose body is written several times in a row, so that
// the balance is looked at once for all of them.
type unrolled struct {
	back  int // where the branch back stands, right before the loop's end
	size  int // of the body, in instructions
	times uint64
}

// spareCode is how many instructions of a module may be written again, and a
// sixteenth of all: first come, first served.
//
// Sizes are instructions and not bytes, because their number can be told from the
// metered module, for Check, and the length of the source's integers cannot.
const spareCode = 8 << 10

// Bodies up to so many instructions are written so many times.
const (
	twice = 100
	often = 48
)

// unroll reads the body of an inner loop, of which the instruction has just been
// read: what comes back to its start has to be one br_if at its end, and what
// leaves it has to be able to give back what was charged for the other copies.
// Labels are outside, and carry values or not, as seen from where the loop stands.
func unroll(in wasm.Instrs, loop *wasm.Instr, values func(label uint32) bool) (u unrolled, ok bool) {
	if len(loop.Type.Results) > 0 {
		return u, false
	}
	depth, v := uint32(0), wasm.Instr{}
	for size := 0; in.Next(&v) && size < twice; size++ {
		switch v.Op {
		case wasm.OpBlock, wasm.OpIf:
			depth++
		case wasm.OpEnd:
			if depth == 0 {
				return u, false
			}
			depth--
		case wasm.OpBr:
			if v.A == depth {
				return u, false
			}
		case wasm.OpBrTable:
			return u, false
		case wasm.OpBrIf:
			if v.A > depth && values(v.A-depth-1) {
				return u, false
			}
			if v.A != depth {
				break
			}
			u.back, u.size, u.times = v.Start, size, uint64(copies(size))
			return u, depth == 0 && in.Next(&v) && v.Op == wasm.OpEnd
		}
	}
	return u, false
}

// copies is how many times a body of so many instructions is written.
func copies(body int) int {
	switch {
	case body <= often:
		return 4
	case body <= twice:
		return 2
	}
	return 1
}
