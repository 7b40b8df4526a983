package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/countersign/countersign/internal/wasm"
)

// makeProgram makes the source of a seed; nil where it is not valid for us:
// Binaryen has rules of its own for references.
func makeProgram(dir string, seed int) (*program, error) {
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	if seed%2 != 0 {
		return adapted(generate(r), r), nil
	}
	source, err := binaryen(dir, seed)
	if err != nil {
		return nil, err
	}
	m, err := wasm.Decode(source)
	if err == nil {
		err = m.Validate()
	}
	if err != nil {
		return nil, nil
	}
	if m, err = wasm.Decode(withoutSigns(m)); err != nil {
		return nil, err
	}
	imports(m)
	return adapted(m, r), nil
}

// binaryen makes a module of 2.0's features but references, as what it makes with
// them is often not valid.
func binaryen(dir string, seed int) ([]byte, error) {
	in, out := filepath.Join(dir, "seed"), filepath.Join(dir, "module.wasm")
	if err := os.WriteFile(in, seedBytes(seed), 0o600); err != nil {
		return nil, err
	}
	args := strings.Fields("--translate-to-fuzz --mvp-features --enable-simd --enable-bulk-memory --enable-sign-ext --enable-nontrapping-float-to-int --enable-mutable-globals --enable-multivalue")
	if text, err := exec.Command("wasm-opt", append(args, in, "-o", out)...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("wasm-opt: %w\n%s", err, text)
	}
	return os.ReadFile(out)
}

// seedBytes are 1 to 16 KiB that follow from the seed.
func seedBytes(seed int) []byte {
	var data []byte
	for i := uint64(0); len(data) < 1024<<(seed%5); i++ {
		block := sha256.Sum256(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(seed)), i))
		data = append(data, block[:]...)
	}
	return data
}

// withoutSigns puts an instruction of the same type in the place of each that sets
// the sign of a NaN: whether arithmetic's NaN is made canonical before or after is
// all that the specification leaves open, and meter and wasmtime do not agree on it.
func withoutSigns(m *wasm.Module) []byte {
	code := append([]byte(nil), m.Data...)
	for i := range m.Funcs {
		in := m.Instrs(i)
		for v := (wasm.Instr{}); in.Next(&v); {
			switch v.Op {
			case opF32Neg, opF64Neg:
				code[v.Start]-- // abs
			case opF32Copysign, opF64Copysign:
				code[v.Start]-- // max
			case opF32x4Neg, opF64x2Neg:
				code[v.Start+1]--
			}
		}
	}
	return code
}

// imports keeps the functions that log integers, which come first. The others are
// defined: they log the bits of what they are given, and where they would return
// something they trap.
func imports(m *wasm.Module) {
	kept, log := 0, -1
	for kept < len(m.Imports) && (m.Imports[kept].Name == logI32 || m.Imports[kept].Name == logI64) {
		if m.Imports[kept].Name == logI64 {
			log = kept
		}
		kept++
	}
	var funcs []uint32
	var code []wasm.Body
	for _, im := range m.Imports[kept:] {
		funcs = append(funcs, im.Type)
		code = append(code, wasm.Body{Code: logging(m.Types[im.Type], log)})
	}
	m.Imports, m.Funcs, m.Code = m.Imports[:kept], append(funcs, m.Funcs...), append(code, m.Code...)
}

func logging(t wasm.FuncType, log int) []byte {
	w := &wrapper{}
	for i, p := range t.Params {
		w.bits(wasm.OpLocalGet, uint32(i), p)
	}
	for range w.kinds {
		if log >= 0 {
			w.code = index(w.code, wasm.OpCall, uint32(log))
		} else {
			w.code = append(w.code, byte(wasm.OpDrop))
		}
	}
	if len(t.Results) > 0 {
		w.code = append(w.code, byte(wasm.OpUnreachable))
	}
	return append(w.code, byte(wasm.OpEnd))
}
