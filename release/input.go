package release

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/canon"
)

// Input is the rule by which the inputs of all tasks follow from the order.
// It has exactly one member.
type Input struct {
	List    []string `json:"list,omitempty"` // a text for each task
	Lines   *Lines   `json:"lines,omitempty"`
	Chunks  *Chunks  `json:"chunks,omitempty"`
	Range   *Range   `json:"range,omitempty"`
	Outputs *Outputs `json:"outputs,omitempty"`
}

// Outputs gives each task the outputs of some tasks of the order that its own
// order follows, one after the other.
type Outputs struct {
	Tasks   int64 `json:"tasks"` // of the order that is followed
	PerTask int64 `json:"per_task"`
}

// Lines gives each task some lines of a file.
type Lines struct {
	TreeRoot canon.Digest `json:"tree_root"` // RFC 6962, leaf t is the input of task t
	Length   int64        `json:"length"`    // bytes
	Lines    int64        `json:"lines"`
	PerTask  int64        `json:"per_task"`
}

// Range gives each task a part of the numbers From ≤ n < To.
type Range struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
	Step int64 `json:"step"`
}

const (
	maxTasks = 1 << 40
	// MaxList is the most texts that Input.List may have.
	MaxList = 1000
	// MaxOutputs is the largest Outputs.Tasks.
	MaxOutputs = 1 << 24
	// MaxTaskInput is the longest input of one task, in bytes.
	MaxTaskInput = 65536
	// MaxInputFile is the longest input file, in bytes.
	MaxInputFile = 1 << 30
)

// Tasks returns how many tasks the order has.
func (o *Order) Tasks() uint64 { return o.Input.tasks() }

func (in *Input) tasks() uint64 {
	if l := in.Lines; l != nil {
		return ceilDiv(l.Lines, l.PerTask)
	}
	if c := in.Chunks; c != nil {
		return ceilDiv(c.Length, c.Size)
	}
	if u := in.Outputs; u != nil {
		return ceilDiv(u.Tasks, u.PerTask)
	}
	if in.Range == nil {
		return uint64(len(in.List))
	}
	return ceilDiv(in.Range.To-in.Range.From, in.Range.Step)
}

func ceilDiv(a, b int64) uint64 { return (uint64(a) + uint64(b) - 1) / uint64(b) }

// Stated returns the input of a task, if the order itself states it: by the
// rules range and list.
func (in *Input) Stated(task uint64) (input []byte, is bool) {
	switch r := in.Range; {
	case r != nil:
		a := r.From + int64(task)*r.Step
		return fmt.Appendf(nil, "%d %d\n", a, min(a+r.Step, r.To)), true
	case in.List != nil:
		return []byte(in.List[task] + "\n"), true
	}
	return nil, false
}

// IsStated reports whether the order itself states its inputs.
func (in *Input) IsStated() bool { return in.Range != nil || in.List != nil }

func (in *Input) rules() (n int) {
	for _, is := range []bool{in.List != nil, in.Lines != nil, in.Chunks != nil, in.Range != nil, in.Outputs != nil} {
		if is {
			n++
		}
	}
	return n
}

func (in *Input) check(label string) error {
	l, c, r, u := in.Lines, in.Chunks, in.Range, in.Outputs
	switch {
	case in.rules() != 1:
		return canon.Fail("bounds", "%s: input needs exactly one rule", label)
	case r != nil && (r.From < 0 || r.From >= r.To || r.To > canon.MaxInteger || r.Step < 1 || r.Step > canon.MaxInteger):
		return canon.Fail("bounds", "%s: range from %d to %d by %d", label, r.From, r.To, r.Step)
	case l != nil && (l.Length < 1 || l.Length > MaxInputFile || l.Lines < 1 || l.Lines > l.Length || l.PerTask < 1 || l.PerTask > MaxTaskInput):
		return canon.Fail("bounds", "%s: %d lines in %d bytes, %d a task", label, l.Lines, l.Length, l.PerTask)
	case c != nil && (c.Length < 1 || c.Length > MaxChunkedFile || c.Size < 1 || c.Size > MaxChunk):
		return canon.Fail("bounds", "%s: chunks of %d bytes of a file of %d", label, c.Size, c.Length)
	case len(in.List) > MaxList:
		return canon.Fail("bounds", "%s: a list of %d inputs, at most %d allowed", label, len(in.List), MaxList)
	case u != nil && (u.Tasks < 1 || u.Tasks > MaxOutputs || u.PerTask < 1 || u.PerTask > MaxOutputs):
		return canon.Fail("bounds", "%s: outputs of %d tasks, %d a task: at most %d allowed", label, u.Tasks, u.PerTask, MaxOutputs)
	case in.tasks() > maxTasks:
		return canon.Fail("bounds", "%s: %d tasks, at most 2^40 allowed", label, in.tasks())
	}
	return nil
}

// Span is where a task's input lies in the input file.
type Span struct {
	Offset int64
	Length int
}

// Split reads an input file, perTask lines a task, and calls each with the
// input of every task in order. It returns the rule that describes the file.
// Errors are of class input, with the line's number.
func Split(file io.Reader, perTask int64, each func(task uint64, at Span, input []byte) error) (*Lines, error) {
	if perTask < 1 || perTask > MaxTaskInput {
		return nil, canon.Fail("bounds", "per_task %d is not from 1 to %d", perTask, MaxTaskInput)
	}
	s := splitter{rule: Lines{PerTask: perTask}, each: each}
	r := bufio.NewReaderSize(io.LimitReader(file, MaxInputFile+1), MaxTaskInput+1)
	for {
		line, err := r.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return s.finish()
		case errors.Is(err, io.EOF):
			return nil, canon.Fail("input", "input file: line %d, the last, has no newline at its end", s.rule.Lines+1)
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, canon.Fail("input", "input file: line %d is longer than %d bytes", s.rule.Lines+1, MaxTaskInput)
		case err != nil:
			return nil, fmt.Errorf("reading the input file: %w", err)
		}
		if err := s.line(line); err != nil {
			return nil, err
		}
	}
}

type splitter struct {
	rule  Lines
	each  func(uint64, Span, []byte) error
	task  bytes.Buffer
	inBuf int64 // lines in task
	tree  tree
}

func (s *splitter) line(line []byte) error {
	s.rule.Lines++
	s.rule.Length += int64(len(line))
	s.task.Write(line)
	s.inBuf++
	if s.rule.Length > MaxInputFile {
		return canon.Fail("input", "input file: longer than %d bytes", MaxInputFile)
	}
	if s.task.Len() > MaxTaskInput {
		return canon.Fail("input", "input file: the input of the task with line %d is longer than %d bytes: fewer lines a task", s.rule.Lines, MaxTaskInput)
	}
	if s.inBuf == s.rule.PerTask {
		return s.flush()
	}
	return nil
}

func (s *splitter) flush() error {
	input := s.task.Bytes()
	at := Span{s.rule.Length - int64(len(input)), len(input)}
	if err := s.each(s.tree.leaves(), at, input); err != nil {
		return err
	}
	s.tree.add(input)
	s.task.Reset()
	s.inBuf = 0
	return nil
}

func (s *splitter) finish() (*Lines, error) {
	if s.inBuf > 0 {
		if err := s.flush(); err != nil {
			return nil, err
		}
	}
	if s.rule.Lines == 0 {
		return nil, canon.Fail("input", "input file: empty")
	}
	s.rule.TreeRoot = s.tree.root()
	return &s.rule, nil
}

// IsFile reports whether the inputs come from a file, by the rules lines and chunks.
func (in *Input) IsFile() bool { return in.Lines != nil || in.Chunks != nil }

// FileLength is that of the input file, or 0 if the rule has none.
func (in *Input) FileLength() int64 {
	switch {
	case in.Lines != nil:
		return in.Lines.Length
	case in.Chunks != nil:
		return in.Chunks.Length
	}
	return 0
}

// ScanInput reads the input file of an order by lines or chunks, calls each
// with the input of every task in order, and fails unless it is the signed file.
func (o *Order) ScanInput(file io.Reader, each func(task uint64, at Span, input []byte) error) (err error) {
	within := func(task uint64, at Span, input []byte) error {
		if task >= o.Tasks() {
			return canon.Fail("input", "%s: the input file is not the signed one: it has more tasks", o.label())
		}
		return each(task, at, input)
	}
	switch want := o.Input; {
	case want.Lines != nil:
		var got *Lines
		if got, err = Split(file, want.Lines.PerTask, within); err == nil && *got != *want.Lines {
			err = canon.Fail("input", "%s: the input file is not the signed one (%d lines, %d bytes, root %s; signed %d, %d, %s)",
				o.label(), got.Lines, got.Length, got.TreeRoot.Short(), want.Lines.Lines, want.Lines.Length, want.Lines.TreeRoot.Short())
		}
	case want.Chunks != nil:
		var got *Chunks
		if got, err = SplitChunks(file, want.Chunks.Size, within); err == nil && *got != *want.Chunks {
			err = canon.Fail("input", "%s: the input file is not the signed one (%d bytes, root %s; signed %d, %s)",
				o.label(), got.Length, got.TreeRoot.Short(), want.Chunks.Length, want.Chunks.TreeRoot.Short())
		}
	default:
		err = canon.Fail("input", "%s: its input rule takes no file", o.label())
	}
	return err
}

// CheckInput reads the input file of an order by lines or chunks, checks that
// it is the signed one, and returns where each task's input lies.
func (o *Order) CheckInput(file io.Reader) (spans []Span, err error) {
	err = o.ScanInput(file, func(_ uint64, at Span, _ []byte) error {
		spans = append(spans, at)
		return nil
	})
	return spans, err
}

// tree computes an RFC 6962 tree hash keeping only the complete subtrees'
// roots, one per level, so that it takes the same memory for any file.
type tree struct {
	n     uint64
	roots []tlog.Hash // of complete subtrees, largest first: one per bit of n
}

func (t *tree) leaves() uint64 { return t.n }

func (t *tree) add(leaf []byte) {
	h := tlog.RecordHash(leaf)
	for n := t.n; n&1 == 1; n >>= 1 {
		h = tlog.NodeHash(t.roots[len(t.roots)-1], h)
		t.roots = t.roots[:len(t.roots)-1]
	}
	t.roots = append(t.roots, h)
	t.n++
}

func (t *tree) root() canon.Digest {
	h := t.roots[len(t.roots)-1]
	for i := len(t.roots) - 2; i >= 0; i-- {
		h = tlog.NodeHash(t.roots[i], h)
	}
	return canon.Digest(h)
}
