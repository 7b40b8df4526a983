package main

import (
	"errors"

	"github.com/countersign/countersign/internal/wasm"
)

// moved returns a module whose code lies a little further on in memory, by what
// computes nothing at the start of the first function, which is not a hot one.
//
// Where an engine puts a loop moves its time by up to a fifth, either way, and
// metering moves every loop. So that chance is not taken for the cost of metering,
// kernels are measured in several places.
func moved(source []byte) ([]byte, error) {
	m, err := wasm.Decode(source)
	if err != nil {
		return nil, err
	}
	if len(m.Globals) == 0 || m.Globals[0].Type != wasm.I32 || !m.Globals[0].Mutable {
		return nil, errors.New("no stack pointer to move code with")
	}
	var code []byte
	for _, op := range []byte{0x6a, 0x6b} { // i32.add and back, which engines do not see through
		code = append(code, byte(wasm.OpGlobalGet), 0, byte(wasm.OpI32Const), 1, op, byte(wasm.OpGlobalSet), 0)
	}
	m.Code[0].Code = append(code, m.Code[0].Code...)
	return m.Encode(), nil
}
