package meter

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/wasm"
	"github.com/countersign/countersign/payloads"
)

// FuzzRewrite makes sure that nothing panics, that what is refused is refused
// by an *Error, and that what comes out is whole and cannot be metered again.
func FuzzRewrite(f *testing.F) {
	f.Add(payloads.FactorSource)
	f.Add(payloads.LoopSource)
	files, err := filepath.Glob("testdata/golden/*.wat")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(assemble(f, string(src)))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		late := time.AfterFunc(time.Minute, func() { panic(fmt.Sprintf("still busy after a minute with %x", source)) })
		defer late.Stop()
		out, _, err := Rewrite(source, nil)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("refused by %T: %v", err, err)
			}
			return
		}
		if len(out) > 16*len(source)+4096 {
			t.Fatalf("%d bytes became %d", len(source), len(out))
		}
		m, err := wasm.Decode(out)
		if err != nil {
			t.Fatalf("the output does not decode: %v", err)
		}
		for i := range m.Code {
			in := m.Instrs(i)
			for v := (wasm.Instr{}); in.Next(&v); {
			}
			if err := in.Err(); err != nil {
				t.Fatalf("the output's code does not decode: %v", err)
			}
		}
		if _, _, err := Rewrite(out, nil); err == nil {
			t.Fatal("the output was metered again")
		}
	})
}

// manyFactors is a module of the size of a real program: factor's code many times
// over.
func manyFactors(b testing.TB) []byte {
	m, err := wasm.Decode(payloads.FactorSource)
	if err != nil {
		b.Fatal(err)
	}
	code, funcs := m.Code, m.Funcs
	for range 300 {
		m.Code, m.Funcs = append(m.Code, code...), append(m.Funcs, funcs...)
	}
	return m.Encode()
}

func BenchmarkRewrite(b *testing.B) {
	source := manyFactors(b)
	b.SetBytes(int64(len(source)))
	for b.Loop() {
		if _, _, err := Rewrite(source, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCheck checks a module of the size of a real program.
func BenchmarkCheck(b *testing.B) {
	module := checked(b, "factor", manyFactors(b), Options{})
	b.SetBytes(int64(len(module)))
	for b.Loop() {
		if _, err := Check(module, nil); err != nil {
			b.Fatal(err)
		}
	}
}
