package main

import (
	"github.com/countersign/countersign/internal/wasm"
)

// withoutImports gives every imported function of a module a body that traps,
// so that the code of modules can be tried whose imports are refused.
func withoutImports(source []byte) ([]byte, error) {
	m, err := wasm.Decode(source)
	if err != nil {
		return nil, err
	}
	var funcs []uint32
	var code []wasm.Body
	for _, im := range m.Imports {
		funcs = append(funcs, im.Type)
		code = append(code, wasm.Body{Code: []byte{byte(wasm.OpUnreachable), byte(wasm.OpEnd)}})
	}
	m.Imports, m.Funcs, m.Code = nil, append(funcs, m.Funcs...), append(code, m.Code...)
	return m.Encode(), nil
}
