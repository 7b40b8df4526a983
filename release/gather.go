package release

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/countersign/countersign/internal/canon"
)

// Gatherer writes the inputs of an order with the outputs rule, as
// docs/spec/job.md, "Gathering", has them. Its memory is 8 bytes for each task
// and a bit for each task of the order before.
type Gatherer struct {
	w    io.Writer
	rule *Outputs
	ends []byte
	used []byte
	next uint64 // the first task of the order before that may come
	size int64
	last int64 // where the input of the present task begins
}

// NewGatherer returns a Gatherer that writes to w.
func NewGatherer(w io.Writer, rule *Outputs) *Gatherer {
	return &Gatherer{w: w, rule: rule, used: make([]byte, (rule.Tasks+7)/8)}
}

// Trailer is how many bytes follow the inputs themselves.
func (u *Outputs) Trailer() int64 {
	return 8*int64(ceilDiv(u.Tasks, u.PerTask)) + (u.Tasks+7)/8
}

// Add takes the output of a task of the order before. Tasks ascend; what is
// left out gives no bytes. Errors of class input are the outputs' fault.
func (g *Gatherer) Add(task uint64, output []byte) error {
	if task < g.next || task >= uint64(g.rule.Tasks) {
		return canon.Fail("input", "output of task %d after that of %d, of %d tasks", task, g.next, g.rule.Tasks)
	}
	g.next = task + 1
	g.end(task / uint64(g.rule.PerTask))
	g.used[task/8] |= 1 << (task % 8)
	g.size += int64(len(output))
	if g.size-g.last > MaxTaskInput || g.size > MaxInputFile {
		return canon.Fail("input", "the outputs for task %d are longer than %d bytes, or all together than %d: fewer a task",
			task/uint64(g.rule.PerTask), MaxTaskInput, MaxInputFile)
	}
	if _, err := g.w.Write(output); err != nil {
		return fmt.Errorf("writing gathered inputs: %w", err)
	}
	return nil
}

// end ends the inputs of all tasks before one.
func (g *Gatherer) end(task uint64) {
	for uint64(len(g.ends)) < 8*task {
		g.ends = binary.BigEndian.AppendUint64(g.ends, uint64(g.size))
		g.last = g.size
	}
}

// Finish writes what follows the inputs.
func (g *Gatherer) Finish() error {
	g.end(ceilDiv(g.rule.Tasks, g.rule.PerTask))
	for _, part := range [][]byte{g.ends, g.used} {
		if _, err := g.w.Write(part); err != nil {
			return fmt.Errorf("writing gathered inputs: %w", err)
		}
	}
	return nil
}
