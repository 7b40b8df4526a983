package meter_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/countersign/countersign/internal/wasm"
	"github.com/countersign/countersign/meter"
)

// chooser makes up functions that select among more values than there are
// registers, between calls, which wazero's compiler does not always get right.
type chooser struct {
	t        wasm.ValType
	convert  []byte // of an i32
	negate   []byte
	mix      []byte // two values to one, in which each counts
	bits     []byte // of a value, as an i64
	selected []byte
}

var choosers = map[string]chooser{
	"f32":          {wasm.F32, []byte{0xb3}, []byte{0x8c}, []byte{0x43, 0, 0, 0xc0, 0x3f, 0x94, 0x92}, []byte{0xbc, 0xad}, []byte{0x1b}},
	"f64":          {wasm.F64, []byte{0xb8}, []byte{0x9a}, []byte{0x44, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0xa2, 0xa0}, []byte{0xbd}, []byte{0x1b}},
	"v128":         {wasm.V128, []byte{0xfd, 0x11}, []byte{0xfd, 0xa1, 1}, []byte{0xfd, 0xae, 1, 0x41, 1, 0xfd, 0xab, 1}, []byte{0xfd, 0x1d, 1}, []byte{0x1b}},
	"f64, typed":   {wasm.F64, []byte{0xb8}, []byte{0x9a}, []byte{0x44, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0xa2, 0xa0}, []byte{0xbd}, []byte{0x1c, 1, 0x7c}},
	"i64, as ever": {wasm.I64, []byte{0xad}, []byte{0x42, 1, 0x7c}, []byte{0x42, 3, 0x7e, 0x7c}, nil, []byte{0x1b}},
}

// program is a module whose function f takes a condition.
func (c *chooser) program(r *rand.Rand) []byte {
	locals, steps := 10+r.IntN(16), 4+r.IntN(60)
	var code []byte
	get := func(l int) { code = wasm.AppendUnsigned(append(code, byte(wasm.OpLocalGet)), uint64(l)) }
	set := func(l int) { code = wasm.AppendUnsigned(append(code, byte(wasm.OpLocalSet)), uint64(l)) }
	some := func() int { return 1 + r.IntN(locals) }
	for l := 1; l <= locals; l++ {
		get(0)
		code = append(append(code, 0x41, byte(l), 0x6a), c.convert...) // the condition and l
		set(l)
	}
	for range steps {
		switch r.IntN(6) {
		case 0, 1:
			get(some())
			get(some())
			get(0)
			code = append(code, c.selected...)
			if r.IntN(2) == 0 {
				code = append(code, byte(wasm.OpCall), 2)
			}
			set(some())
		case 2:
			get(some())
			code = append(code, byte(wasm.OpCall), 2)
			set(some())
		case 3:
			code = append(code, byte(wasm.OpCall), 1)
		default:
			get(some())
			code = append(code, c.negate...)
			set(some())
		}
	}
	get(1)
	for l := 2; l <= locals; l++ {
		get(l)
		code = append(code, c.mix...)
	}
	code = append(append(code, c.bits...), byte(wasm.OpEnd))
	m := wasm.Module{
		Types: []wasm.FuncType{{Params: []wasm.ValType{wasm.I32}, Results: []wasm.ValType{wasm.I64}}, {},
			{Params: []wasm.ValType{c.t}, Results: []wasm.ValType{c.t}}},
		Funcs:   []uint32{0, 1, 2},
		Exports: []wasm.Export{{Name: "f", Kind: wasm.ExportFunc}},
		Code: []wasm.Body{{Locals: []wasm.Local{{Count: uint32(locals), Type: c.t}}, Code: code}, {Code: []byte{byte(wasm.OpEnd)}},
			{Code: []byte{byte(wasm.OpLocalGet), 0, byte(wasm.OpEnd)}}},
	}
	return m.Encode()
}

// TestForWazero compares what wazero's compiler makes of programs full of selects
// with what its interpreter does, as they are and as ForWazero has them.
func TestForWazero(t *testing.T) {
	const seeds = 400
	ctx := context.Background()
	engines := map[string]wazero.Runtime{"compiler": wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig()),
		"interpreter": wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())}
	run := func(engine string, code []byte) (got [2]uint64) {
		m, err := engines[engine].InstantiateWithConfig(ctx, code, wazero.NewModuleConfig().WithName(""))
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close(ctx)
		for condition := range uint64(2) {
			values, err := m.ExportedFunction("f").Call(ctx, condition)
			if err != nil {
				t.Fatal(err)
			}
			got[condition] = values[0]
		}
		return got
	}
	wrong := 0
	for name, c := range choosers {
		others := 0
		for seed := range uint64(seeds) {
			code := c.program(rand.New(rand.NewPCG(seed, 0)))
			other, err := meter.ForWazero(code)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			want := run("interpreter", code)
			for _, engine := range []string{"compiler", "interpreter"} {
				if got := run(engine, other); got != want {
					t.Errorf("%s: seed %d gives %x on wazero's %s, not %x", name, seed, got, engine, want)
				}
			}
			if !bytes.Equal(other, code) {
				others++
			}
			if run("compiler", code) != want {
				wrong++
			}
		}
		if least := seeds * 9 / 10; c.t == wasm.I64 && others > 0 || c.t != wasm.I64 && others < least { // some select nothing
			t.Errorf("%s: %d of %d programs become others", name, others, seeds)
		}
	}
	for _, e := range engines {
		e.Close(ctx)
	}
	t.Logf("without ForWazero %d of %d programs go wrong", wrong, (len(choosers)-1)*seeds)
	if wrong == 0 && runtime.GOARCH == "amd64" {
		t.Error("wazero's compiler gets every select right: ForWazero has done its work, and can go")
	}
}
