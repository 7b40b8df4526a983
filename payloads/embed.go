// Package payloads embeds the built sample payloads, for tests and tools.
// Each has its source beside it; payloads/build.sh builds them again.
package payloads

import _ "embed"

// The seed computation: factoring by trial division.
var (
	//go:embed factor/factor.wasm
	FactorSource []byte
	//go:embed factor/factor.metered.wasm
	FactorModule []byte
)

// A mixer that can be handed on, on which resuming is tested.
var (
	//go:embed steps/steps.wasm
	StepsSource []byte
	//go:embed steps/steps.metered.wasm
	StepsModule []byte
)

// An endless loop, on which kill switches are tested.
var (
	//go:embed hostile/loop/loop.wasm
	LoopSource []byte
	//go:embed hostile/loop/loop.metered.wasm
	LoopModule []byte
)

// A recursion without an end, which traps.
var (
	//go:embed hostile/recursion/recursion.wasm
	RecursionSource []byte
	//go:embed hostile/recursion/recursion.metered.wasm
	RecursionModule []byte
)

// DemoNumbers is the demo's input, one decimal number a line.
//
//go:embed demo-numbers.txt
var DemoNumbers []byte

// Pages is the memory maximum, in pages of 64 KiB, of the modules above.
const Pages = 16
