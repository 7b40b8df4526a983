package meter

import "github.com/countersign/countersign/internal/wasm"

// CostTable names the table of costs: docs/spec/meter.md, "Cost table v1".
const CostTable = "v1"

// Dynamic and fixed costs that are not one instruction's.
const (
	costEntry    = 1    // of a function body
	costHostCall = 128  // besides the call
	costPage     = 1024 // of memory.grow, a page
	bulkShift    = 3
)

var costs = buildCosts()

// cost returns the static fuel of an instruction.
func cost(op wasm.Op) uint64 {
	if int(op) < len(costs) {
		return uint64(costs[op])
	}
	if op <= 0xfc0007 { // saturating conversions
		return 2
	}
	return 16 // memory.init, data.drop, memory.copy, memory.fill
}

func buildCosts() (t [256]uint8) {
	for i := range t {
		t[i] = 1
	}
	set := func(cost uint8, ops ...wasm.Op) {
		for _, op := range ops {
			t[op] = cost
		}
	}
	span := func(cost uint8, from, to wasm.Op) {
		for op := from; op <= to; op++ {
			t[op] = cost
		}
	}
	set(0, wasm.OpBlock, wasm.OpLoop, wasm.OpEnd, wasm.OpElse, wasm.OpNop, wasm.OpDrop, wasm.OpUnreachable,
		wasm.OpLocalGet, wasm.OpLocalSet, wasm.OpLocalTee, wasm.OpI32Const, wasm.OpI64Const, wasm.OpF32Const, wasm.OpF64Const)
	span(2, 0x28, 0x3e) // loads, stores
	set(2, wasm.OpBrTable, wasm.OpSelect, wasm.OpMemorySize)
	set(3, wasm.OpCall)
	set(5, wasm.OpCallIndirect)
	set(128, wasm.OpMemoryGrow)
	span(8, 0x6d, 0x70)            // i32 div, rem
	span(16, 0x7f, 0x82)           // i64 div, rem
	set(8, 0x95, 0xa3)             // float div
	span(12, 0x8d, 0x91)           // f32 ceil, floor, trunc, nearest, sqrt
	span(12, 0x9b, 0x9f)           // f64 the same
	set(2, 0x96, 0x97, 0xa4, 0xa5) // float min, max
	span(2, 0xa8, 0xab)            // i32 from float
	span(2, 0xae, 0xbb)            // i64 from float, float from integer, demote, promote
	return t
}
