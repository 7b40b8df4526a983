package meter_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/countersign/countersign/meter"
)

// sum exports a function that adds the numbers from 1 to its argument:
//
//	(module (func (export "sum") (param i32) (result i64) (local i64)
//	  (loop
//	    (local.set 1 (i64.add (local.get 1) (i64.extend_i32_u (local.get 0))))
//	    (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
//	  (local.get 1)))
const sum = "0061736d0100000001060160017f017e030201000707010373756d00000a1c011a01017e034020012000ad7c2101200041016b22000d000b20010b"

// tank is the host's side of fuel: docs/spec/meter.md, "The refill rule".
type tank struct {
	limit, slice, granted int64
	empty                 bool
}

// refill is asked by the module with its balance, which is negative by what it
// used beyond what it was granted; what it returns is added.
func (t *tank) refill(_ context.Context, balance int64) int64 {
	used := t.granted - balance
	if used > t.limit {
		t.empty = true
		return 0 // which ends the run in a trap
	}
	grant := max(1, min(t.slice, t.limit-used)-balance)
	t.granted += grant
	return grant
}

// Metering gives wazero what it does not have: fuel. A library is run with a
// limit, in slices between which the host has the processor, and the same call
// uses the same fuel on every engine.
func Example_wazero() {
	source, err := hex.DecodeString(sum)
	if err != nil {
		fmt.Println(err)
		return
	}
	module, _, err := meter.Rewrite(source, &meter.Options{Library: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, limit := range []int64{1_000_000, 300} {
		if err := run(module, &tank{limit: limit, slice: 100}); err != nil {
			fmt.Printf("limit %d: %v\n", limit, err)
		}
	}
	// Output:
	// sum is 5050, 401 fuel used
	// limit 300: out of fuel
}

func run(module []byte, t *tank) error {
	ctx := context.Background()
	runtime := wazero.NewRuntime(ctx)
	defer runtime.Close(ctx)
	_, err := runtime.NewHostModuleBuilder("countersign").NewFunctionBuilder().WithFunc(t.refill).Export("refill").Instantiate(ctx)
	if err != nil {
		return fmt.Errorf("instantiating the host: %w", err)
	}
	if module, err = meter.ForWazero(module); err != nil {
		return fmt.Errorf("preparing the module: %w", err)
	}
	m, err := runtime.Instantiate(ctx, module)
	if err != nil {
		return fmt.Errorf("instantiating the module: %w", err)
	}
	fuel := m.ExportedGlobal(meter.FuelGlobal).(api.MutableGlobal)
	result, err := m.ExportedFunction("sum").Call(ctx, 100)
	used := t.granted - int64(fuel.Get())
	switch {
	case t.empty || used > t.limit:
		return errors.New("out of fuel")
	case err != nil:
		return fmt.Errorf("running the module: %w", err)
	}
	fmt.Printf("sum is %d, %d fuel used\n", result[0], used)
	return nil
}
