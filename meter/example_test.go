package meter_test

import (
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
