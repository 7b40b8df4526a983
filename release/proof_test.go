package release

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/canon"
)

// linesOrder is an order over a file of n short lines, and its inputs.
func linesOrder(t testing.TB, n, perTask int) (*Order, [][]byte) {
	t.Helper()
	var file strings.Builder
	for i := range n {
		fmt.Fprintf(&file, "line %d\n", i*i)
	}
	var inputs [][]byte
	rule, err := Split(strings.NewReader(file.String()), int64(perTask), func(_ uint64, _ Span, input []byte) error {
		inputs = append(inputs, bytes.Clone(input))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return &Order{Title: "a test", Input: Input{Lines: rule}}, inputs
}

// chunksOrder is an order over a file of length bytes, and its inputs.
func chunksOrder(t testing.TB, length, size int) (*Order, [][]byte) {
	t.Helper()
	file := make([]byte, length)
	for i := range file {
		file[i] = byte(i * i >> 3)
	}
	var inputs [][]byte
	rule, err := SplitChunks(bytes.NewReader(file), int64(size), func(task uint64, at Span, input []byte) error {
		if at.Offset != int64(task)*int64(size) || at.Length != len(input) {
			t.Fatalf("task %d at %+v has %d bytes", task, at, len(input))
		}
		inputs = append(inputs, bytes.Clone(input))
		return nil
	})
	if err != nil || rule.Length != int64(length) || !bytes.Equal(slices.Concat(inputs...), file) {
		t.Fatalf("%+v, %v", rule, err)
	}
	return &Order{Title: "a test", Input: Input{Chunks: rule}}, inputs
}

// TestApart: what is too long for a lease is known from the order alone.
func TestApart(t *testing.T) {
	in := Input{Chunks: &Chunks{Length: 2*MaxChunk + 10, Size: MaxChunk}}
	for task, want := range []int{MaxChunk, MaxChunk, 10} {
		if n, is := in.Apart(uint64(task)); n != want || is != (want > MaxTaskInput) {
			t.Errorf("task %d: %d, %v", task, n, is)
		}
	}
	if n, is := in.Apart(3); n != 0 || is {
		t.Errorf("a task that is none: %d", n)
	}
	if _, is := (&Input{Chunks: &Chunks{Length: MaxChunk, Size: MaxTaskInput}}).Apart(0); is {
		t.Error("a chunk that a lease can carry")
	}
}

func TestSplitChunksRefuses(t *testing.T) {
	none := func(uint64, Span, []byte) error { return nil }
	if _, err := SplitChunks(strings.NewReader(""), 1, none); canon.ClassOf(err) != "input" {
		t.Errorf("an empty file: %v", err)
	}
	for _, size := range []int64{0, MaxChunk + 1} {
		if _, err := SplitChunks(strings.NewReader("x"), size, none); canon.ClassOf(err) != "bounds" {
			t.Errorf("chunks of %d: %v", size, err)
		}
	}
	o, inputs := chunksOrder(t, 1000, 100)
	file := slices.Concat(inputs...)
	if spans, err := o.CheckInput(bytes.NewReader(file)); err != nil || len(spans) != 10 || spans[9] != (Span{900, 100}) {
		t.Errorf("%v, %v", spans, err)
	}
	altered := bytes.Clone(file)
	altered[500] ^= 1
	for name, other := range map[string][]byte{"short": file[:999], "long": append(bytes.Clone(file), 1), "altered": altered} {
		if _, err := o.CheckInput(bytes.NewReader(other)); canon.ClassOf(err) != "input" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// prover is the order's, keeping no level below the given one.
func prover(o *Order, inputs [][]byte, level int) *Prover {
	p := NewProver(o.Tasks())
	p.level, p.part = level, make([]tlog.Hash, level)
	for _, in := range inputs {
		p.Add(in)
	}
	return p
}

func (p *Prover) of(t testing.TB, task uint64, inputs [][]byte) []byte {
	t.Helper()
	last := (uint64(p.tasks) - 1) / p.Block()
	proof, err := p.Prove(task, func(from, to uint64, each func([]byte)) error {
		for i := from; i < to; i++ {
			if b := i / p.Block(); b != task/p.Block() && b != last {
				t.Errorf("proving task %d reads task %d, blocks of %d", task, i, p.Block())
			}
			each(inputs[i])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

func TestProofs(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 100} {
		o, inputs := linesOrder(t, n, 1)
		for level := range 4 {
			p := prover(o, inputs, level)
			for task := range uint64(n) {
				proof := p.of(t, task, inputs)
				if err := o.CheckTaskInput(task, inputs[task], proof); err != nil {
					t.Fatalf("%d tasks, level %d: %v", n, level, err)
				}
				for i := 0; i < len(proof); i += 9 {
					wrong := bytes.Clone(proof)
					wrong[i] ^= 1
					if o.CheckTaskInput(task, inputs[task], wrong) == nil {
						t.Fatalf("%d tasks: task %d with byte %d changed", n, task, i)
					}
				}
				for other := range uint64(n) {
					if other != task && o.CheckTaskInput(other, inputs[task], proof) == nil {
						t.Fatalf("%d tasks: the input of task %d passes for that of %d", n, task, other)
					}
					if other != task && o.CheckTaskInput(task, inputs[other], proof) == nil {
						t.Fatalf("%d tasks: task %d with the input of %d", n, task, other)
					}
				}
			}
		}
	}
}

func TestProverIsBounded(t *testing.T) {
	for _, tasks := range []uint64{1, maxBlocks, maxBlocks + 1, 1 << 20, 1 << 30, maxTasks} {
		p := NewProver(tasks)
		if blocks := (tasks + p.Block() - 1) / p.Block(); blocks > maxBlocks || p.Block() > 1 && blocks <= maxBlocks/2 {
			t.Errorf("%d tasks: %d blocks of %d", tasks, blocks, p.Block())
		}
	}
}

// inputVector is one file of testdata/vectors/input; its README says what is what.
type inputVector struct {
	Name  string `json:"name"`
	About string `json:"about"`
	Input Input  `json:"rule"`
	Task  uint64 `json:"task"`
	Given []byte `json:"input"`
	Proof []byte `json:"proof"`
	Good  bool   `json:"good"`
}

const inputVectors = "../testdata/vectors/input"

func TestInputVectors(t *testing.T) {
	if *update {
		writeInputVectors(t)
	}
	index, err := os.ReadFile(filepath.Join(inputVectors, "INDEX"))
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(inputVectors, "*.json"))
	if got := fmt.Sprintf("%d\n", len(files)); got != string(index) {
		t.Fatalf("INDEX says %q, there are %q", index, got)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var v inputVector
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&v); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		t.Run(v.Name, func(t *testing.T) {
			o := &Order{Title: "a vector", Input: v.Input}
			if err := o.CheckTaskInput(v.Task, v.Given, v.Proof); (err == nil) != v.Good {
				t.Errorf("%s: %v", v.About, err)
			} else if err != nil && canon.ClassOf(err) != "input" {
				t.Errorf("class %s", canon.ClassOf(err))
			}
		})
	}
}

func writeInputVectors(t *testing.T) {
	if err := os.MkdirAll(inputVectors, 0o755); err != nil {
		t.Fatal(err)
	}
	n := 0
	write := func(name, about string, in Input, task uint64, given, proof []byte, good bool) {
		v := inputVector{name, about, in, task, append([]byte{}, given...), append([]byte{}, proof...), good}
		data, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(inputVectors, name+".json"), append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
		n++
	}
	rule := Input{Range: &Range{From: 10, To: 35, Step: 10}}
	write("range-first", "a range", rule, 0, []byte("10 20\n"), nil, true)
	write("range-last", "its last part is shorter", rule, 2, []byte("30 35\n"), nil, true)
	write("range-swapped", "the input of another task", rule, 1, []byte("10 20\n"), nil, false)
	write("range-long", "the last part, as long as the others", rule, 2, []byte("30 40\n"), nil, false)
	write("range-spaces", "other bytes for the same numbers", rule, 0, []byte("10  20\n"), nil, false)
	write("range-proof", "a proof where none belongs", rule, 0, []byte("10 20\n"), make([]byte, 32), false)
	write("range-beyond", "a task that the order has not", rule, 3, []byte("40 50\n"), nil, false)
	write("range-large", "the largest numbers", Input{Range: &Range{From: canon.MaxInteger - 3, To: canon.MaxInteger, Step: canon.MaxInteger}}, 0,
		[]byte("9007199254740988 9007199254740991\n"), nil, true)

	rule = Input{List: []string{"12", "", `"a\b"`}}
	write("list-first", "a text of the list", rule, 0, []byte("12\n"), nil, true)
	write("list-empty", "an empty text", rule, 1, []byte("\n"), nil, true)
	write("list-last", "a text with quotes", rule, 2, []byte(`"a\b"`+"\n"), nil, true)
	write("list-swapped", "the text of another task", rule, 1, []byte("12\n"), nil, false)
	write("list-bare", "without the newline", rule, 0, []byte("12"), nil, false)
	write("list-proof", "a proof where none belongs", rule, 0, []byte("12\n"), make([]byte, 32), false)
	write("list-beyond", "a task that the order has not", rule, 3, []byte("\n"), nil, false)

	rule = Input{Outputs: &Outputs{Tasks: 10, PerTask: 4}}
	write("outputs-last", "outputs of another order: the hub's word", rule, 2, []byte("any bytes\n"), nil, true)
	write("outputs-none", "no task before has an output", rule, 0, nil, nil, true)
	write("outputs-longest", "as long as an input may be", rule, 0, make([]byte, MaxTaskInput), nil, true)
	write("outputs-long", "a byte longer", rule, 0, make([]byte, MaxTaskInput+1), nil, false)
	write("outputs-proof", "a proof where none can be", rule, 0, []byte("x"), make([]byte, 32), false)
	write("outputs-beyond", "a task that the order has not", rule, 3, []byte("x"), nil, false)

	for _, size := range []int{1, 2, 5, 8, 13} {
		o, inputs := linesOrder(t, size, 1)
		p := prover(o, inputs, 0)
		for _, task := range slices.Compact([]uint64{0, uint64(size) / 2, uint64(size) - 1}) {
			name := fmt.Sprintf("lines-%d-%d", size, task)
			write(name, "a line with its proof", o.Input, task, inputs[task], p.of(t, task, inputs), true)
		}
	}
	o, inputs := linesOrder(t, 21, 3)
	p := prover(o, inputs, 0)
	good := p.of(t, 2, inputs)
	write("lines-three", "three lines a task", o.Input, 2, inputs[2], good, true)
	write("lines-short", "the file's last task may have fewer", o.Input, 6, inputs[6], p.of(t, 6, inputs), true)
	write("lines-invented", "an input that is not in the file", o.Input, 2, []byte("line 7\n"), good, false)
	write("lines-swapped", "another task's input, with its proof", o.Input, 3, inputs[2], good, false)
	write("lines-cut", "a part of the input", o.Input, 2, inputs[2][:len(inputs[2])-1], good, false)
	write("lines-proof-short", "a hash is missing", o.Input, 2, inputs[2], good[:len(good)-32], false)
	write("lines-proof-part", "a part of a hash is missing", o.Input, 2, inputs[2], good[:len(good)-1], false)
	write("lines-proof-long", "a hash too many", o.Input, 2, inputs[2], append(bytes.Clone(good), make([]byte, 32)...), false)
	write("lines-proof-none", "no proof", o.Input, 2, inputs[2], nil, false)
	write("lines-proof-reversed", "the hashes from the top down", o.Input, 2, inputs[2], slices.Concat(good[64:], good[32:64], good[:32]), false)
	write("lines-beyond", "a task that the order has not", o.Input, 7, inputs[6], p.of(t, 6, inputs), false)
	c, pieces := chunksOrder(t, 7*100+3, 100)
	cp := prover(c, pieces, 0)
	cut := cp.of(t, 2, pieces)
	write("chunks-first", "a chunk of bytes of any kind", c.Input, 0, pieces[0], cp.of(t, 0, pieces), true)
	write("chunks-inside", "a chunk inside", c.Input, 2, pieces[2], cut, true)
	write("chunks-last", "the last, which is shorter", c.Input, 7, pieces[7], cp.of(t, 7, pieces), true)
	write("chunks-swapped", "another task's chunk", c.Input, 3, pieces[2], cut, false)
	write("chunks-short", "a byte less", c.Input, 2, pieces[2][:99], cut, false)
	write("chunks-long", "a byte more", c.Input, 2, append(bytes.Clone(pieces[2]), 0), cut, false)
	write("chunks-altered", "a byte is another", c.Input, 2, append(bytes.Clone(pieces[2][:99]), pieces[2][99]^1), cut, false)
	write("chunks-proof-none", "no proof", c.Input, 2, pieces[2], nil, false)
	write("chunks-beyond", "a task that the order has not", c.Input, 8, nil, cut, false)
	whole, one := chunksOrder(t, 100_000, 1<<20)
	write("chunks-whole", "one chunk, longer than a lease may carry", whole.Input, 0, one[0], nil, true)
	write("chunks-whole-cut", "a part of it", whole.Input, 0, one[0][:65536], nil, false)
	// The length is the rule's, whatever the tree says.
	wrong := *c.Input.Chunks
	wrong.Length++
	write("chunks-other-length", "the tree has it, but the length says otherwise", Input{Chunks: &wrong}, 7, pieces[7], cp.of(t, 7, pieces), false)

	// A node's hash is that of 1, left, right: nobody may take it for a leaf.
	two, twoInputs := linesOrder(t, 4, 1)
	q := prover(two, twoInputs, 0)
	left := append([]byte{}, q.kept[0][0][:]...)
	write("lines-node", "the inside of the tree given as an input", two.Input, 0, append(left, q.kept[0][1][:]...), q.of(t, 0, twoInputs)[32:], false)

	rnd := rand.New(rand.NewPCG(1, 9))
	for i := range 4 {
		wrong := bytes.Clone(good)
		wrong[rnd.IntN(len(wrong))] ^= 1 << rnd.IntN(8)
		write(fmt.Sprintf("lines-bit-%d", i), "one bit of the proof is another", o.Input, 2, inputs[2], wrong, false)
	}
	if err := os.WriteFile(filepath.Join(inputVectors, "INDEX"), fmt.Appendf(nil, "%d\n", n), 0o644); err != nil {
		t.Fatal(err)
	}
}
