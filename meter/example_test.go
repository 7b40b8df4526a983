package meter_test

import (
	"errors"
	"fmt"

	"github.com/countersign/countersign/meter"
	"github.com/countersign/countersign/payloads"
)

func ExampleRewrite() {
	module, report, err := meter.Rewrite(payloads.FactorSource, &meter.Options{MemoryPages: 16})
	if err != nil {
		fmt.Println(err)
		return
	}
	metered, _ := meter.Metered(module)
	fmt.Println(metered, report.MemoryPages, report.Checks > 0)
	// Output: true 16 true
}

// A module that is refused says what for, and where.
func ExampleRewrite_refused() {
	_, _, err := meter.Rewrite(payloads.FactorSource, &meter.Options{MemoryPages: 1})
	var refused *meter.Error
	fmt.Println(errors.As(err, &refused), err)
	// Output: true the module needs 2 pages of memory, 1 are allowed, at offset 0x122
}

// Whoever gets a metered module from a stranger makes sure of it.
func ExampleCheck() {
	checked, err := meter.Check(payloads.FactorModule, &meter.Options{MemoryPages: payloads.Pages})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(checked.Report.Functions, "functions are metered by the rules")

	_, err = meter.Check(payloads.FactorSource, nil)
	fmt.Println(err)
	// Output:
	// 16 functions are metered by the rules
	// checking the metering: the module is not metered: its last import is not "countersign"."refill", at offset 0x0
}

func ExampleInspect() {
	in, err := meter.Inspect(payloads.FactorModule, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range in.Functions {
		if f.Name == "dummy" {
			fmt.Printf("function %d (%s): %d block, %d fuel, pays %d of the stack\n", f.Index, f.Name, f.Blocks, f.Entry, f.Stack)
		}
	}
	// Output: function 19 (dummy): 1 block, 1 fuel, pays 0 of the stack
}
