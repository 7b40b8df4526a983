package meter

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
)

// deferring has loops whose stores are made canonical behind them: of doubles,
// with a value that is kept for the next turn, and of floats.
const deferring = `(module (memory (export "memory") 1)
  (func (export "pairs") (param $a i32) (param $b i32) (local $i i32) (local $j i32)
    (loop
      (f64.store (local.tee $j (i32.add (local.get $a) (local.get $i)))
        (f64.add (f64.mul (f64.load (i32.add (local.get $b) (local.get $i))) (f64.const 1.5)) (f64.load (local.get $j))))
      (f64.store offset=16 (i32.sub (local.get $j) (i32.const 8))
        (f64.sub (f64.load (i32.add (i32.const 8) (i32.add (local.get $b) (local.get $i)))) (f64.load (local.get $j))))
      (br_if 0 (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 16))) (i32.const 512)))))
  (func (export "kept") (param $a i32) (param $b i32) (local $i i32) (local $x f64)
    (local.set $i (i32.const 1024))
    (loop
      (f64.store (i32.add (local.get $i) (local.get $a))
        (f64.div (f64.add (local.get $x) (local.tee $x (f64.load offset=8 (i32.add (local.get $b) (local.get $i)))))
          (f64.mul (f64.load offset=16 (i32.add (local.get $b) (local.get $i))) (f64.const 2))))
      (br_if 0 (local.tee $i (i32.sub (local.get $i) (i32.const 8))))))
  (func (export "floats") (param $a i32) (param $b i32) (local $i i32)
    (loop
      (f32.store (i32.add (local.get $a) (local.get $i))
        (f32.sub (f32.load (i32.add (local.get $b) (local.get $i))) (f32.load (i32.add (local.get $a) (local.get $i)))))
      (f32.store offset=4 (i32.add (local.get $a) (local.get $i))
        (f32.mul (f32.load offset=4 (i32.add (local.get $b) (local.get $i))) (f32.load (i32.add (local.get $a) (local.get $i)))))
      (f32.store offset=8 (i32.add (local.get $a) (local.get $i)) (f32.sqrt (f32.load (i32.add (local.get $b) (local.get $i)))))
      (br_if 0 (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 16))) (i32.const 512))))))`

// observing has loops that could tell how what they have stored is stored.
const observing = `
  f64.store (i32.add (local.get $a) (local.get $i)) (f64.load offset=8 (i32.add (local.get $b) (local.get $i)))
  i64.store (i32.add (local.get $a) (local.get $i)) (i64.load offset=8 (i32.add (local.get $b) (local.get $i)))
  f32.store (i32.add (local.get $a) (local.get $i)) (f32.sqrt (f32.load offset=4 (i32.add (local.get $b) (local.get $i))))
  local.set $n (i64.reinterpret_f64 (f64.abs (f64.load offset=8 (i32.add (local.get $b) (local.get $i)))))
  f64.store offset=4 (i32.add (local.get $a) (local.get $i)) (f64.sqrt (f64.load (i32.add (local.get $b) (local.get $i))))
  f64.store (i32.add (local.get $a) (local.get $a)) (f64.sqrt (f64.load (i32.add (local.get $b) (local.get $i))))
  global.set $g (local.tee $x (f64.load (i32.add (local.get $b) (local.get $i))))
  local.set $y (local.tee $x (f64.load (i32.add (local.get $b) (local.get $i))))`

// TestDeferredStores runs loops with all the fuel that they need, so that they
// make canonical behind them what they stored, and with a little at a time, so that
// each store does. Both leave the same in memory, wherever operands overlap.
func TestDeferredStores(t *testing.T) {
	module, _, err := Rewrite(assemble(t, deferring), &Options{Library: true})
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(tool(t, "wasm2wat", inFile(t, module))), ".ne\n      if"); n != 3 {
		t.Fatalf("%d loops look at what they stored, 3 are expected", n)
	}
	r := rand.New(rand.NewPCG(7, 7))
	for n := range 200 {
		memory := floatMemory(r)
		a, b := uint64(r.IntN(600)*4), uint64(r.IntN(600)*4)
		for _, name := range []string{"pairs", "kept", "floats"} {
			whole, little := afterRun(t, module, name, memory, 1<<40, a, b), afterRun(t, module, name, memory, 1, a, b)
			if !bytes.Equal(whole, little) {
				at := 0
				for whole[at] == little[at] {
					at++
				}
				t.Fatalf("run %d: %s(%d, %d) leaves %x at %d, where storing canonical values leaves %x", n, name, a, b, whole[at&^7:at|7+1], at&^7, little[at&^7:at|7+1])
			}
		}
	}
}

// TestObservedStores looks for loops that must not defer.
func TestObservedStores(t *testing.T) {
	const loop = `(module (memory (export "memory") 1) (global $g (mut f64) (f64.const 0))
  (func (export "f") (param $a i32) (param $b i32) (param $x f64) (result f64) (local $i i32) (local $n i64) (local $y f64)
    (loop %s
      (f64.store (i32.add (local.get $a) (local.get $i))
        (f64.sqrt (f64.mul (f64.load (i32.add (local.get $b) (local.get $i))) (f64.load offset=8 (i32.add (local.get $b) (local.get $i))))))
      (br_if 0 (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 8))) (i32.const 512))))
    (local.get $y)))`
	deferred := func(more string) bool {
		module, _, err := Rewrite(assemble(t, fmt.Sprintf(loop, more)), &Options{Library: true})
		if err != nil {
			t.Fatalf("%s: %v", more, err)
		}
		return strings.Contains(string(tool(t, "wasm2wat", inFile(t, module))), "f64.ne")
	}
	if !deferred("(local.set $x (f64.load (i32.add (local.get $b) (local.get $i))))") {
		t.Error("a loop that could defer its stores does not")
	}
	for _, line := range strings.Split(strings.TrimSpace(observing), "\n") {
		if deferred("(" + strings.TrimSpace(line) + ")") {
			t.Errorf("a loop defers its stores and does %s", line)
		}
	}
}

// floatMemory is full of numbers, infinities and NaNs of both signs.
func floatMemory(r *rand.Rand) []byte {
	few := []uint32{0, 0, 0x3ff00000, 0x40000000, 0xc0100000, 0x7ff00000, 0xfff00000, 0x7ff80000, 0xfff80000, 0x7ff40001, 0x7f800000, 0xff800000, 0xffc00000}
	kinds := 1 + r.IntN(len(few))
	memory := make([]byte, 8192)
	for at := 0; at < len(memory); at += 4 {
		binary.LittleEndian.PutUint32(memory[at:], few[r.IntN(kinds)])
	}
	return memory
}

// afterRun is the memory after a call, with so much fuel at a time.
func afterRun(t *testing.T, module []byte, name string, memory []byte, slice int64, args ...uint64) []byte {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntime(ctx)
	defer r.Close(ctx)
	refill := func(balance int64) int64 { return slice - balance }
	if _, err := r.NewHostModuleBuilder("countersign").NewFunctionBuilder().WithFunc(refill).Export("refill").Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	m, err := r.Instantiate(ctx, module)
	if err != nil {
		t.Fatal(err)
	}
	m.Memory().Write(0, memory)
	if _, err := m.ExportedFunction(name).Call(ctx, args...); err != nil {
		t.Fatal(err)
	}
	got, _ := m.Memory().Read(0, uint32(len(memory)))
	return bytes.Clone(got)
}
