// Package countersign is what a Go payload may ask of its host:
// docs/spec/abi.md. A program that only reads standard input and writes standard
// output needs nothing of it.
//
// A task runs in segments. A program that can go on from a small state asks
// SegmentDue now and then, and calls Checkpoint when it says so; it is then
// started again, in a fresh instance, and Restore gives it that state.
//
// Outside of a host (a native build, go test) the task is one segment.
package countersign

// MaxState is the longest state, in bytes.
const MaxState = 1 << 20

// Progress reports permille (0 to 1000) of the task done, and a short text for
// people: up to 256 bytes of printable ASCII.
func Progress(permille int, text string) { progress(uint32(min(max(permille, 0), 1000)), text) }

// Restore returns the state that the segment began with: nil in the first.
func Restore() []byte {
	n := restore(nil, 0)
	if n == 0 {
		return nil
	}
	state := make([]byte, n)
	restore(&state[0], n)
	return state
}

// Checkpoint ends the segment; the program is started again, and Restore gives
// it this state, of at most MaxState bytes. It does not return, and deferred
// calls do not run: flush what was printed into a buffer before.
func Checkpoint(state []byte) {
	var first *byte
	if len(state) > 0 {
		first = &state[0]
	}
	checkpoint(first, uint32(len(state)))
	panic("countersign: Checkpoint outside of a host")
}

// SegmentDue says whether it is time for a Checkpoint. That follows from the
// fuel used, so all runs of a task checkpoint at the same places.
func SegmentDue() bool { return segmentDue() != 0 }
