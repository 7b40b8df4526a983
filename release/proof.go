package release

import (
	"bytes"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/canon"
)

// CheckTaskInput makes sure that an input is the one that the signed order has
// for a task, as far as an order can say: by its rule, or by a proof that it is in the signed file, which
// is an RFC 6962 audit path for leaf task: 32 bytes a hash, from the bottom up.
// Errors are of class input.
func (o *Order) CheckTaskInput(task uint64, input, proof []byte) error {
	if task >= o.Tasks() {
		return canon.Fail("input", "%s: task %d of %d", o.label(), task, o.Tasks())
	}
	if want, is := o.Input.Stated(task); is {
		if len(proof) > 0 || !bytes.Equal(input, want) {
			return canon.Fail("input", "%s: the input of task %d is not the one that its rule gives", o.label(), task)
		}
		return nil
	}
	if o.Input.Outputs != nil {
		return o.checkOutputs(task, input, proof)
	}
	root, err := o.root(task, input)
	if err != nil {
		return err
	}
	path := make(tlog.RecordProof, len(proof)/tlog.HashSize)
	for i := range path {
		path[i] = tlog.Hash(proof[i*tlog.HashSize:])
	}
	if len(proof)%tlog.HashSize != 0 {
		return canon.Fail("input", "%s: a proof of %d bytes", o.label(), len(proof))
	}
	if err := tlog.CheckRecord(path, int64(o.Tasks()), tlog.Hash(root), int64(task), tlog.RecordHash(input)); err != nil {
		return canon.Fail("input", "%s: the input of task %d is not in the signed file", o.label(), task)
	}
	return nil
}

// root is that of the tree whose leaves are the inputs, of an order with a file.
func (o *Order) root(task uint64, input []byte) (canon.Digest, error) {
	c := o.Input.Chunks
	if c == nil {
		return o.Input.Lines.TreeRoot, nil
	}
	if want := c.Span(task).Length; len(input) != want {
		return canon.Digest{}, canon.Fail("input", "%s: the input of task %d has %d bytes, its rule gives it %d", o.label(), task, len(input), want)
	}
	return c.TreeRoot, nil
}

// checkOutputs checks what can be known of an input that did not exist when
// the order was signed: docs/spec/statement.md, "Inputs".
func (o *Order) checkOutputs(task uint64, input, proof []byte) error {
	if len(proof) > 0 || len(input) > MaxTaskInput {
		return canon.Fail("input", "%s: the input of task %d has %d bytes and a proof of %d", o.label(), task, len(input), len(proof))
	}
	return nil
}

// Prover proves the inputs of an order's file. It keeps the hashes of complete
// subtrees, all but the smallest, so that its memory is bounded by 1 MiB
// whatever the file.
type Prover struct {
	tasks int64
	level int           // the lowest that is kept
	kept  [][]tlog.Hash // of level, level+1, …, by number
	part  []tlog.Hash   // the last complete subtree of each level below, if its number is even
	added uint64
}

// maxBlocks is how many subtrees a Prover keeps of its lowest level.
const maxBlocks = 1 << 14

// NewProver returns a Prover for an order with so many tasks.
func NewProver(tasks uint64) *Prover {
	p := &Prover{tasks: int64(tasks)}
	for (tasks-1)>>p.level >= maxBlocks {
		p.level++
	}
	p.part = make([]tlog.Hash, p.level)
	return p
}

// Block is how many inputs there are in a block. Blocks begin at its multiples.
func (p *Prover) Block() uint64 { return 1 << p.level }

// Add adds the next task's input.
func (p *Prover) Add(input []byte) {
	n, h := p.added, tlog.RecordHash(input)
	p.added++
	for level := 0; ; level, n = level+1, n>>1 {
		var left tlog.Hash
		if level < p.level {
			left = p.part[level]
			p.part[level] = h
		} else {
			left = p.keep(level-p.level, h)
		}
		if n&1 == 0 {
			return
		}
		h = tlog.NodeHash(left, h)
	}
}

// keep adds a hash to those of a kept level, and returns the one before it.
func (p *Prover) keep(i int, h tlog.Hash) (left tlog.Hash) {
	if i == len(p.kept) {
		p.kept = append(p.kept, nil)
	}
	if n := len(p.kept[i]); n > 0 {
		left = p.kept[i][n-1]
	}
	p.kept[i] = append(p.kept[i], h)
	return left
}

// Prove returns the audit path of a task's input. inputs calls each with those
// from one task up to, not including, another; it is asked for tasks of the
// same block as this one, and of the last.
func (p *Prover) Prove(task uint64, inputs func(from, to uint64, each func(input []byte)) error) ([]byte, error) {
	read := func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			level, n := tlog.SplitStoredHashIndex(index)
			if level >= p.level {
				hashes[i] = p.kept[level-p.level][n]
				continue
			}
			var t tree
			if err := inputs(uint64(n)<<level, uint64(n+1)<<level, t.add); err != nil {
				return nil, err
			}
			hashes[i] = tlog.Hash(t.root())
		}
		return hashes, nil
	}
	path, err := tlog.ProveRecord(p.tasks, int64(task), tlog.HashReaderFunc(read))
	if err != nil {
		return nil, fmt.Errorf("proving the input of task %d: %w", task, err)
	}
	proof := make([]byte, 0, len(path)*tlog.HashSize)
	for _, h := range path {
		proof = append(proof, h[:]...)
	}
	return proof, nil
}
