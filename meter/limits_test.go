package meter

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/wasm"
)

// one gives a module a function of some code.
func one(code ...[]byte) func(m *wasm.Module) {
	return func(m *wasm.Module) { m.Code[0].Code = append(slices.Concat(code...), opEnd) }
}

// sized has so much data that the metered module has size bytes.
func sized(t *testing.T, size int) []byte {
	data := make([]byte, size/2)
	for range 2 {
		source := bare(func(m *wasm.Module) { m.Segs = []wasm.Segment{{Data: data}} })
		if len(source) > wasm.MaxModule {
			return source
		}
		out, _, err := Rewrite(source, &Options{Library: true})
		if err != nil {
			return source
		}
		data = make([]byte, len(data)+size-len(out))
	}
	return bare(func(m *wasm.Module) { m.Segs = []wasm.Segment{{Data: data}} })
}

// limits are those of docs/spec/meter.md: a module that has the most, less what
// metering adds, and what is said of one that has more.
var limits = []struct {
	name string
	most int
	make func(t *testing.T, n int) []byte
	over string
}{
	{"bytes", 16 << 20, sized, "larger than 16 MiB"},
	{"functions", 65535 - addedFuncs, change(func(m *wasm.Module, n int) {
		m.Funcs, m.Code = make([]uint32, n), slices.Repeat(m.Code, n)
	}), "no room for what metering adds"},
	{"types", 65536 - 1, change(func(m *wasm.Module, n int) { m.Types = make([]wasm.FuncType, n) }), "65537 types and 0 data segments, at most 65536"},
	{"imports", 1024 - 1, change(func(m *wasm.Module, n int) {
		m.Imports = slices.Repeat([]wasm.Import{{Module: "m", Name: "f"}}, n)
	}), "no room for what metering adds"},
	{"globals", 1024 - addedGlobals, change(func(m *wasm.Module, n int) {
		m.Globals = slices.Repeat([]wasm.Global{{Type: wasm.I32, Init: wasm.Const{opI32Const, 0, opEnd}}}, n)
	}), "no room for what metering adds"},
	{"exports", 65536 - addedGlobals, change(func(m *wasm.Module, n int) {
		for i := range n {
			m.Exports = append(m.Exports, wasm.Export{Name: fmt.Sprint(i)})
		}
	}), "no room for what metering adds"},
	{"tables", 64, change(func(m *wasm.Module, n int) {
		m.Tables = slices.Repeat([]wasm.Table{{Type: wasm.FuncRef, Limits: wasm.Limits{Max: -1}}}, n)
	}), "65 tables, at most 64"},
	{"elements of a table", 1 << 20, change(func(m *wasm.Module, n int) {
		m.Tables = []wasm.Table{{Type: wasm.FuncRef, Limits: wasm.Limits{Min: uint32(n), Max: -1}}}
	}), "table of 1048577, at most 1048576"},
	{"element segments", 65536, change(func(m *wasm.Module, n int) {
		m.Elems = slices.Repeat([]wasm.Elem{{Mode: wasm.ElemPassive, Type: wasm.FuncRef}}, n)
	}), "65537 element segments, at most 65536"},
	{"data segments", 100000, change(func(m *wasm.Module, n int) { m.Segs = make([]wasm.Segment, n) }), "100001 data segments, at most 100000"},
	{"data segments, and an empty one", 100000 - 1, change(func(m *wasm.Module, n int) {
		m.HasDataCount, m.Segs = true, slices.Repeat([]wasm.Segment{{Expr: wasm.Const{opI32Const, 0, opEnd}}}, n)
		one([]byte{opMisc, 9, 0})(m)
	}), "100001 data segments, at most 65536 and 100000"},
	{"locals", 49993, change(func(m *wasm.Module, n int) { m.Code[0].Locals = []wasm.Local{{Count: uint32(n), Type: wasm.F64}} }), "49994 parameters and locals, at most 49993"},
	{"operands", 50000, change(func(m *wasm.Module, n int) { one(bytes.Repeat([]byte{opI32Const, 0}, n), []byte{opUnreachable})(m) }), "more than 50000 operands on the stack"},
	{"nesting", 1000, change(func(m *wasm.Module, n int) { one(bytes.Repeat(blockOpen, n), bytes.Repeat([]byte{opEnd}, n))(m) }), "blocks nested deeper than 1000"},
	{"bytes of a body", 1 << 20, change(func(m *wasm.Module, n int) { one(bytes.Repeat([]byte{byte(wasm.OpNop)}, n-1))(m) }), "function body of 1048577 bytes, at most 1048576"},
	{"labels of br_table", 65536, change(func(m *wasm.Module, n int) {
		one([]byte{opI32Const, 0, byte(wasm.OpBrTable)}, wasm.AppendUnsigned(nil, uint64(n)), make([]byte, n+1))(m)
	}), "65537 labels, at most 65536"},
	{"parameters", 1000, change(func(m *wasm.Module, n int) { m.Types[0].Params = slices.Repeat([]wasm.ValType{wasm.I64}, n) }), "1001 values in a signature, at most 1000"},
	{"results", 1000, change(func(m *wasm.Module, n int) {
		m.Types[0].Results = slices.Repeat([]wasm.ValType{wasm.I64}, n)
		one([]byte{opUnreachable})(m)
	}), "1001 values in a signature, at most 1000"},
	{"instructions of a constant expression", 1000, change(func(m *wasm.Module, n int) { // their number is odd, so 999 and 1001
		pairs := bytes.Repeat([]byte{opI32Const, 0, byte(wasm.OpI32Add)}, (n-1)/2)
		m.Segs = []wasm.Segment{{Expr: slices.Concat([]byte{opI32Const, 0}, pairs, []byte{opEnd})}}
	}), "constant expression of more than 1000 instructions"},
	{"bytes of a name", 1024, change(func(m *wasm.Module, n int) { m.Exports = []wasm.Export{{Name: strings.Repeat("n", n)}} }), "name of 1025 bytes, at most 1024"},
}

func change(by func(m *wasm.Module, n int)) func(*testing.T, int) []byte {
	return func(_ *testing.T, n int) []byte { return bare(func(m *wasm.Module) { by(m, n) }) }
}

// TestLimits: what has just as much as is allowed is metered, and passes the
// check; what has one more is refused for that.
func TestLimits(t *testing.T) {
	for _, l := range limits {
		out, _, err := Rewrite(l.make(t, l.most), &Options{Library: true})
		if err != nil {
			t.Errorf("%d %s: %v", l.most, l.name, err)
			continue
		}
		if _, err := Check(out, &Options{Library: true}); err != nil {
			t.Errorf("%d %s: %v", l.most, l.name, err)
		}
		more := l.most + 1
		if _, _, err := Rewrite(l.make(t, more), &Options{Library: true}); err == nil || !strings.Contains(err.Error(), l.over) {
			t.Errorf("%d %s: got %v, want %q", more, l.name, err, l.over)
		}
	}
}
