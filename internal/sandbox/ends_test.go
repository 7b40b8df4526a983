package sandbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero/experimental"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/payloads"
)

func TestTraps(t *testing.T) {
	const table = `(type $t (func)) (type $u (func (param i32))) (table 3 funcref) (elem (i32.const 1) $f) (func $f)`
	for detail, code := range map[string][]byte{
		"unreachable":                   metered(t, command("", "", `(unreachable)`)),
		"integer divide by zero":        metered(t, command("", "", `(drop (i32.div_u (i32.const 1) (i32.const 0)))`)),
		"integer overflow":              metered(t, command("", "", `(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))`)),
		"invalid conversion to integer": metered(t, command("", "", `(drop (i32.trunc_f64_s (f64.const nan)))`)),
		"out of bounds memory access":   metered(t, command("", "", `(drop (i32.load (i32.const 65533)))`)),
		"invalid table access":          metered(t, command("", table, `(call_indirect (type $t) (i32.const 3))`)),
		"indirect call type mismatch":   metered(t, command("", table, `(call_indirect (type $u) (i32.const 0) (i32.const 1))`)),
	} {
		t.Run(detail, func(t *testing.T) {
			engines(t, Options{}, func(t *testing.T, e *Engine) {
				o := mustRun(t, e, task(code, 1000))
				if o.End != Trap || o.Detail != detail || o.Code != 0 || o.Fuel == 0 || o.Fuel > 30 {
					t.Errorf("%+v", o)
				}
			})
		})
	}
	// An empty table element and a bulk operation out of bounds are called
	// differently by different engines, and are traps in all.
	for name, code := range map[string][]byte{
		"empty element":  metered(t, command("", table, `(call_indirect (type $t) (i32.const 0))`)),
		"active segment": metered(t, command("", `(data $d (i32.const 0) "0123")`, `(memory.init $d (i32.const 8) (i32.const 0) (i32.const 1))`)),
		"bulk":           metered(t, command("", "", `(memory.fill (i32.const 65530) (i32.const 1) (i32.const 7))`)),
	} {
		engines(t, Options{}, func(t *testing.T, e *Engine) {
			if o := mustRun(t, e, task(code, 1000)); o.End != Trap {
				t.Errorf("%s: %+v", name, o)
			}
		})
	}
}

// TestCallStack has endless recursion: a trap, the same in every engine, by the
// counter of the metered module. wazero's interpreter holds 2,000 frames only,
// so with small ones it fails first, and that is a fault, not an outcome.
func TestCallStack(t *testing.T) {
	const f = `(func $f (param i64) (result i64) %s (i64.add (local.get 0) (call $f (i64.add (local.get 0) (i64.const 1)))))`
	large := metered(t, command("", fmt.Sprintf(f, "(local"+strings.Repeat(" i64", 100)+")"), `(drop (call $f (i64.const 0)))`))
	engines(t, Options{}, func(t *testing.T, e *Engine) {
		if o := mustRun(t, e, task(large, 1<<50)); o.End != Trap || o.Detail != "call stack exhausted" || o.Fuel < 1000 {
			t.Errorf("%+v", o)
		}
	})
	small := metered(t, command("", fmt.Sprintf(f, ""), `(drop (call $f (i64.const 0)))`))
	o := mustRun(t, newEngine(t, &Options{Interpreter: true}), task(small, 1<<50))
	if o.End != Fault || !strings.Contains(o.Detail, "stack overflow") {
		t.Errorf("%+v", o)
	}
}

func TestExit(t *testing.T) {
	const imports = `(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))`
	for code, body := range map[uint32]string{
		0: `(call $f (i32.const 0))`, 3: `(call $f (i32.const 3))`,
		// Codes that wazero has for its own purposes.
		0xffffffff: `(call $f (i32.const 0xffffffff))`, 0xefffffff: `(call $f (i32.const 0xefffffff))`,
	} {
		m := metered(t, command(imports, `(func $f (param i32) (call $exit (local.get 0)) (unreachable))`, body))
		engines(t, Options{}, func(t *testing.T, e *Engine) {
			if o := mustRun(t, e, task(m, 1000)); o.End != Exit || o.Code != code {
				t.Errorf("%+v", o)
			}
		})
	}
}

// bulk is what a dynamic cost is measured on: a body that takes a count.
var bulk = map[string]struct {
	body  string
	small int
	large int
	cost  uint64 // what large costs more than small
}{
	"memory.fill": {`(memory.fill (i32.const 0) (i32.const 1) (i32.const N))`, 7, 65536, 8192},
	"memory.copy": {`(memory.copy (i32.const 0) (i32.const 1) (i32.const N))`, 0, 8007, 1000},
	"memory.init": {`(memory.init $d (i32.const 0) (i32.const 0) (i32.const N))`, 0, 64, 8},
	"memory.grow": {`(drop (memory.grow (i32.const N)))`, 0, 3, 3072},
	"random_get":  {`(drop (call $random (i32.const 0) (i32.const N)))`, 7, 8000, 1000},
}

func bulkModule(t *testing.T, body string, n int) []byte {
	data := strings.Repeat("x", 64)
	return metered(t, command(`(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))`,
		`(data $d "`+data+`")`, strings.ReplaceAll(body, "N", strconv.Itoa(n))+`(loop $check)`))
}

func TestBulkCharged(t *testing.T) {
	for name, b := range bulk {
		t.Run(name, func(t *testing.T) {
			small, large := bulkModule(t, b.body, b.small), bulkModule(t, b.body, b.large)
			engines(t, Options{}, func(t *testing.T, e *Engine) {
				s, l := mustRun(t, e, task(small, 1<<30)), mustRun(t, e, task(large, 1<<30))
				if s.End != Exit || l.End != Exit || l.Fuel-s.Fuel != b.cost {
					t.Errorf("%+v and %+v differ by %d fuel, want %d", s, l, l.Fuel-s.Fuel, b.cost)
				}
				if o := mustRun(t, e, task(large, l.Fuel-1)); o.End != Fuel {
					t.Errorf("with less fuel: %+v", o)
				}
			})
		})
	}
}

// watched is a memory that the test sees, and that can refuse to grow.
type watched struct {
	limit uint64
	buf   []byte
}

func (w *watched) Allocate(_, most uint64) experimental.LinearMemory {
	w.buf = make([]byte, 0, most)
	return w
}

func (w *watched) Free() {}

func (w *watched) Reallocate(size uint64) []byte {
	if w.limit > 0 && size > w.limit {
		return nil
	}
	w.buf = w.buf[:size]
	return w.buf
}

// TestBulkChargedBeforeItRuns looks at the memory after fuel ran out.
func TestBulkChargedBeforeItRuns(t *testing.T) {
	for name, b := range bulk {
		if name == "random_get" {
			continue // host functions charge; the next check acts on it
		}
		code := bulkModule(t, b.body, b.large)
		w := &watched{}
		engines(t, Options{allocator: w}, func(t *testing.T, e *Engine) {
			full := mustRun(t, e, task(code, 1<<30))
			changed := name != "memory.copy" && bytes.ContainsAny(w.buf, "\x01x") || len(w.buf) > 65536
			if want := name != "memory.copy"; full.End != Exit || changed != want {
				t.Fatalf("%s: %+v, and the memory was changed: %v", name, full, changed)
			}
			o := mustRun(t, e, task(code, b.cost-1))
			if o.End != Fuel || bytes.ContainsAny(w.buf, "\x01x") || len(w.buf) != 65536 {
				t.Errorf("%s ran without the fuel for it: %+v", name, o)
			}
		})
	}
}

func TestMemoryLimit(t *testing.T) {
	// Writes what memory.grow answers: 1 (+2 pages), -1 (+2 again), 3 (+1), -1 (+1), 4 (+0), -1 (+65535).
	code := metered(t, command(`(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))`,
		`(data (i32.const 0) "\10\00\00\00\18\00\00\00")`, `
		(i32.store (i32.const 16) (memory.grow (i32.const 2)))
		(i32.store (i32.const 20) (memory.grow (i32.const 2)))
		(i32.store (i32.const 24) (memory.grow (i32.const 1)))
		(i32.store (i32.const 28) (memory.grow (i32.const 1)))
		(i32.store (i32.const 32) (memory.grow (i32.const 0)))
		(i32.store (i32.const 36) (memory.grow (i32.const -1)))
		(i32.store8 (i32.const 262143) (i32.const 1))
		(drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
		(i32.store8 (i32.const 262144) (i32.const 1))`))
	engines(t, Options{}, func(t *testing.T, e *Engine) {
		o := mustRun(t, e, task(code, 1<<30))
		var got []int32
		for b := o.Output; len(b) >= 4; b = b[4:] {
			got = append(got, int32(binary.LittleEndian.Uint32(b)))
		}
		want := []int32{1, -1, 3, -1, 4, -1}
		if o.End != Trap || len(got) != len(want) {
			t.Fatalf("%+v", o)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("memory.grow answers %v, want %v", got, want)
				break
			}
		}
	})
	e := newEngine(t, nil)
	tk := task(code, 1000)
	tk.Limits.MemoryPages = testPages - 1
	if o, err := e.Run(context.Background(), tk); err == nil {
		t.Errorf("a limit of %d pages: %+v", tk.Limits.MemoryPages, o)
	}
}

func TestHostOutOfMemoryIsAFault(t *testing.T) {
	code := metered(t, command("", "", `(if (i32.eq (memory.grow (i32.const 2)) (i32.const -1)) (then (return)))`))
	engines(t, Options{allocator: &watched{limit: 2 * 65536}}, func(t *testing.T, e *Engine) {
		if o := mustRun(t, e, task(code, 1<<30)); o.End != Fault || o.Fuel > 1<<30 {
			t.Errorf("%+v", o)
		}
	})
}

// stepClock advances by a step whenever it is read.
func stepClock(step time.Duration) func() time.Time {
	now := time.Unix(0, 0)
	return func() time.Time {
		now = now.Add(step)
		return now
	}
}

func TestDeadlineWithinOneSlice(t *testing.T) {
	engines(t, Options{Now: stepClock(time.Millisecond)}, func(t *testing.T, e *Engine) {
		tk := task(payloads.LoopModule, 1<<50)
		tk.Limits.MemoryPages = payloads.Pages
		tk.Deadline = 100 * time.Millisecond
		refills := 0
		tk.Pace = func(Slice) uint64 { refills++; return 1000 }
		o := mustRun(t, e, tk)
		// A refill reads the clock at least twice, so 100 ms are over after 50.
		if o.End != Deadline || refills < 10 || refills > 50 || o.Fuel < 10_000 || o.Fuel > 60_000 {
			t.Errorf("%+v after %d refills", o, refills)
		}
	})
}

func TestDeadlineInRealTime(t *testing.T) {
	engines(t, Options{}, func(t *testing.T, e *Engine) {
		tk := task(payloads.LoopModule, 1<<50)
		tk.Limits.MemoryPages = payloads.Pages
		tk.Deadline = 30 * time.Millisecond
		start := time.Now()
		if o := mustRun(t, e, tk); o.End != Deadline || time.Since(start) > 20*time.Second {
			t.Errorf("%+v after %v", o, time.Since(start))
		}
	})
}

func TestCancelWithinOneSlice(t *testing.T) {
	engines(t, Options{}, func(t *testing.T, e *Engine) {
		for _, at := range []int{0, 1, 5} {
			ctx, cancel := context.WithCancelCause(context.Background())
			if at == 0 {
				cancel(errors.New("no more"))
			}
			tk := task(payloads.LoopModule, 1<<50)
			tk.Limits.MemoryPages = payloads.Pages
			refills := 0
			tk.Pace = func(Slice) uint64 {
				if refills++; refills == at {
					cancel(errors.New("no more"))
				}
				return 1000
			}
			reported := false
			tk.Progress = func(int, string, uint64) { reported = true }
			o, err := e.Run(ctx, tk)
			if err != nil || o.End != Cancelled || o.Detail != "no more" || refills != at || o.Fuel > 1000*uint64(max(0, at-1))+300 {
				t.Errorf("cancelled at refill %d: %+v, %v after %d", at, o, err, refills)
			}
			if at == 0 && reported {
				t.Error("the module ran though it was cancelled before")
			}
		}
	})
}

func TestOutputAndLogCaps(t *testing.T) {
	imports := `(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))`
	// Writes 64 bytes to the descriptor $fd, N times.
	loop := `(local $i i32) (i32.store (i32.const 4) (i32.const 64))
		(loop $l (drop (call $write (i32.const FD) (i32.const 0) (i32.const 1) (i32.const 8)))
		(br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const N))))`
	module := func(fd, n int) []byte {
		return metered(t, command(imports, "", strings.NewReplacer("FD", strconv.Itoa(fd), "N", strconv.Itoa(n)).Replace(loop)))
	}
	engines(t, Options{}, func(t *testing.T, e *Engine) {
		tk := task(module(1, 20), 1<<30)
		tk.Limits.OutputBytes = 1000
		if o := mustRun(t, e, tk); o.End != Output || len(o.Output) != 960 || o.Code != 0 {
			t.Errorf("over the limit: %s, %d bytes", o.End, len(o.Output))
		}
		tk.Limits.OutputBytes = 1280
		if o := mustRun(t, e, tk); o.End != Exit || len(o.Output) != 1280 {
			t.Errorf("at the limit: %s, %d bytes", o.End, len(o.Output))
		}
		if o := mustRun(t, e, task(module(2, 2000), 1<<30)); o.End != Exit || len(o.Log) != maxLog || len(o.Output) != 0 {
			t.Errorf("log: %s, %d bytes", o.End, len(o.Log))
		}
	})
}

func TestNotRunnable(t *testing.T) {
	e := newEngine(t, nil)
	good := metered(t, command("", "", ""))
	plain := assemble(t, command("", "", ""))
	bad := append(append([]byte(nil), good[:len(good)-1]...), 0xff)
	refill := `(import "countersign" "refill" (func (param i64) (result i64)))`
	for name, c := range map[string]struct {
		edit func(*Task)
		want string
	}{
		"not metered": {func(tk *Task) { tk.Module = plain }, ErrNotMetered.Error()},
		"no counter":  {func(tk *Task) { tk.Module = withGlobal(t, refill, "") }, ErrNotMetered.Error()},
		"const counter": {func(tk *Task) {
			tk.Module = withGlobal(t, refill, `(global (export "countersign_fuel") i64 (i64.const 0))`)
		}, ErrNotMetered.Error()},
		"i32 counter": {func(tk *Task) {
			tk.Module = withGlobal(t, refill, `(global (export "countersign_fuel") (mut i32) (i32.const 0))`)
		}, ErrNotMetered.Error()},
		"no maximum": {func(tk *Task) { tk.Module, tk.Limits.MemoryPages = assemble(t, command(refill, "", "")), 1 }, "maximum"},
		"no memory":  {func(tk *Task) { tk.Module = assemble(t, `(module `+refill+`(func (export "_start")))`) }, "no memory"},
		"no start":   {func(tk *Task) { tk.Module = assemble(t, `(module `+refill+`(memory (export "memory") 1 4))`) }, "_start"},
		"start type": {func(tk *Task) {
			tk.Module = assemble(t, `(module `+refill+`(memory (export "memory") 1 4) (func (export "_start") (param i32)))`)
		}, "_start"},
		"invalid":    {func(tk *Task) { tk.Module = bad }, "compiling"},
		"sha256":     {func(tk *Task) { tk.SHA256 = canon.Sum([]byte("other")) }, "sha256"},
		"no fuel":    {func(tk *Task) { tk.Limits.Fuel = 0 }, "fuel limit"},
		"fuel 2^53":  {func(tk *Task) { tk.Limits.Fuel = 1 << 53 }, "fuel limit"},
		"NUL":        {func(tk *Task) { tk.Args = []string{"a\x00b"} }, "NUL"},
		"long args":  {func(tk *Task) { tk.Args = []string{strings.Repeat("a", maxArgs)} }, "arguments"},
		"other type": {func(tk *Task) { tk.Module = withGlobal(t, strings.Replace(refill, "result i64", "result i32", 1), "") }, "refill"},
		"other func": {func(tk *Task) {
			tk.Module = withGlobal(t, refill+`(import "wasi_snapshot_preview1" "fd_open" (func))`, "")
		}, "fd_open"},
		"other place": {func(tk *Task) { tk.Module = withGlobal(t, refill+`(import "env" "x" (func))`, "") }, "env"},
	} {
		tk := task(good, 1000)
		c.edit(&tk)
		o, err := e.Run(context.Background(), tk)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %+v, error %v", name, o, err)
		}
	}
	if o := mustRun(t, e, task(good, 1000)); o.End != Exit {
		t.Errorf("the module that was not spoiled: %+v", o)
	}
}

func withGlobal(t *testing.T, imports, global string) []byte {
	return assemble(t, `(module `+imports+`(memory (export "memory") 1 4)`+global+`(func (export "_start")))`)
}

func TestInstantiationFailureIsAFault(t *testing.T) {
	code := metered(t, command("", `(data (i32.const 65536) "x")`, ""))
	engines(t, Options{}, func(t *testing.T, e *Engine) {
		if o := mustRun(t, e, task(code, 1000)); o.End != Fault {
			t.Errorf("%+v", o)
		}
	})
}

// TestForgedRefill has modules that speak to the host as no metered one does.
func TestForgedRefill(t *testing.T) {
	forged := func(body string) []byte {
		return assemble(t, `(module (import "countersign" "refill" (func $refill (param i64) (result i64)))
			(memory (export "memory") 1 4) (global $f (export "countersign_fuel") (mut i64) (i64.const 0))
			(func (export "_start") `+body+`))`)
	}
	for name, c := range map[string]struct {
		body string
		end  End
	}{
		"positive balance":   {`(drop (call $refill (i64.const 5))) (unreachable)`, Fault},
		"smallest balance":   {`(drop (call $refill (i64.const 0x8000000000000000))) (unreachable)`, Fuel},
		"goes on after 0":    {`(drop (call $refill (i64.const -1001))) (drop (call $refill (i64.const -1)))`, Fuel},
		"helps itself":       {`(global.set $f (i64.const 1000000))`, Exit},
		"at the limit":       {`(drop (call $refill (i64.const 0))) (drop (call $refill (i64.const 0)))`, Fuel},
		"asks twice":         {`(drop (call $refill (i64.const -1))) (drop (call $refill (i64.const -1)))`, Fuel},
		"claims engine fail": {`(global.set $f (i64.const 0x8000000000000000)) (unreachable)`, Fault},
	} {
		engines(t, Options{}, func(t *testing.T, e *Engine) {
			o := mustRun(t, e, task(forged(c.body), 1000))
			if o.End != c.end || o.Fuel > 1000 {
				t.Errorf("%s: %+v, want %s", name, o, c.end)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	e := newEngine(t, nil)
	ctx := context.Background()
	source := assemble(t, busy)
	if err := errors.Join(e.Validate(ctx, source), e.Validate(ctx, metered(t, busy)), e.Validate(ctx, source)); err != nil {
		t.Error(err)
	}
	for name, code := range map[string][]byte{
		"empty":     nil,
		"no module": []byte("not a module"),
		"cut":       source[:len(source)-3],
		"ill-typed": []byte("\x00asm\x01\x00\x00\x00\x01\x05\x01\x60\x00\x01\x7f\x03\x02\x01\x00\x0a\x04\x01\x02\x00\x0b"),
	} {
		if err := e.Validate(ctx, code); err == nil || !strings.Contains(err.Error(), "compiling the module") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
