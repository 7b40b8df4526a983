package wasm

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/countersign/countersign/payloads"
)

// everything has a little of all that the format has.
func everything() *Module {
	zero := []byte{byte(OpI32Const), 0, byte(OpEnd)}
	return &Module{
		Types:   []FuncType{{}, {Params: []ValType{I32, I64, F32, F64, V128, FuncRef, ExternRef}, Results: []ValType{F64, I32}}},
		Imports: []Import{{Module: "m", Name: "ü", Type: 0}},
		Funcs:   []uint32{0, 1},
		Tables:  []Table{{FuncRef, Limits{Min: 3, Max: 300}}, {ExternRef, Limits{Max: -1}}},
		Memory:  &Limits{Min: 1, Max: -1},
		Globals: []Global{{Type: I32, Mutable: true, Init: zero}, {Type: I32, Init: []byte{byte(OpI32Const), 0x7f, byte(OpEnd)}},
			{Type: FuncRef, Init: RefFunc(2)}, {Type: I64, Init: []byte{byte(OpI64Const), 1, byte(OpI64Const), 2, byte(OpI64Add), byte(OpEnd)}}},
		Exports: []Export{{Name: "memory", Kind: ExportMemory}, {Name: "", Kind: ExportFunc, Index: 2}, {Name: "g", Kind: ExportGlobal, Index: 1}, {Name: "t", Kind: ExportTable}},
		Elems: []Elem{
			{Expr: zero, Type: FuncRef, Funcs: []uint32{1, 2, 1}}, {Expr: zero, Type: FuncRef, Funcs: []uint32{}},
			{Expr: zero, Type: FuncRef, Exprs: []Const{RefFunc(300 % 3), {byte(OpRefNull), byte(FuncRef), byte(OpEnd)}}},
			{Mode: ElemActive, Table: 1, Expr: zero, Type: ExternRef, Exprs: []Const{}},
			{Mode: ElemPassive, Type: FuncRef, Funcs: []uint32{2}}, {Mode: ElemPassive, Type: ExternRef, Exprs: []Const{{byte(OpRefNull), byte(ExternRef), byte(OpEnd)}}},
			{Mode: ElemDeclared, Type: FuncRef, Funcs: []uint32{0}}, {Mode: ElemDeclared, Type: FuncRef, Exprs: []Const{RefFunc(1)}},
		},
		Start:        new(uint32),
		Code:         []Body{{Locals: []Local{}, Code: []byte{byte(OpEnd)}}, {Locals: []Local{{200, I64}, {0, F32}}, Code: []byte{byte(OpUnreachable), byte(OpEnd)}}},
		Segs:         []Segment{{Expr: zero, Data: bytes.Repeat([]byte{7}, 300)}, {Data: []byte{}}},
		HasDataCount: true,
		Names:        Names{Module: "all", Funcs: map[uint32]string{2: "two", 0: "zero", 70000: "far"}},
	}
}

// bare is a module without what says where in the file things stand. Sections
// that are empty count as absent.
func bare(m *Module) *Module {
	b := *m
	b.Data = nil
	b.Types, b.Funcs, b.Globals, b.Segs = orNil(m.Types), orNil(m.Funcs), orNil(m.Globals), orNil(m.Segs)
	limits := func(l *Limits) *Limits {
		if l == nil {
			return nil
		}
		return &Limits{Min: l.Min, Max: l.Max}
	}
	b.Memory, b.declared = limits(m.Memory), nil
	b.Tables = append([]Table(nil), m.Tables...)
	for i := range b.Tables {
		b.Tables[i].Offset = 0
	}
	b.Imports = append([]Import(nil), m.Imports...)
	for i := range b.Imports {
		b.Imports[i].Offset = 0
	}
	b.Exports = append([]Export(nil), m.Exports...)
	for i := range b.Exports {
		b.Exports[i].Offset = 0
	}
	b.Elems = append([]Elem(nil), m.Elems...)
	for i := range b.Elems {
		b.Elems[i].Offset = 0
	}
	b.Code = append([]Body(nil), m.Code...)
	for i := range b.Code {
		b.Code[i].Offset = 0
	}
	return &b
}

func orNil[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return s
}

// again encodes a module, decodes that, and makes sure that both say the same.
func again(t *testing.T, m *Module) []byte {
	t.Helper()
	out := m.Encode()
	n, err := Decode(out)
	if err != nil {
		t.Fatalf("decoding what was encoded: %v", err)
	}
	if !reflect.DeepEqual(bare(m), bare(n)) {
		t.Fatalf("encoded and decoded, it is another module: %x", out)
	}
	if !bytes.Equal(n.Encode(), out) {
		t.Fatal("encoded twice, the bytes differ")
	}
	return out
}

func TestRoundTrip(t *testing.T) {
	again(t, everything())
	for name, module := range map[string][]byte{"factor": payloads.FactorModule, "loop": payloads.LoopModule} {
		m, err := Decode(module)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again(t, m), module) {
			t.Errorf("%s: a metered module is our encoding, and changes when it is encoded again", name)
		}
	}
	for _, source := range [][]byte{payloads.FactorSource, payloads.LoopSource} {
		m, err := Decode(source)
		if err != nil {
			t.Fatal(err)
		}
		again(t, m)
	}
}

func TestAppendSigned(t *testing.T) {
	for _, v := range []int64{0, 1, -1, 63, 64, -64, -65, 1<<31 - 1, -1 << 31, 1<<63 - 1, -1 << 63} {
		b := AppendSigned(nil, v)
		r := reader{data: b, end: len(b)}
		if got := r.signed(64); r.err != nil || got != v || r.left() > 0 {
			t.Errorf("%d: %x is read as %d (%v)", v, b, got, r.err)
		}
		if n := len(b); n > 1 && (b[n-1] == 0 && b[n-2]&0x40 == 0 || b[n-1] == 0x7f && b[n-2]&0x40 != 0) {
			t.Errorf("%d: %x is longer than need be", v, b)
		}
	}
}

// FuzzDecode makes sure that decoding never panics, that what decodes keeps its
// meaning when it is encoded, and that what it says of code is in the file.
func FuzzDecode(f *testing.F) {
	for _, seed := range [][]byte{payloads.FactorSource, payloads.FactorModule, payloads.LoopSource, everything().Encode()} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode(data)
		if err != nil {
			if e, ok := err.(*Error); !ok || e.Offset < 0 || e.Offset > len(data) {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		again(t, m)
		for i := range m.Code {
			in, at := m.Instrs(i), m.Code[i].Offset
			for v := (Instr{}); in.Next(&v); at = v.End {
				if v.Start != at || v.End <= v.Start || !v.Op.Accepted() {
					t.Fatalf("%s from %d to %d, after %d", v.Op, v.Start, v.End, at)
				}
			}
			if err := in.Err(); err == nil && at != m.Code[i].Offset+len(m.Code[i].Code) {
				t.Fatalf("function %d ends at %d of %d", i, at, len(m.Code[i].Code))
			}
		}
	})
}
