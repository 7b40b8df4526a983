package main

import (
	"errors"
	"slices"

	"github.com/countersign/countersign/internal/wasm"
)

// moved returns a module whose code lies a little further on in memory, by what
// computes nothing at the start of the first function, behind which the others
// lie, and of main. Neither is called often.
//
// Where an engine puts a loop moves its time by up to a third, either way, and
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
	found := false
	for i := range m.Code {
		main := m.Names.Funcs[uint32(len(m.Imports)+i)] == "__original_main"
		found = found || main
		if i == 0 || main {
			m.Code[i].Code = slices.Concat(code, m.Code[i].Code)
		}
	}
	if !found {
		return nil, errors.New("no function __original_main to move code in")
	}
	return m.Encode(), nil
}
