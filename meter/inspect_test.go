package meter

import (
	"errors"
	"testing"

	"github.com/countersign/countersign/payloads"
)

// TestInspect inspects a module before and after metering, which has to be the
// same but for the indices and for integers that were longer than they need be.
func TestInspect(t *testing.T) {
	opt := &Options{MemoryPages: payloads.Pages}
	before, err := Inspect(payloads.FactorSource, opt)
	if err != nil {
		t.Fatal(err)
	}
	after, err := Inspect(checked(t, "factor", payloads.FactorSource, *opt), nil)
	if err != nil {
		t.Fatal(err)
	}
	if before.Metered || !after.Metered || len(before.Functions) != before.Report.Functions || len(before.Functions) != len(after.Functions) {
		t.Fatalf("metered %v and %v, %d and %d functions, of %d", before.Metered, after.Metered, len(before.Functions), len(after.Functions), before.Report.Functions)
	}
	for i, f := range before.Functions {
		g := after.Functions[i]
		g.Index--
		if g.Source = f.Source; f != g {
			t.Errorf("before metering %+v, after %+v", f, g)
		}
	}
}

func TestInspectFunction(t *testing.T) {
	in, err := Inspect(assemble(t, within(`(func $f (param f64) (result f64)
		(memory.fill (i32.const 0) (i32.const 0) (i32.const 8))
		(loop (if (i32.const 1) (then (drop (i64.div_s (i64.const 1) (i64.const 1))))))
		(f64.div (local.get 0) (call $f (local.get 0))))`, "")), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := in.Functions[0]
	if got.Name != "f" || got.Index != 0 || got.Checks != 2 || got.Loops != 1 || got.Stack == 0 || got.NaNs != 1 || got.Bulk != 1 || got.Metered <= got.Source {
		t.Errorf("got %+v", got)
	}
	if got.Entry != 1+32+6+8 { // with what follows the loop
		t.Errorf("the first block costs %d", got.Entry)
	}
	if got.Most < 16 {
		t.Errorf("the most expensive block costs %d", got.Most)
	}
}

func TestInspectRefuses(t *testing.T) {
	var e *Error
	if _, err := Inspect([]byte("text"), nil); !errors.As(err, &e) {
		t.Errorf("text: %v", err)
	}
	if _, err := Inspect(assemble(t, within("", "(atomic.fence)")), nil); !errors.As(err, &e) || e.Name != "main" {
		t.Errorf("threads: %v", err)
	}
}
