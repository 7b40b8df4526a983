package volunteer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/release"
)

// trial is a scene whose order is done, with true results.
type trial struct {
	*scene
	opt   ReverifyOptions
	input string
	lines []wire.ResultLine
}

func newTrial(t *testing.T, numbers, perTask int) *trial {
	s := newScene(t)
	tr := &trial{scene: s}
	for n := range numbers {
		tr.input += fmt.Sprintln(1000 + n)
	}
	var inputs [][]byte
	rule, err := release.Split(strings.NewReader(tr.input), int64(perTask), func(_ uint64, _ release.Span, input []byte) error {
		inputs = append(inputs, bytes.Clone(input))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.order.Input = release.Input{Lines: rule}
	s.publishAll(t)
	tr.answer(t, inputs)
	tr.opt = ReverifyOptions{Hub: s.URL, Trust: s.opt.Trust, Engine: s.opt.Engine, Order: s.orderID, Now: s.opt.Now, Parallel: 2}
	return tr
}

// answer makes the results true for these inputs.
func (tr *trial) answer(t *testing.T, inputs [][]byte) {
	t.Helper()
	tr.lines = nil
	for task, input := range inputs {
		module := tr.files["/m/"+tr.rel.ModuleSHA256.String()]
		o, err := tr.scene.opt.Engine.Run(t.Context(), sandbox.Task{Module: module, Input: input, Seed: sandbox.Seed(tr.orderID, uint64(task)), Limits: limitsOf(&tr.rel)})
		if err != nil || o.End != sandbox.Exit {
			t.Fatalf("%+v, %v", o, err)
		}
		tr.lines = append(tr.lines, wire.ResultLine{Task: uint64(task), End: wire.End(o.End), Code: o.Code, Fuel: o.Fuel, Output: o.Output,
			Segments: uint32(len(o.Links)), Transcript: o.Transcript(), Agree: 2})
	}
}

// run serves the results as they are now, and verifies them.
func (tr *trial) run(t *testing.T) (*Reverification, error) {
	t.Helper()
	var body bytes.Buffer
	for _, l := range tr.lines {
		data, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		body.Write(append(data, '\n'))
	}
	base := "/v1/orders/" + tr.opt.Order.String()
	tr.serve(base+"/results", body.Bytes())
	if tr.files[base+"/input"] == nil {
		tr.serve(base+"/input", []byte(tr.input))
	}
	return Reverify(t.Context(), tr.opt)
}

func (tr *trial) inputFile(t *testing.T, content string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestReverify(t *testing.T) {
	for name, own := range map[string]bool{"own input": true, "the hub's input": false} {
		t.Run(name, func(t *testing.T) {
			tr := newTrial(t, 7, 2)
			if own {
				tr.opt.Input = tr.inputFile(t, tr.input)
			}
			var calls int
			tr.opt.Progress = func(run, results uint64) {
				calls++
				if run > results || results > 4 {
					t.Errorf("progress: %d of %d", run, results)
				}
			}
			r, err := tr.run(t)
			if err != nil || !r.True() || r.Rerun != 4 || r.Equal != 4 || r.Tasks != 4 || r.Results != 4 || len(r.Different) != 0 || calls != 8 {
				t.Errorf("%+v, %v, %d reports", r, err, calls)
			}
			if fetched := strings.Contains(tr.fetched(), "/input"); fetched == own {
				t.Errorf("fetched %s", tr.fetched())
			}
		})
	}
}

// TestReverifyRange has inputs that payloads/factor refuses: a result like any
// other.
func TestReverifyRange(t *testing.T) {
	tr := newTrial(t, 2, 1)
	tr.order.Input = release.Input{Range: &release.Range{From: 10, To: 25, Step: 10}}
	tr.publishAll(t)
	tr.opt.Order = tr.orderID
	tr.answer(t, [][]byte{[]byte("10 20\n"), []byte("20 25\n")})
	if r, err := tr.run(t); err != nil || !r.True() || r.Rerun != 2 || tr.lines[0].Code == 0 {
		t.Errorf("%+v, %v", r, err)
	}
	tr.opt.Input = tr.inputFile(t, "10 20\n")
	if r, err := tr.run(t); err == nil || !strings.Contains(err.Error(), "none from a file") {
		t.Errorf("with a file: %+v, %v", r, err)
	}
}

func TestReverifyDifferences(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*wire.ResultLine)
		what  string
	}{
		"end":    {func(l *wire.ResultLine) { l.End = wire.EndTrap }, "accepted: trap with code 0; here: exit with code 0"},
		"unfit":  {func(l *wire.ResultLine) { l.End = "ended" }, "accepted: ended with code 0"},
		"code":   {func(l *wire.ResultLine) { l.Code = 9 }, "accepted: exit with code 9"},
		"links":  {func(l *wire.ResultLine) { l.Transcript[3]++ }, "accepted: transcript "},
		"chain":  {func(l *wire.ResultLine) { l.Segments++ }, " of 2 segments; here: "},
		"fuel":   {func(l *wire.ResultLine) { l.Fuel++ }, " fuel; here: "},
		"output": {func(l *wire.ResultLine) { l.Output[2] ^= 1 }, "accepted: output of "},
		"more":   {func(l *wire.ResultLine) { l.Output = append(l.Output, '\n') }, "accepted: output of "},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTrial(t, 5, 1)
			c.spoil(&tr.lines[3])
			r, err := tr.run(t)
			if err != nil || r.True() || r.Rerun != 5 || r.Equal != 4 || len(r.Different) != 1 || r.Different[0].Task != 3 || !strings.Contains(r.Different[0].What, c.what) {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

func TestReverifyPart(t *testing.T) {
	tr := newTrial(t, 6, 1)
	tr.lines[1] = wire.ResultLine{Task: 1, End: wire.Undecided, Agree: 1}
	tr.lines = append(tr.lines[:4], tr.lines[5])
	if r, err := tr.run(t); err != nil || !r.True() || r.Rerun != 4 || r.Results != 4 || r.Undecided != 1 || r.Tasks != 6 {
		t.Errorf("%+v, %v", r, err)
	}
	tr.lines = nil
	if r, err := tr.run(t); err != nil || r.True() || r.Rerun != 0 {
		t.Errorf("without results: %+v, %v", r, err)
	}
}

func TestReverifySample(t *testing.T) {
	tr := newTrial(t, 200, 1)
	for sample, least := range map[int]uint64{1: 1, 50: 40, 100: 200} {
		tr.opt.Sample = sample
		r, err := tr.run(t)
		if err != nil || !r.True() || r.Rerun < least || r.Results != 200 || sample < 100 && r.Rerun > 160 {
			t.Errorf("%d%%: %+v, %v", sample, r, err)
		}
	}
	tr.lines = tr.lines[:1] // one of a hundred would mostly be none
	tr.opt.Sample = 1
	for range 5 {
		if r, err := tr.run(t); err != nil || r.Rerun != 1 {
			t.Errorf("%+v, %v", r, err)
		}
	}
	tr.opt.Sample = 101
	if _, err := tr.run(t); err == nil {
		t.Error("a sample of 101 percent is taken")
	}
}

func TestReverifyRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		class string
		spoil func(t *testing.T, tr *trial)
	}{
		"unknown key": {"signature_unknown_key", func(t *testing.T, tr *trial) { tr.opt.Trust.Keys = []keys.PublicKey{testKey(t, 9).Public()} }},
		"altered order": {"signature_invalid", func(_ *testing.T, tr *trial) {
			tr.opt.Order = tr.rename(tr.orderID, "Numbers", "Numbert")
		}},
		"altered module": {"module_sha256", func(_ *testing.T, tr *trial) {
			path := "/m/" + tr.rel.ModuleSHA256.String()
			m := bytes.Clone(tr.files[path])
			m[len(m)-1] ^= 1
			tr.serve(path, m)
		}},
		"the hub's input": {"input", func(_ *testing.T, tr *trial) {
			tr.serve("/v1/orders/"+tr.orderID.String()+"/input", []byte(strings.Replace(tr.input, "1001", "1011", 1)))
		}},
		"longer input": {"input", func(_ *testing.T, tr *trial) {
			tr.serve("/v1/orders/"+tr.orderID.String()+"/input", []byte(tr.input+"7\n"))
		}},
		"own input":     {"input", func(t *testing.T, tr *trial) { tr.opt.Input = tr.inputFile(t, tr.input+"7\n") }},
		"expired":       {"expiry", func(_ *testing.T, tr *trial) { tr.now = tr.order.Expires.Time().Add(time.Hour) }},
		"task order":    {"", func(_ *testing.T, tr *trial) { tr.lines[0], tr.lines[1] = tr.lines[1], tr.lines[0] }},
		"task twice":    {"", func(_ *testing.T, tr *trial) { tr.lines[1] = tr.lines[0] }},
		"task number":   {"", func(_ *testing.T, tr *trial) { tr.lines[2].Task = 3 }},
		"no such hub":   {"", func(_ *testing.T, tr *trial) { tr.opt.Hub = "127.0.0.1" }},
		"unknown order": {"", func(_ *testing.T, tr *trial) { tr.opt.Order = canon.Sum(nil) }},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTrial(t, 3, 1)
			c.spoil(t, tr)
			if r, err := tr.run(t); err == nil || canon.ClassOf(err) != c.class {
				t.Errorf("%+v, %v of class %q, want %q", r, err, canon.ClassOf(err), c.class)
			}
		})
	}
}

func TestReverifyExpired(t *testing.T) {
	tr := newTrial(t, 3, 1)
	tr.now = tr.rel.Expires.Time().Add(100 * 24 * time.Hour)
	tr.opt.Expired = true
	if r, err := tr.run(t); err != nil || !r.True() {
		t.Errorf("%+v, %v", r, err)
	}
	tr.opt.Order = tr.rename(tr.orderID, "Numbers", "Numbert")
	if r, err := tr.run(t); canon.ClassOf(err) != "signature_invalid" {
		t.Errorf("altered: %+v, %v", r, err)
	}
}

func TestReverifyIsInterrupted(t *testing.T) {
	tr := newTrial(t, 50, 1)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := tr.run(t); err != nil { // serves the results
		t.Fatal(err)
	}
	tr.opt.Progress = func(run, _ uint64) {
		if run == 3 {
			cancel()
		}
	}
	if r, err := Reverify(ctx, tr.opt); !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", r, err)
	}
}
