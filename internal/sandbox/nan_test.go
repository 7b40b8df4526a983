package sandbox

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

const (
	canonical64 = 0x7ff8000000000000
	boxed       = 0xfff4000012345678 // a NaN with a payload, as interpreters use for pointers
)

// TestCanonicalNaN has NaNs made in every way, looked at in every way: $nan is
// one with a payload from memory, $inf infinity, $x a local that only ever holds
// what arithmetic made, $m one that holds both.
func TestCanonicalNaN(t *testing.T) {
	engines(t, Options{}, func(t *testing.T, e *Engine) {
		for _, c := range slices.Concat(nanCases, arithmeticCases()) {
			code := metered(t, command(`(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))`,
				fmt.Sprintf(`(data (i32.const 0) "\10\00\00\00\08\00\00\00")
				(global $inf f64 (f64.const inf)) (global $g (mut f64) (f64.const 0))
				(type $f (func (param f64) (result f64))) (table 1 funcref) (elem (i32.const 0) $same)
				(func $same (type $f) (local.get 0))
				(func $made (param f64 f64) (result f64) (f64.div (local.get 0) (local.get 1)))
				(func $back (param $c i32) (result f64) (local $x f64) (return (f64.sqrt (f64.const -1))))
				(func $run (param $nan f64) (local $x f64) (local $m f64) (local $v v128) (local $x32 f32) %s)`, c.body),
				fmt.Sprintf(`(i64.store (i32.const 24) (i64.const %d)) (call $run (f64.load (i32.const 24)))
				(drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))`, uint64(boxed))))
			o := mustRun(t, e, task(code, 100_000))
			if o.End != Exit || len(o.Output) != 8 {
				t.Errorf("%s: %+v", c.body, o)
				continue
			}
			if got := binary.LittleEndian.Uint64(o.Output); got != c.want {
				t.Errorf("%s: %#x, want %#x", c.body, got, c.want)
			}
		}
	})
}

// store looks at the bits of an f64.
func store(expr string) string { return `(f64.store (i32.const 16) ` + expr + `)` }

type nanCase struct {
	body string
	want uint64
}

// arithmeticCases have each instruction that may make a NaN of any bits, of an
// operand that is a NaN with a payload.
func arithmeticCases() (all []nanCase) {
	const ops = "ceil floor trunc nearest sqrt add sub mul div min max"
	for _, typ := range []string{"f32", "f64", "f32x4", "f64x2"} {
		nan, store, want := `(local.get $nan)`, "v128.store", uint64(canonical64)
		if strings.HasPrefix(typ, "f32") {
			nan, want = `(f32.reinterpret_i32 (i32.const 0xffa00001))`, 0x7fc000007fc00000
		}
		if scalar, _, vector := strings.Cut(typ, "x"); vector {
			nan = fmt.Sprintf("(%s.splat %s)", typ, nan)
		} else {
			store = scalar + ".store"
		}
		if typ == "f32" {
			want &= 0xffffffff
		}
		for i, op := range strings.Fields(ops) {
			operands := nan
			if i > 4 {
				operands += " " + nan
			}
			all = append(all, nanCase{fmt.Sprintf("(%s (i32.const 16) (%s.%s %s))", store, typ, op, operands), want})
		}
	}
	return append(all,
		nanCase{`(v128.store (i32.const 16) (f32x4.demote_f64x2_zero (f64x2.splat (local.get $nan))))`, 0x7fc000007fc00000},
		nanCase{`(v128.store (i32.const 16) (f64x2.promote_low_f32x4 (f32x4.splat (f32.reinterpret_i32 (i32.const 0xffa00001)))))`, canonical64},
		nanCase{`(v128.store (i32.const 16) (f64x2.pmin (f64x2.sqrt (f64x2.splat (f64.const -1))) (f64x2.splat (f64.const 1))))`, canonical64},
		nanCase{`(v128.store (i32.const 16) (f64x2.pmax (f64x2.sqrt (f64x2.splat (f64.const -1))) (f64x2.splat (f64.const 1))))`, canonical64})
}

var nanCases = []nanCase{
	{store(`(f64.add (local.get $nan) (f64.const 1))`), canonical64},
	{store(`(f64.sub (global.get $inf) (global.get $inf))`), canonical64},
	{store(`(f64.mul (f64.const 0) (global.get $inf))`), canonical64},
	{store(`(f64.div (f64.const 0) (f64.const 0))`), canonical64},
	{store(`(f64.sqrt (f64.const -1))`), canonical64},
	{store(`(f64.min (local.get $nan) (f64.const 1))`), canonical64},
	{store(`(f64.max (f64.const 1) (local.get $nan))`), canonical64},
	{store(`(f64.ceil (local.get $nan))`), canonical64},
	{store(`(f64.floor (local.get $nan))`), canonical64},
	{store(`(f64.trunc (local.get $nan))`), canonical64},
	{store(`(f64.nearest (local.get $nan))`), canonical64},
	{store(`(f64.promote_f32 (f32.demote_f64 (local.get $nan)))`), canonical64},
	{`(f32.store (i32.const 16) (f32.demote_f64 (local.get $nan)))`, 0x7fc00000},
	{`(f32.store (i32.const 16) (f32.div (f32.const 0) (f32.const 0)))`, 0x7fc00000},
	// What arithmetic did not make keeps its bits.
	{store(`(local.get $nan)`), boxed},
	{store(`(f64.neg (local.get $nan))`), boxed ^ 1<<63},
	{store(`(f64.abs (local.get $nan))`), boxed &^ (1 << 63)},
	{store(`(f64.copysign (local.get $nan) (f64.const 1))`), boxed &^ (1 << 63)},
	{store(`(f64.const nan:0x123)`), 0x7ff0000000000123},
	{store(`(select (local.get $nan) (f64.const 1) (i32.const 1))`), boxed},
	{store(`(call $same (local.get $nan))`), boxed},
	{`(local.set $m (local.get $nan)) ` + store(`(local.get $m)`), boxed},
	{`(local.set $m (f64.div (f64.const 0) (f64.const 0))) (local.set $m (local.get $nan)) ` + store(`(local.get $m)`), boxed},
	{store(`(select (local.get $nan) (f64.sqrt (f64.const -1)) (i32.const 1))`), boxed},
	{`(v128.store (i32.const 16) (f64x2.splat (local.get $nan)))`, boxed},
	// What it made passes through.
	{store(`(f64.neg (f64.sqrt (f64.const -1)))`), canonical64},
	{store(`(f64.abs (f64.div (f64.const 0) (f64.const 0)))`), canonical64},
	{store(`(f64.copysign (f64.sqrt (f64.const -1)) (f64.const -1))`), canonical64},
	{store(`(f64.copysign (f64.const 1) (f64.sub (global.get $inf) (global.get $inf)))`), 0x3ff0000000000000},
	{store(`(select (local.get $nan) (f64.sqrt (f64.const -1)) (i32.const 0))`), canonical64},
	{store(`(select (f64.const 1) (f64.sqrt (f64.const -1)) (i32.const 0))`), canonical64},
	{`(local.set $x (f64.div (f64.const 0) (f64.const 0))) ` + store(`(local.get $x)`), canonical64},
	{`(local.set $x (f64.add (local.get $nan) (local.get $x))) ` + store(`(f64.neg (local.get $x))`), canonical64},
	{store(`(local.tee $x (f64.mul (f64.const 0) (global.get $inf)))`), canonical64},
	{`(local.set $m (f64.add (local.get $nan) (f64.const 1))) ` + store(`(local.get $m)`) + ` (local.set $m (local.get $nan))`, canonical64},
	{`(global.set $g (f64.sqrt (f64.const -1))) ` + store(`(global.get $g)`), canonical64},
	{`(i64.store (i32.const 16) (i64.reinterpret_f64 (f64.div (f64.const 0) (f64.const 0))))`, canonical64},
	{store(`(call $same (f64.sqrt (f64.const -1)))`), canonical64},
	{store(`(call_indirect (type $f) (f64.sqrt (f64.const -1)) (i32.const 0))`), canonical64},
	{store(`(call $made (f64.const 0) (f64.const 0))`), canonical64},
	{store(`(call $back (i32.const 1))`), canonical64},
	{store(`(block (result f64) (br 0 (f64.sqrt (f64.const -1))))`), canonical64},
	{store(`(block (result f64) (f64.sqrt (f64.const -1)) (br_if 0 (i32.const 1)))`), canonical64},
	{store(`(if (result f64) (i32.const 1) (then (f64.sqrt (f64.const -1))) (else (f64.const 1)))`), canonical64},
	{store(`(block (result f64) (f64.sqrt (f64.const -1)) (i32.const 0) (br_table 0 0))`), canonical64},
	// Vectors, lane by lane.
	{`(v128.store (i32.const 16) (f64x2.add (f64x2.splat (local.get $nan)) (f64x2.splat (f64.const 1))))`, canonical64},
	{`(v128.store (i32.const 16) (f32x4.sqrt (f32x4.splat (f32.const -1))))`, 0x7fc000007fc00000},
	{`(v128.store (i32.const 16) (f64x2.neg (f64x2.div (f64x2.splat (f64.const 0)) (f64x2.splat (f64.const 0)))))`, canonical64},
	{`(local.set $v (f64x2.mul (f64x2.splat (f64.const 0)) (f64x2.splat (global.get $inf)))) (v128.store (i32.const 16) (local.get $v))`, canonical64},
	{store(`(f64x2.extract_lane 1 (f64x2.max (f64x2.splat (local.get $nan)) (f64x2.splat (f64.const 1))))`), canonical64},
	{`(i64.store (i32.const 16) (i64x2.extract_lane 1 (f64x2.sqrt (f64x2.splat (f64.const -1)))))`, canonical64},
	{`(v128.store (i32.const 16) (f64x2.replace_lane 0 (v128.const i64x2 0 0) (f64.sqrt (f64.const -1))))`, canonical64},
	{`(v128.store (i32.const 16) (f64x2.replace_lane 1 (f64x2.splat (local.get $nan)) (f64.sqrt (f64.const -1))))`, boxed},
	{`(v128.store (i32.const 16) (v128.not (v128.not (f64x2.sqrt (f64x2.splat (f64.const -1))))))`, canonical64},
	{`(v128.store (i32.const 16) (f64x2.pmin (f64x2.sqrt (f64x2.splat (f64.const -1))) (f64x2.splat (f64.const 1))))`, canonical64},
	{`(v128.store (i32.const 16) (f64x2.promote_low_f32x4 (f32x4.sqrt (f32x4.splat (f32.const -1)))))`, canonical64},
	{`(v128.store (i32.const 16) (f32x4.demote_f64x2_zero (f64x2.splat (local.get $nan))))`, 0x7fc000007fc00000},
	// A vector of another lane type is looked at.
	{`(v128.store (i32.const 16) (f32x4.abs (f64x2.sqrt (f64x2.splat (f64.const -1)))))`, canonical64},
}
