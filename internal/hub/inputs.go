package hub

import (
	"bufio"
	"fmt"
	"io"
	"os"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/release"
)

// taskInputs gives the input of each task of an order.
type taskInputs interface {
	input(task uint64) ([]byte, error)
}

type rangeInputs struct{ *release.Range }

func (r rangeInputs) input(task uint64) ([]byte, error) { return r.RangeInput(task), nil }

// fileInputs reads inputs from a file that was checked against the order. It
// remembers where every stride-th task begins: few enough for any order.
type fileInputs struct {
	file   *os.File
	rule   release.Lines
	stride uint64
	begins []int64
}

const maxBegins = 1 << 16

// scanInputs reads an input file and checks that it is the order's.
func scanInputs(o *release.Order, file io.Reader) (*fileInputs, error) {
	f := &fileInputs{rule: *o.Input.Lines, stride: (o.Tasks() + maxBegins - 1) / maxBegins}
	got, err := release.Split(file, f.rule.PerTask, func(task uint64, at release.Span, _ []byte) error {
		if task%f.stride == 0 && len(f.begins) < maxBegins {
			f.begins = append(f.begins, at.Offset)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if *got != f.rule {
		return nil, refusal(wire.CodeInput, "order %q: the input file is not the signed one (%d lines, %d bytes, root %s; signed %d, %d, %s)",
			o.Title, got.Lines, got.Length, got.TreeRoot.Short(), f.rule.Lines, f.rule.Length, f.rule.TreeRoot.Short())
	}
	return f, nil
}

func (f *fileInputs) input(task uint64) ([]byte, error) {
	at := f.begins[task/f.stride]
	r := bufio.NewReaderSize(io.NewSectionReader(f.file, at, f.rule.Length-at), 4096)
	skip := int64(task%f.stride) * f.rule.PerTask
	var input []byte
	for n := range skip + f.rule.PerTask {
		if n >= skip && int64(task)*f.rule.PerTask+n-skip == f.rule.Lines {
			break // the last task may have fewer lines
		}
		line, err := readLine(r, n < skip)
		if err != nil {
			return nil, fmt.Errorf("reading the input of task %d: %w", task, err)
		}
		if input = append(input, line...); len(input) > release.MaxTaskInput {
			return nil, fmt.Errorf("reading the input of task %d: longer than %d bytes", task, release.MaxTaskInput)
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

// withheld stands for inputs that could not be used any more at the start.
type withheld struct{ err error }

func (w withheld) input(uint64) ([]byte, error) { return nil, w.err }

// inputDigest is the SHA-256 that a vote on the task must name.
func (o *orderEntry) inputDigest(task uint64) (canon.Digest, error) {
	data, err := o.input.input(task)
	return canon.Sum(data), err
}
