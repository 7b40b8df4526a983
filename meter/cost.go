package meter

import "github.com/countersign/countersign/internal/wasm"

// CostTable names the table of costs: docs/spec/meter.md, "Cost table v1".
const CostTable = "v1"

// Dynamic and fixed costs that are not one instruction's.
const (
	costEntry    = 1    // of a function body
	costHostCall = 128  // of an imported function, besides the call
	costPage     = 1024 // of memory.grow, a page
	costElement  = 1    // of bulk operations on tables and table.grow, an element
	bulkShift    = 3    // of bulk operations on memory: bytes shifted right are fuel
)

var (
	costs       = buildCosts()
	vectorCosts = buildVectorCosts()
)

// cost returns the static fuel of an instruction.
func cost(op wasm.Op) uint64 {
	number := op & 0xffff
	switch {
	case int(op) < len(costs):
		return uint64(costs[op])
	case op > 0xfd0000:
		return uint64(vectorCosts[number&0xff])
	case op == 0xfd0000: // v128.load
		return 2
	case number <= 7: // saturating conversions
		return 2
	case op == wasm.OpTableSize:
		return 2
	case op == wasm.OpTableGrow:
		return 128
	}
	return 32 // bulk operations, data.drop, elem.drop
}

func buildVectorCosts() (t [256]uint8) {
	for i := range t {
		t[i] = 1
	}
	span := func(cost uint8, from, to int) {
		for op := from; op <= to; op++ {
			t[op] = cost
		}
	}
	span(2, 0x00, 0x0b) // loads, store
	t[0x0c] = 0         // const
	span(2, 0x0d, 0x0e) // shuffle, swizzle
	span(2, 0x15, 0x22) // lanes
	span(3, 0x54, 0x5b) // lane loads and stores
	span(2, 0x5c, 0x5f) // loads with zeros, demote, promote
	t[0x62] = 4         // popcnt
	span(2, 0x67, 0x6a) // rounding
	t[0x74], t[0x75], t[0x7a], t[0x94] = 2, 2, 2, 2
	span(2, 0x6b, 0x6d) // byte shifts
	t[0xcc], t[0xd5] = 2, 4
	t[0xe3], t[0xef], t[0xe7], t[0xf3] = 12, 12, 8, 8  // sqrt, div
	for _, op := range []int{0xe8, 0xe9, 0xf4, 0xf5} { // min, max
		t[op] = 3
	}
	span(3, 0xf8, 0xff) // conversions
	return t
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
	set(0, wasm.OpBlock, wasm.OpLoop, wasm.OpEnd, wasm.OpElse, wasm.OpBr, wasm.OpReturn, wasm.OpNop, wasm.OpDrop, wasm.OpUnreachable,
		wasm.OpLocalGet, wasm.OpLocalSet, wasm.OpLocalTee, wasm.OpI32Const, wasm.OpI64Const, wasm.OpF32Const, wasm.OpF64Const)
	span(2, 0x28, 0x3e) // loads, stores
	set(2, wasm.OpBrTable, wasm.OpSelect, wasm.OpSelectT, wasm.OpMemorySize, wasm.OpTableGet, wasm.OpTableSet)
	set(6, wasm.OpCall)
	set(12, wasm.OpCallIndirect)
	set(128, wasm.OpMemoryGrow)
	span(8, 0x6d, 0x70)            // i32 div, rem
	span(16, 0x7f, 0x82)           // i64 div, rem
	set(8, 0x95, 0xa3)             // float div
	span(2, 0x8d, 0x90)            // f32 ceil, floor, trunc, nearest
	span(2, 0x9b, 0x9e)            // f64 the same
	set(12, 0x91, 0x9f)            // sqrt
	set(2, 0x96, 0x97, 0xa4, 0xa5) // float min, max
	span(2, 0xa8, 0xab)            // i32 from float
	span(2, 0xae, 0xbb)            // i64 from float, float from integer, demote, promote
	return t
}
