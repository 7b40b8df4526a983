package sandbox

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestSelects selects among more floats than there are registers, between calls:
// what meter.ForWazero is for.
func TestSelects(t *testing.T) {
	const funcs = 200
	var text, calls strings.Builder
	r := rand.New(rand.NewPCG(1, 2))
	for f := range funcs {
		locals := 10 + r.IntN(16)
		some := func() string { return fmt.Sprintf("(local.get %d)", 1+r.IntN(locals)) }
		set := func(expr string) { fmt.Fprintf(&text, "(local.set %d %s)\n", 1+r.IntN(locals), expr) }
		fmt.Fprintf(&text, "(func $f%d (param i32) (result f64) (local %s)\n", f, strings.Repeat("f64 ", locals))
		for l := 1; l <= locals; l++ {
			fmt.Fprintf(&text, "(local.set %d (f64.convert_i32_u (i32.add (local.get 0) (i32.const %d))))\n", l, l)
		}
		for range 4 + r.IntN(60) {
			switch r.IntN(6) {
			case 0, 1:
				set(fmt.Sprintf("(select %s %s (local.get 0))", some(), some()))
			case 2:
				set("(call $same " + some() + ")")
			case 3:
				text.WriteString("(call $nothing)\n")
			default:
				set("(f64.neg " + some() + ")")
			}
		}
		sum := "(local.get 1)"
		for l := 2; l <= locals; l++ {
			sum = fmt.Sprintf("(f64.add %s (f64.mul (local.get %d) (f64.const 1.5)))", sum, l)
		}
		text.WriteString(sum + ")\n")
		for condition := range 2 {
			fmt.Fprintf(&calls, "(f64.store (i32.const %d) (call $f%d (i32.const %d)))\n", 64+16*f+8*condition, f, condition)
		}
	}
	code := metered(t, command(`(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))`,
		fmt.Sprintf(`(data (i32.const 0) "\40\00\00\00\%02x\%02x\00\00")
		(func $nothing) (func $same (param f64) (result f64) (local.get 0)) %s`, 16*funcs&255, 16*funcs>>8, &text),
		calls.String()+`(drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))`))
	task := task(code, 10_000_000)
	task.Limits.OutputBytes = 16 * funcs
	want := mustRun(t, newEngine(t, &Options{Interpreter: true}), task)
	got := mustRun(t, newEngine(t, nil), task)
	if want.End != Exit || len(want.Output) != 16*funcs {
		t.Fatalf("%+v", want)
	}
	if got.End != want.End || got.Fuel != want.Fuel || len(got.Output) != len(want.Output) {
		t.Fatalf("the compiler gives %+v, the interpreter %+v", got, want)
	}
	for at := 0; at < len(want.Output); at += 8 {
		if g, w := got.Output[at:at+8], want.Output[at:at+8]; !bytes.Equal(g, w) {
			t.Errorf("function %d of %d: the compiler gives %x, the interpreter %x", at/16, at/8%2, g, w)
		}
	}
}
