package hub

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/release"
)

// taskInputs gives the input of each task of an order, and the proof that it is
// the signed one.
type taskInputs interface {
	input(task uint64) ([]byte, error)
	proof(task uint64) ([]byte, error)
}

// statedInputs are those that the order itself states.
type statedInputs struct{ rule *release.Input }

func (s statedInputs) input(task uint64) ([]byte, error) {
	input, _ := s.rule.Stated(task)
	return input, nil
}

func (s statedInputs) proof(uint64) ([]byte, error) { return nil, nil }

// fileInputs reads inputs from a file that was checked against the order. It
// remembers where blocks of tasks begin: few enough for any order.
type fileInputs struct {
	file   *os.File
	rule   release.Lines
	prover *release.Prover
	begins []int64 // of blocks, as the prover has them
}

// scanInputs reads the input file of an order and checks that it is the order's.
// What it returns reads from the file that is opened then.
func scanInputs(o *release.Order, file io.Reader) (signedFile, error) {
	if o.Input.Chunks != nil {
		return scanChunks(o, file)
	}
	f := &fileInputs{rule: *o.Input.Lines, prover: release.NewProver(o.Tasks())}
	return f, o.ScanInput(file, func(task uint64, at release.Span, input []byte) error {
		if task%f.prover.Block() == 0 {
			f.begins = append(f.begins, at.Offset)
		}
		f.prover.Add(input)
		return nil
	})
}

// signedFile gives inputs out of a file that was checked against the order.
type signedFile interface {
	taskInputs
	io.Closer
	from(*os.File)
}

func (f *fileInputs) from(file *os.File) { f.file = file }
func (f *fileInputs) Close() error       { return f.file.Close() }

func (f *fileInputs) input(task uint64) (input []byte, err error) {
	err = f.inputs(task, task+1, func(in []byte) { input = in })
	return input, err
}

func (f *fileInputs) proof(task uint64) ([]byte, error) {
	return f.prover.Prove(task, f.inputs)
}

// inputs calls each with the inputs of the tasks from ≤ t < to, of one block.
func (f *fileInputs) inputs(from, to uint64, each func([]byte)) error {
	at := f.begins[from/f.prover.Block()]
	r := bufio.NewReaderSize(io.NewSectionReader(f.file, at, f.rule.Length-at), 4096)
	for task := from - from%f.prover.Block(); task < to; task++ {
		input, err := f.next(r, task, task < from)
		if err != nil {
			return fmt.Errorf("reading the input of task %d: %w", task, err)
		}
		if task >= from {
			each(input)
		}
	}
	return nil
}

// next reads the input of a task, where its file stands, or skips it.
func (f *fileInputs) next(r *bufio.Reader, task uint64, skip bool) (input []byte, err error) {
	first := int64(task) * f.rule.PerTask
	for range min(f.rule.PerTask, f.rule.Lines-first) { // the last task may have fewer lines
		line, err := readLine(r, skip)
		if err != nil {
			return nil, err
		}
		if input = append(input, line...); len(input) > release.MaxTaskInput {
			return nil, fmt.Errorf("longer than %d bytes", release.MaxTaskInput)
		}
	}
	return input, nil
}

// readLine returns a line of at most a task's input, or skips it.
func readLine(r *bufio.Reader, skip bool) (line []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if !skip {
			line = append(line, part...)
		}
		if err == nil || err != bufio.ErrBufferFull || len(line) > release.MaxTaskInput {
			return line, err
		}
	}
}

// outputInputs are inputs that come into being while the hub runs.
type outputInputs struct{ file atomic.Pointer[gatheredFile] }

func (u *outputInputs) set(f *gatheredFile) { u.file.Store(f) }

func (u *outputInputs) input(task uint64) ([]byte, error) {
	f := u.file.Load()
	if f == nil {
		return nil, errors.New("the inputs are not gathered yet")
	}
	return f.input(task)
}

func (u *outputInputs) proof(uint64) ([]byte, error) { return nil, nil }

// withheld stands for inputs that could not be used any more at the start.
type withheld struct{ err error }

func (w withheld) input(uint64) ([]byte, error) { return nil, w.err }
func (w withheld) proof(uint64) ([]byte, error) { return nil, w.err }

// Close closes what was gathered; it was only read.
func (u *outputInputs) Close() error {
	if f := u.file.Load(); f != nil {
		return f.Close()
	}
	return nil
}

// inputDigest is the SHA-256 that a vote on the task must name.
func (o *orderEntry) inputDigest(task uint64) (canon.Digest, error) {
	if c, ok := o.input.(*chunkInputs); ok && c.sums != nil {
		return c.sums[task], nil
	}
	data, err := o.input.input(task)
	return canon.Sum(data), err
}
