package sandbox

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/payloads"
)

// TestFactorGolden runs the sample payload. Its fuel changes with the cost table,
// the metering pass and the built module, and with nothing else.
func TestFactorGolden(t *testing.T) {
	input, output := golden(t, "input.txt"), golden(t, "output.txt")
	fuel, err := strconv.ParseUint(strings.TrimSpace(string(golden(t, "fuel.txt"))), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	tk := task(payloads.FactorModule, 1<<50)
	tk.Limits.MemoryPages = payloads.Pages
	tk.Limits.OutputBytes = 1 << 20
	tk.Input = input
	var last int
	tk.Progress = func(permille int, text string, used uint64) {
		if permille < last || !strings.HasPrefix(text, "factoring ") || used == 0 || used > fuel {
			t.Errorf("report %d %q at %d fuel", permille, text, used)
		}
		last = permille
	}
	o := mustRun(t, newEngine(t, nil), tk)
	if o.End != Exit || o.Code != 0 || string(o.Output) != string(output) || len(o.Log) != 0 {
		t.Errorf("%+v, output %s", o.End, o.Output)
	}
	if o.Fuel != fuel {
		t.Errorf("fuel %d, want %d", o.Fuel, fuel)
	}
}

func golden(t *testing.T, name string) []byte {
	data, err := os.ReadFile("../../payloads/factor/golden/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSeed(t *testing.T) {
	// printf of 32 bytes 0x00 to 0x1f and a little-endian 258, through sha256sum.
	var order canon.Digest
	for i := range order {
		order[i] = byte(i)
	}
	seed := Seed(order, 258)
	if got := hex.EncodeToString(seed[:]); got != "fc0aeb363717d0548bff6de025bfb74320389a6cddbdf91b21971953c01a5019" {
		t.Errorf("seed %s", got)
	}
	if order[31] != 31 {
		t.Error("the order's digest was written to")
	}
}

func TestArgsReachTheModule(t *testing.T) {
	code := metered(t, command(`(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
		(import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))`,
		`(data (i32.const 0) "\64\00\00\00\10\00\00\00")`,
		`(drop (call $args (i32.const 50) (i32.const 100))) (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))`))
	tk := task(code, 1000)
	tk.Args = []string{"a b"}
	if o := mustRun(t, newEngine(t, nil), tk); string(o.Output) != "countersign\x00a b\x00" {
		t.Errorf("%+v, output %q", o, o.Output)
	}
}

// TestManyModulesAtOnce runs more modules than the engine keeps, from several
// goroutines, so that modules are pushed out while they run.
func TestManyModulesAtOnce(t *testing.T) {
	e := newEngine(t, &Options{Modules: 2})
	var codes [5][]byte
	for i := range codes {
		codes[i] = metered(t, command(`(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))`, "",
			fmt.Sprintf(`(local $i i32) (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 500)))) (call $exit (i32.const %d))`, i)))
	}
	var wg sync.WaitGroup
	for g := range 6 {
		wg.Go(func() {
			for n := range 20 {
				i := (g + n) % len(codes)
				tk := task(codes[i], 1<<30)
				tk.Pace = fixed(100)
				if n%2 == 0 {
					tk.SHA256 = canon.Sum(codes[i])
				}
				if o, err := e.Run(context.Background(), tk); err != nil || o.End != Exit || o.Code != uint32(i) {
					t.Errorf("module %d: %+v, %v", i, o, err)
				}
			}
		})
	}
	wg.Wait()
	e.modules.mu.Lock()
	defer e.modules.mu.Unlock()
	if e.modules.recent.Len() != 2 || len(e.modules.byHash) != 2 {
		t.Errorf("%d modules are kept, want 2", e.modules.recent.Len())
	}
	for _, m := range e.modules.byHash {
		if m.users != 1 {
			t.Errorf("a module has %d users after all runs", m.users)
		}
	}
}

func TestLeastRecentlyUsedGoesFirst(t *testing.T) {
	e := newEngine(t, &Options{Modules: 2})
	var codes [3][]byte
	for i := range codes {
		codes[i] = metered(t, command("", "", fmt.Sprintf(`(drop (i32.const %d))`, i)))
	}
	for _, i := range []int{0, 1, 0, 2} {
		mustRun(t, e, task(codes[i], 1000))
	}
	for i, want := range []bool{true, false, true} {
		if _, kept := e.modules.byHash[canon.Sum(codes[i])]; kept != want {
			t.Errorf("module %d is kept: %v, want %v", i, kept, want)
		}
	}
}

// TestCompileFailsForAll has several runs wait for one compilation.
func TestCompileFailsForAll(t *testing.T) {
	e := newEngine(t, nil)
	bad := []byte("\x00asm\x01\x00\x00\x00 and nothing that makes sense")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := e.Run(context.Background(), task(bad, 1000)); err == nil {
				t.Error("a bad module ran")
			}
		})
	}
	wg.Wait()
	if n := e.modules.recent.Len(); n != 0 {
		t.Errorf("%d modules are kept that cannot be compiled", n)
	}
}

func TestAdapt(t *testing.T) {
	for _, c := range []struct {
		slice uint64
		busy  time.Duration
		want  uint64
	}{
		{200_000, 20 * time.Millisecond, 200_000},
		{200_000, 10 * time.Millisecond, 400_000},
		{200_000, time.Microsecond, 800_000},
		{200_000, 0, 800_000},
		{200_000, -time.Second, 800_000},
		{200_000, 30 * time.Millisecond, 133_333},
		{200_000, time.Hour, 50_000},
		{20_000, time.Hour, minSlice},
		{minSlice, time.Hour, minSlice},
		{900_000_000, time.Millisecond, maxSlice},
		{maxSlice, 0, maxSlice},
	} {
		if got := adapt(c.slice, c.busy); got != c.want {
			t.Errorf("adapt(%d, %v) = %d, want %d", c.slice, c.busy, got, c.want)
		}
	}
}

// TestPaceIsTold checks what a pace learns, with a clock that takes 1 ms a look.
func TestPaceIsTold(t *testing.T) {
	e := newEngine(t, &Options{Now: stepClock(time.Millisecond)})
	tk := task(metered(t, busy), 1<<40)
	var told []Slice
	tk.Pace = func(s Slice) uint64 { told = append(told, s); return 1000 }
	o := mustRun(t, e, tk)
	var sum uint64
	for i, s := range told {
		if sum += s.Spent; s.Used != sum || i > 0 && (s.Spent < 1000 || s.Busy <= 0) {
			t.Fatalf("slice %d of %d: %+v after %d", i, len(told), s, sum)
		}
	}
	if len(told) < 10 || o.Fuel < sum || o.Fuel > sum+1000 {
		t.Errorf("%d slices with %d fuel, the run used %d", len(told), sum, o.Fuel)
	}
}

// TestRunsShareNothing makes sure that a second run starts where the first did.
func TestRunsShareNothing(t *testing.T) {
	e := newEngine(t, nil)
	tk := busyTask(t)
	if a, b := mustRun(t, e, tk), mustRun(t, e, tk); !reflect.DeepEqual(a, b) {
		t.Errorf("%+v and then %+v", a, b)
	}
	other := tk
	other.Seed[0]++
	if a, b := mustRun(t, e, tk), mustRun(t, e, other); reflect.DeepEqual(a, b) {
		t.Error("the seed does not matter")
	}
}
