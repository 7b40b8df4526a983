package sandbox

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/countersign/countersign/internal/canon"
)

var update = flag.Bool("update", false, "write testdata/vectors/segments again")

const segmentImports = `
  (import "countersign" "restore" (func $restore (param i32 i32) (result i32)))
  (import "countersign" "checkpoint" (func $checkpoint (param i32 i32)))
  (import "countersign" "segment_due" (func $due (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))`

// counting is a module that counts to some number, mixes everything that the
// host gives into a hash, writes now and then, and checkpoints when it is due.
// Its state is the number and the hash, and some bytes of what else is there.
func counting(rnd *rand.Rand) string {
	until := 5000 + rnd.IntN(60_000)
	ends := []string{`(return)`, `(unreachable)`, `(call $exit (i32.wrap_i64 (local.get $h)))`, `(call $exit (i32.const 0))`,
		`(loop $ever (br $ever))`, `(call $checkpoint (i32.const 65000) (i32.const 65000))`, `(drop (i64.div_u (local.get $h) (i64.const 0)))`}
	mix := []string{
		`(i64.mul (i64.xor (local.get $h) (local.get $i)) (i64.const 6364136223846793005))`,
		`(i64.add (i64.rotl (local.get $h) (i64.const 7)) (local.get $i))`,
		`(i64.xor (local.get $h) (i64.load (i32.and (i32.wrap_i64 (local.get $h)) (i32.const 65528))))`,
		`(i64.reinterpret_f64 (f64.div (f64.convert_i64_s (local.get $h)) (f64.convert_i64_u (local.get $i))))`,
	}
	return fmt.Sprintf(`(module %s
  (memory (export "memory") 1)
  (global $lost (mut i64) (i64.const 1))
  (data (i32.const 0) "\40\04\00\00\08\00\00\00") (data (i32.const 16) "\00\08\00\00\20\00\00\00")
  (func (export "_start") (local $i i64) (local $h i64)
    (drop (call $restore (i32.const 1088) (i32.const 16)))
    (local.set $i (i64.load (i32.const 1088)))
    (local.set $h (i64.load (i32.const 1096)))
    (drop (call $read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 32)))
    (local.set $h (i64.add (local.get $h) (i64.load (i32.const 2048))))
    (drop (call $random (i32.const 40) (i32.const 8)))
    (local.set $h (i64.xor (local.get $h) (i64.load (i32.const 40))))
    (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 48)))
    (local.set $h (i64.add (local.get $h) (i64.load (i32.const 48))))
    (loop $l
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (local.set $h %s)
      (local.set $h (i64.mul (local.get $h) (global.get $lost)))
      (global.set $lost (i64.add (global.get $lost) (i64.const 2)))
      (i64.store (i32.const 1088) (local.get $i))
      (i64.store (i32.const 1096) (local.get $h))
      (if (i64.eqz (i64.rem_u (local.get $i) (i64.const %d))) (then
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))
        (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 32)))))
      (if (i64.ge_u (local.get $i) (i64.const %d)) (then %s (return)))
      (if (call $due) (then (call $checkpoint (i32.const 1088) (i32.const %d))))
      (br $l))))`, segmentImports, mix[rnd.IntN(len(mix))], 100+rnd.IntN(3000), until, ends[rnd.IntN(len(ends))], 16+rnd.IntN(3000))
}

// countingTask runs it in segments so short that a run has some.
func countingTask(t testing.TB, seed uint64) Task {
	rnd := rand.New(rand.NewPCG(seed, 4))
	tk := task(metered(t, counting(rnd)), 10_000_000+rnd.Uint64N(40_000_000))
	tk.Limits.SegmentFuel = 2_100_000 + rnd.Uint64N(500_000)
	tk.Limits.OutputBytes = 50 + rnd.Uint32N(2000)
	tk.Input = []byte("what the host gives to every segment anew")[rnd.IntN(30):]
	return tk
}

// cuts runs a task as a whole and returns where it stood between segments.
func cuts(t *testing.T, e *Engine, tk Task) (whole Outcome, at []*Checkpoint) {
	t.Helper()
	tk.Checkpoint = func(c *Checkpoint) { at = append(at, c) }
	whole = mustRun(t, e, tk)
	if !whole.End.Voted() || len(whole.Links) != len(at)+1 {
		t.Fatalf("%d checkpoints, %d links: %+v", len(at), len(whole.Links), whole)
	}
	return whole, at
}

// TestCutAnywhere cuts runs between any two segments and lets the other engine
// go on, in other slices: transcript, output and fuel are those of one go.
func TestCutAnywhere(t *testing.T) {
	compiler, interpreter := newEngine(t, nil), newEngine(t, &Options{Interpreter: true})
	ends, segments := map[End]int{}, 0
	for seed := range uint64(40) {
		tk := countingTask(t, seed)
		whole, at := cuts(t, compiler, tk)
		ends[whole.End]++
		segments += len(whole.Links)
		whole.Log = nil // it is the run's, not the task's
		for i, c := range at {
			rest := tk
			rest.From, rest.Pace = c, fixed(1+seed*977)
			got := mustRun(t, []*Engine{interpreter, compiler}[i%2], rest)
			got.Log = nil
			if !reflect.DeepEqual(got, whole) {
				t.Fatalf("seed %d, from segment %d:\n%+v, want\n%+v", seed, i+1, got, whole)
			}
		}
	}
	for _, end := range []End{Exit, Trap, Fuel, Output, State} {
		if ends[end] == 0 {
			t.Errorf("no run ended in %s: %v", end, ends)
		}
	}
	if segments < 200 {
		t.Errorf("%d segments: too few to mean anything", segments)
	}
}

// TestTranscriptTells changes one thing about a run at a time.
func TestTranscriptTells(t *testing.T) {
	e := newEngine(t, nil)
	base := link{end: Exit, code: 1, fuel: 2, output: []byte("o"), state: []byte("s")}
	seen := map[canon.Digest]string{}
	for name, change := range map[string]func(*link){
		"nothing": func(*link) {}, "end": func(l *link) { l.end = Trap }, "code": func(l *link) { l.code++ }, "fuel": func(l *link) { l.fuel++ },
		"output": func(l *link) { l.output = []byte("p") }, "state": func(l *link) { l.state = nil },
	} {
		l := base
		change(&l)
		for _, before := range [][]canon.Digest{nil, {{1}}, {{}, {2}}} {
			d := l.follow(before)
			if other, twice := seen[d]; twice {
				t.Errorf("%s after %d: the link of %s", name, len(before), other)
			}
			seen[d] = name
		}
	}
	tk := countingTask(t, 0)
	whole, at := cuts(t, e, tk)
	for seed := uint64(1); len(at) < 4; seed++ {
		tk = countingTask(t, seed)
		whole, at = cuts(t, e, tk)
	}
	wrong := *at[1]
	wrong.State = append([]byte{wrong.State[0] ^ 1}, wrong.State[1:]...)
	tk.From = &wrong
	if got := mustRun(t, e, tk); got.Transcript() == whole.Transcript() || !reflect.DeepEqual(got.Links[:2], whole.Links[:2]) {
		t.Error("going on from another state gives the same transcript")
	}
}

// TestSegmentEnds has the ends that only segments have.
func TestSegmentEnds(t *testing.T) {
	e := newEngine(t, nil)
	flood := command(segmentImports, "", `(call $checkpoint (i32.const 0) (i32.const 0))`)
	for name, c := range map[string]struct {
		wat           string
		fuel, segment uint64
		pages         uint32
		end           End
		segments      int
		used          uint64
	}{
		"a segment over its fuel": {command(segmentImports, "", `(if (i32.eqz (call $restore (i32.const 0) (i32.const 4))) (then (call $checkpoint (i32.const 0) (i32.const 4)))) (loop $l (br $l))`),
			1 << 40, 2_000_000, 0, Fuel, 2, 0},
		"the task's fuel in a segment": {command(segmentImports, "", `(if (i32.eqz (call $restore (i32.const 0) (i32.const 4))) (then (call $checkpoint (i32.const 0) (i32.const 4)))) (loop $l (br $l))`),
			2_500_000, 2_000_000, 0, Fuel, 2, 2_500_000},
		"a checkpoint that cannot be paid":  {flood, 1 << 40, 999_999, 0, Fuel, 1, 999_999},
		"a checkpoint flood out of fuel":    {flood, 100_000_000, 2_000_000, 0, Fuel, 100, 100_000_000},
		"a checkpoint flood of 16,384":      {flood, 1 << 50, 2_000_000, 0, State, maxSegments, 0},
		"a state over the cap":              {bigState(maxState + 1), 1 << 40, 0, 18, State, 1, 0},
		"a state at the cap":                {bigState(maxState), 1 << 40, 0, 18, Exit, 2, 0},
		"a state that is not in the memory": {command(segmentImports, "", `(call $checkpoint (i32.const 65530) (i32.const 7))`), 1 << 40, 0, 0, State, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			pages := max(c.pages, testPages)
			tk := task(meteredPages(t, c.wat, pages), c.fuel)
			tk.Limits.SegmentFuel, tk.Limits.MemoryPages = c.segment, pages
			o := mustRun(t, e, tk)
			if o.End != c.end || len(o.Links) != c.segments || c.used > 0 && o.Fuel != c.used {
				t.Errorf("%s, %d segments, %d fuel: %s", o.End, len(o.Links), o.Fuel, o.Detail)
			}
			t.Log(o.Detail)
		})
	}
}

// bigState checkpoints n bytes once.
func bigState(n int) string {
	return fmt.Sprintf(`(module %s (memory (export "memory") 17) (func (export "_start")
		(if (i32.eqz (call $restore (i32.const 0) (i32.const -1))) (then (call $checkpoint (i32.const 0) (i32.const %d))))))`, segmentImports, n)
}

// TestBadCheckpoints refuses what no run can have come to.
func TestBadCheckpoints(t *testing.T) {
	e := newEngine(t, nil)
	for name, c := range map[string]Checkpoint{
		"no segment":        {},
		"too many segments": {Links: make([]canon.Digest, maxSegments)},
		"too much fuel":     {Links: make([]canon.Digest, 1), Fuel: 1 << 60},
		"too long a state":  {Links: make([]canon.Digest, 1), State: make([]byte, maxState+1)},
		"too long output":   {Links: make([]canon.Digest, 1), Output: make([]byte, 1<<16)},
	} {
		tk := countingTask(t, 1)
		tk.From = &c
		if _, err := e.Run(context.Background(), tk); err == nil {
			t.Errorf("%s: it runs", name)
		}
	}
}

// segmentVector is a whole run; testdata/vectors/segments/README.md says what is what.
type segmentVector struct {
	Name        string   `json:"name"`
	Module      []byte   `json:"module"`
	Input       []byte   `json:"input"`
	Seed        string   `json:"seed"`
	Fuel        uint64   `json:"task_fuel"`
	SegmentFuel uint64   `json:"segment_fuel"`
	Pages       uint32   `json:"memory_pages"`
	OutputBytes uint32   `json:"output_bytes"`
	End         End      `json:"end"`
	Code        uint32   `json:"code"`
	Used        uint64   `json:"fuel"`
	Output      []byte   `json:"output"`
	Links       []string `json:"links"`
	Checkpoints []cut    `json:"checkpoints"`
}

type cut struct {
	Fuel   uint64 `json:"fuel"`
	Output int    `json:"output"`
	State  []byte `json:"state"`
}

const segmentVectors = "../../testdata/vectors/segments"

func TestSegmentVectors(t *testing.T) {
	if *update {
		writeSegmentVectors(t)
	}
	index, err := os.ReadFile(filepath.Join(segmentVectors, "INDEX"))
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(segmentVectors, "*.json"))
	if got := fmt.Sprintf("%d\n", len(files)); got != string(index) {
		t.Fatalf("INDEX says %q, there are %q", index, got)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var v segmentVector
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&v); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		t.Run(v.Name, func(t *testing.T) { engines(t, Options{}, v.run) })
	}
}

func (v *segmentVector) run(t *testing.T, e *Engine) {
	tk := Task{Module: v.Module, Input: v.Input, Limits: Limits{Fuel: v.Fuel, SegmentFuel: v.SegmentFuel, MemoryPages: v.Pages, OutputBytes: v.OutputBytes}}
	if n, err := hex.Decode(tk.Seed[:], []byte(v.Seed)); n != 32 || err != nil {
		t.Fatal("bad seed")
	}
	whole, at := cuts(t, e, tk)
	if got := v.of(whole, at); !reflect.DeepEqual(got, v) {
		t.Errorf("%+v, want %+v", got, v)
	}
	for i, c := range at {
		tk.From = c
		if rest := mustRun(t, e, tk); !reflect.DeepEqual(v.of(rest, at), v) {
			t.Errorf("from segment %d: %+v", i+1, rest)
		}
	}
}

// of is the vector with what a run came to.
func (v *segmentVector) of(o Outcome, at []*Checkpoint) *segmentVector {
	w := *v
	w.End, w.Code, w.Used, w.Output = o.End, o.Code, o.Fuel, append([]byte{}, o.Output...)
	w.Links, w.Checkpoints = []string{}, []cut{}
	for _, l := range o.Links {
		w.Links = append(w.Links, l.String())
	}
	for _, c := range at {
		w.Checkpoints = append(w.Checkpoints, cut{c.Fuel, len(c.Output), append([]byte{}, c.State...)})
	}
	return &w
}

func writeSegmentVectors(t *testing.T) {
	e := newEngine(t, nil)
	want := map[End]int{Exit: 5, Trap: 2, Fuel: 2, Output: 2, State: 1}
	n := 0
	for seed := uint64(100); len(want) > 0; seed++ {
		tk := countingTask(t, seed)
		whole, at := cuts(t, e, tk)
		if want[whole.End] == 0 || len(at) < 2 || len(at) > 12 {
			continue
		}
		if want[whole.End]--; want[whole.End] == 0 {
			delete(want, whole.End)
		}
		n++
		v := segmentVector{Name: fmt.Sprintf("%s-%d", whole.End, seed), Module: tk.Module, Input: tk.Input, Seed: hex.EncodeToString(tk.Seed[:]),
			Fuel: tk.Limits.Fuel, SegmentFuel: tk.Limits.SegmentFuel, Pages: tk.Limits.MemoryPages, OutputBytes: tk.Limits.OutputBytes}
		data, err := json.MarshalIndent(v.of(whole, at), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(segmentVectors, v.Name+".json"), append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(segmentVectors, "INDEX"), fmt.Appendf(nil, "%d\n", n), 0o644); err != nil {
		t.Fatal(err)
	}
}
