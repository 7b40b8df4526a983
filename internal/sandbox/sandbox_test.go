package sandbox

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/meter"
)

// engines runs a test on both of wazero's engines.
func engines(t *testing.T, opt Options, test func(*testing.T, *Engine)) {
	for _, interpreter := range []bool{false, true} {
		opt.Interpreter = interpreter
		name := "compiler"
		if interpreter {
			name = "interpreter"
		}
		t.Run(name, func(t *testing.T) { test(t, newEngine(t, &opt)) })
	}
}

func newEngine(t testing.TB, opt *Options) *Engine {
	t.Helper()
	e, err := New(context.Background(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e
}

const testPages = 4

// assemble turns the text format into a module.
func assemble(t testing.TB, wat string) []byte {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "m.wat"), filepath.Join(dir, "m.wasm")
	if err := os.WriteFile(in, []byte(wat), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command("wat2wasm", in, "-o", out).CombinedOutput(); err != nil {
		t.Fatalf("wat2wasm (of wabt, which these tests need): %v\n%s", err, text)
	}
	code, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// metered returns the metered module of a source in the text format.
func metered(t testing.TB, wat string) []byte {
	t.Helper()
	return meteredPages(t, wat, testPages)
}

func meteredPages(t testing.TB, wat string, pages uint32) []byte {
	t.Helper()
	code, _, err := meter.Rewrite(assemble(t, wat), &meter.Options{MemoryPages: pages})
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// command is a module with a memory and the body of _start.
func command(imports, rest, start string) string {
	return "(module\n" + imports + "\n(memory (export \"memory\") 1)\n" + rest + "\n(func (export \"_start\")\n" + start + "\n))"
}

func task(code []byte, fuel uint64) Task {
	return Task{Module: code, Seed: [32]byte{7}, Limits: Limits{Fuel: fuel, MemoryPages: testPages, OutputBytes: 1000}}
}

func fixed(n uint64) Pace { return func(Slice) uint64 { return n } }

func mustRun(t testing.TB, e *Engine, task Task) Outcome {
	t.Helper()
	o, err := e.Run(context.Background(), task)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestFuelStopsEveryLoop(t *testing.T) {
	const table = `(type $t (func)) (table 2 funcref) (elem (i32.const 0) $a $b)`
	for name, wat := range map[string]string{
		"loop br":            command("", "", `(loop $l (br $l))`),
		"loop br_if":         command("", "", `(loop $l (br_if $l (i32.const 1)))`),
		"loop br_table":      command("", "", `(block $x (loop $l (br_table $x $l (i32.const 1))))`),
		"loop in a block":    command("", "", `(loop $l (block $b (br_if $b (i32.const 1)) (return)) (br $l))`),
		"loop within a loop": command("", "", `(loop $o (loop $i (br_if $i (i32.const 0))) (br $o))`),
		"outer from inner":   command("", "", `(loop $o (loop $i (br $o)))`),
		"if in a loop":       command("", "", `(loop $l (if (i32.const 1) (then (br $l)) (else (return))))`),
		"loop with a result": command("", "", `(drop (loop $l (result i32) (br $l)))`),
		"loop of calls":      command("", `(func $f)`, `(loop $l (call $f) (br $l))`),
		"loop of host calls": command(`(import "wasi_snapshot_preview1" "sched_yield" (func $y (result i32)))`, "", `(loop $l (drop (call $y)) (br $l))`),
		"recursion":          command("", `(func $f (call $f))`, `(call $f)`),
		"mutual recursion":   command("", `(func $f (call $g)) (func $g (call $f))`, `(call $g)`),
		"recursion of start": `(module (memory (export "memory") 1) (func $s (export "_start") (call $s)))`,
		"call_indirect":      command("", table+`(func $a (call_indirect (type $t) (i32.const 1))) (func $b (call_indirect (type $t) (i32.const 0)))`, `(call $a)`),
		"doubling calls":     command("", doubling(60), `(call $f60)`),
	} {
		t.Run(name, func(t *testing.T) {
			code := metered(t, wat)
			engines(t, Options{}, func(t *testing.T, e *Engine) {
				// Few enough that recursion ends before the interpreter's 2,000 frames.
				for _, fuel := range []uint64{1, 100, 3000} {
					tk := task(code, fuel)
					tk.Pace = fixed(50)
					tk.Deadline = time.Minute // so that a failure ends
					if o := mustRun(t, e, tk); o.End != Fuel || o.Fuel != fuel {
						t.Errorf("limit %d: %+v", fuel, o)
					}
				}
			})
		})
	}
}

// doubling is functions without loops that make 2^n calls.
func doubling(n int) string {
	var b strings.Builder
	b.WriteString("(func $f0)\n")
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "(func $f%d (call $f%d) (call $f%d))\n", i, i-1, i-1)
	}
	return b.String()
}

// busy reads, computes, moves memory, grows it, draws, asks the clock, writes
// to both outputs, and exits with a code that depends on all of that.
const busy = `(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "countersign" "progress" (func $progress (param i32 i32 i32)))
  (type $mix (func (param i64) (result i64)))
  (memory (export "memory") 1)
  (table 2 funcref) (elem (i32.const 0) $xor $mul)
  (data (i32.const 0) "\40\00\00\00\10\00\00\00")
  (data $passive "passive!")
  (func $xor (type $mix) (i64.xor (local.get 0) (i64.shr_u (local.get 0) (i64.const 7))))
  (func $mul (type $mix) (i64.mul (local.get 0) (i64.const 6364136223846793005)))
  (func (export "_start") (local $i i32) (local $h i64)
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
    (drop (call $random (i32.const 256) (i32.const 100)))
    (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 400)))
    (memory.init $passive (i32.const 512) (i32.const 0) (i32.const 8))
    (memory.fill (i32.const 600) (i32.const 65) (i32.const 80))
    (memory.copy (i32.const 700) (i32.const 64) (i32.const 500))
    (drop (memory.grow (i32.const 1)))
    (loop $l
      (local.set $h (i64.add (local.get $h) (i64.load8_u (local.get $i))))
      (local.set $h (call_indirect (type $mix) (local.get $h) (i32.and (local.get $i) (i32.const 1))))
      (if (i32.eqz (i32.rem_u (local.get $i) (i32.const 100))) (then
        (i64.store (i32.const 80) (i64.rem_u (local.get $h) (i64.const 1000003)))
        (i32.store (i32.const 0) (i32.const 80)) (i32.store (i32.const 4) (i32.const 8))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
        (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 16)))
        (call $progress (local.get $i) (i32.const 600) (i32.const 16))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (i32.const 1200))))
    (call $exit (i32.wrap_i64 (local.get $h)))))`

func busyTask(t *testing.T) Task {
	tk := task(metered(t, busy), 1<<40)
	tk.Input = []byte("0123456789abcdef and more")
	return tk
}

func TestSliceIndependence(t *testing.T) {
	tk := busyTask(t)
	want := mustRun(t, newEngine(t, nil), tk)
	if want.End != Exit || want.Code == 0 || len(want.Output) != 96 || len(want.Log) != 96 || want.Fuel < 10_000 {
		t.Fatalf("not the run that this test needs: %+v", want)
	}
	engines(t, Options{}, func(t *testing.T, e *Engine) {
		for _, n := range []uint64{1, 2, 3, 5, 17, 100, 1000, want.Fuel - 1, want.Fuel, want.Fuel + 1, 1 << 40} {
			tk.Pace = fixed(n)
			if got := mustRun(t, e, tk); !reflect.DeepEqual(got, want) {
				t.Errorf("slices of %d: %+v, want %+v", n, got, want)
			}
		}
	})
}

// TestEveryFuelLimit ends one run at every limit there is, and wants the same
// outcome whatever the engine and the slice.
func TestEveryFuelLimit(t *testing.T) {
	tk := task(metered(t, command(`(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))`,
		`(data (i32.const 0) "\08\00\00\00\01\00\00\00x") (func $f (param i32) (result i32) (if (result i32) (local.get 0) (then (i32.const 0)) (else (i32.div_u (i32.const 9) (i32.const 3)))))`,
		`(local $i i32)
		(loop $l
		  (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
		  (drop (call $f (local.get $i)))
		  (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3))))
		(if (i32.eqz (local.get $i)) (then (return)))
		(unreachable)`)), 1<<30)
	compiler, interpreter := newEngine(t, nil), newEngine(t, &Options{Interpreter: true})
	total := mustRun(t, compiler, tk)
	if total.End != Trap || string(total.Output) != "xxx" {
		t.Fatalf("%+v", total)
	}
	for limit := uint64(1); limit < total.Fuel+3; limit++ {
		tk.Limits.Fuel = limit
		tk.Pace = nil
		want := mustRun(t, compiler, tk)
		if limit >= total.Fuel && !reflect.DeepEqual(want, total) {
			t.Errorf("limit %d: %+v, want %+v", limit, want, total)
		}
		if limit < total.Fuel && (want.End != Fuel || want.Fuel != limit) {
			t.Errorf("limit %d of %d: %+v", limit, total.Fuel, want)
		}
		for _, n := range []uint64{1, 2, 7, 30} {
			tk.Pace = fixed(n)
			for _, e := range []*Engine{compiler, interpreter} {
				if got := mustRun(t, e, tk); !reflect.DeepEqual(got, want) {
					t.Errorf("limit %d, slices of %d: %+v, want %+v", limit, n, got, want)
				}
			}
		}
	}
}

// TestCountedLoops runs loops whose turns are counted ahead, in slices that are
// enough for all of them and in slices that never are: the fuel is the same, and
// what both give.
func TestCountedLoops(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	e := newEngine(t, nil)
	ends := map[End]int{}
	for range 300 {
		code := metered(t, command(`(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))`, "", countedLoop(rnd)))
		var first Outcome
		for i, slice := range []uint64{1 << 40, 1, 1000} {
			tk := task(code, 50_000)
			tk.Pace = fixed(slice)
			o := mustRun(t, e, tk)
			if i == 0 {
				first = o
				ends[o.End]++
			} else if o.End != first.End || o.Code != first.Code || o.Fuel != first.Fuel {
				t.Fatalf("slices of %d: %+v, in one %+v", slice, o, first)
			}
		}
	}
	if ends[Exit] < 100 || ends[Fuel] < 20 {
		t.Errorf("%v: too few to mean anything", ends)
	}
}

// countedLoop counts a local of 32 or 64 bits to a bound, which perhaps it never
// meets, and exits with what another local has come to.
func countedLoop(rnd *rand.Rand) string {
	typ := []string{"i32", "i64"}[rnd.IntN(2)]
	step := []int{1, 2, 4, 16, 1024, -1, -2, -8, 3}[rnd.IntN(9)]
	from := rnd.IntN(2000) - 1000
	until := from + step*(1+rnd.IntN(300)) + max(0, rnd.IntN(8)-6)
	bound := fmt.Sprintf("(%s.const %d)", typ, until)
	if rnd.IntN(2) == 0 {
		bound = fmt.Sprintf("(%s.add (local.get 1) (%s.const %d))", typ, typ, rnd.IntN(3)-1)
	}
	counter := fmt.Sprintf("(local.tee 0 (%s.add (local.get 0) (%s.const %d)))", typ, typ, step)
	compared := [2]string{counter, bound}
	if rnd.IntN(2) == 0 {
		compared = [2]string{bound, counter}
	}
	return fmt.Sprintf(`(local %[1]s %[1]s i32)
		(local.set 0 (%[1]s.const %[2]d)) (local.set 1 (%[1]s.const %[3]d))
		(loop (local.set 2 (i32.add (local.get 2) (i32.const 3))) (br_if 0 (%[1]s.ne %[4]s %[5]s)))
		(call $exit (local.get 2))`, typ, from, until, compared[0], compared[1])
}
