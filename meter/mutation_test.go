package meter

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/countersign/countersign/internal/wasm"
)

// span is a run of instructions of a function, or one.
type span struct {
	fn, at, end int
	dead        bool // it cannot run
}

// victim is a metered module to be spoilt, with what metering added to it.
type victim struct {
	m                  *wasm.Module
	opt                Options
	s                  *stripper
	balance            []int  // of every function of the source, -1 where it has none
	added              []span // sequences
	instrs             []span // all of them
	accepted, rejected int
	witnessed          int // rejected by both
}

func newVictim(t *testing.T, source []byte, opt Options) *victim {
	t.Helper()
	m, err := wasm.Decode(checked(t, "victim", source, opt))
	if err != nil {
		t.Fatal(err)
	}
	m.Nesting = wasm.MaxNesting + addedNesting
	v := &victim{m: m, opt: opt, s: &stripper{m: m, out: *m, helpers: map[uint32]helper{}}}
	if err := v.s.find(); err != nil {
		t.Fatal(err)
	}
	v.s.classify()
	v.s.declare()
	for i := range m.Code {
		v.read(i)
	}
	return v
}

func (v *victim) read(i int) {
	var u *unwriter
	if i < int(v.s.funcs) {
		u = v.s.function(i, maxScratch)
		v.balance = append(v.balance, -1)
		if u.local {
			v.balance[i] = int(u.balance)
		}
	}
	in, skip, r, bare := v.m.Instrs(i), 0, reach{live: true}, -1
	for x := (wasm.Instr{}); in.Next(&x); {
		v.instrs = append(v.instrs, span{i, x.Start, x.End, !r.live})
		r.step(&x)
		if u == nil || x.Start < skip {
			continue
		}
		switch {
		case bare < 0 && u.local && x.Op == wasm.OpLocalSet && x.A == u.balance: // the half of a counted loop that is not charged
			bare = x.Start
		case bare >= 0 && x.Op == wasm.OpElse:
			v.added, bare = append(v.added, span{i, bare, x.End, false}), -1
		}
		if bare >= 0 {
			continue
		}
		if n := u.added(v.m.Data[x.Start : v.m.Code[i].Offset+len(v.m.Code[i].Code)]); n > 0 {
			skip = x.Start + n
			v.added = append(v.added, span{i, x.Start, skip, false})
		}
	}
}

// replaced is the module with other code in the place of a span.
func (v *victim) replaced(s span, code ...byte) []byte {
	m := *v.m
	m.Code = slices.Clone(m.Code)
	b := &m.Code[s.fn]
	b.Code = slices.Concat(b.Code[:s.at-b.Offset], code, b.Code[s.end-b.Offset:])
	return m.Encode()
}

// refuses makes sure that a mutant is refused.
func (v *victim) refuses(t *testing.T, module []byte, what string, args ...any) {
	t.Helper()
	if _, err := Check(module, &v.opt); err == nil {
		t.Errorf("accepted: "+what, args...)
		v.accepted++
	}
	v.rejected++
}

// both makes sure that Check and the witness refuse a mutant.
func (v *victim) both(t *testing.T, module []byte, what string, args ...any) {
	t.Helper()
	v.refuses(t, module, what, args...)
	if len(witnessed(module)) == 0 {
		t.Errorf("the witness has nothing against: "+what, args...)
	}
	v.witnessed++
}

// judge has a mutant that may be a metered module, of another source: then the
// witness has nothing to say either.
func (v *victim) judge(t *testing.T, module []byte, what string, args ...any) {
	t.Helper()
	if _, err := Check(module, &v.opt); err != nil {
		v.rejected++
		return
	}
	v.accepted++
	for _, err := range witnessed(module) {
		t.Errorf("accepted, against the witness: "+what+": %v", append(args, err)...)
	}
}

// ours tells whether metering added an instruction.
func (v *victim) ours(s span) bool {
	if s.fn >= int(v.s.funcs) {
		return true
	}
	return slices.ContainsFunc(v.added, func(a span) bool { return a.fn == s.fn && a.at <= s.at && s.end <= a.end })
}

// sequences takes away and weakens what metering added.
func (v *victim) sequences(t *testing.T, every int) {
	for n := 0; n < len(v.added); n += every {
		a := v.added[n]
		code := v.m.Data[a.at:a.end]
		v.refuses(t, v.replaced(a, slices.Concat(code, code)...), "function %d with %x twice", a.fn, code)
		if i := bytes.Index(code, []byte{opI64Sub}); i > 0 && bytes.Contains(code, []byte{opIf, noType}) { // a check: only charge
			set := append([]byte{opGlobalSet}, code[i+2:]...)
			if code[i+1] == opLocalTee {
				set[0] = opLocalSet
			}
			_, n := uvarint(set[1:])
			v.both(t, v.replaced(a, slices.Concat(code[:i+1], set[:1+n])...), "function %d charges and does not check: %x", a.fn, code)
			v.both(t, v.replaced(a), "function %d without %x at 0x%x", a.fn, code, a.at)
		} else {
			v.refuses(t, v.replaced(a), "function %d without %x at 0x%x", a.fn, code, a.at)
		}
		if i := slices.IndexFunc(code, func(b byte) bool { return b == opI64Const || b == opI32Const }); i > 0 {
			cost := constant(code[i:])
			_, n := uvarint(code[i+1:])
			for _, other := range []int64{cost - 1, cost + 1, 0, -cost, math.MinInt64} {
				if code[i] == opI32Const {
					other = int64(int32(other))
				}
				if other != cost {
					v.refuses(t, v.replaced(a, slices.Concat(wasm.AppendSigned(code[:i+1:i+1], other), code[i+1+n:])...), "function %d charges %d instead of %d", a.fn, other, cost)
				}
			}
		}
	}
}

func uvarint(b []byte) (v uint64, n int) {
	for n < len(b) && b[n] >= 0x80 {
		n++
	}
	return 0, n + 1
}

// deletions takes away every instruction, one at a time.
func (v *victim) deletions(t *testing.T, every int) {
	for n := 0; n < len(v.instrs); n += every {
		s := v.instrs[n]
		if mutant, code := v.replaced(s), v.m.Data[s.at:s.end]; v.ours(s) {
			v.refuses(t, mutant, "function %d without its instruction %x at 0x%x", s.fn, code, s.at)
		} else {
			v.judge(t, mutant, "function %d without its instruction %x at 0x%x", s.fn, code, s.at)
		}
	}
}

// insertions puts between any two instructions what no guest may do.
func (v *victim) insertions(t *testing.T, every int) {
	m := v.m
	for n := 0; n < len(v.instrs); n += every {
		s := v.instrs[n]
		s.end = s.at
		allowed := map[string][]byte{ // where nothing runs
			"loops uncharged": {opLoop, noType, opBr, 0, opEnd},
			"calls itself":    named(opCall, uint32(len(m.Imports)+s.fn)),
		}
		evil := map[string][]byte{
			"fills the fuel":  append(wasm.AppendSigned([]byte{opI64Const}, 1e6), named(opGlobalSet, v.s.fuel)...),
			"reads the fuel":  append(named(opGlobalGet, v.s.fuel), byte(wasm.OpDrop)),
			"fills the stack": append(wasm.AppendSigned([]byte{opI32Const}, 1e6), named(opGlobalSet, v.s.stack)...),
			"asks for fuel":   slices.Concat([]byte{opI64Const, 0}, named(opCall, v.s.imports), []byte{byte(wasm.OpDrop)}),
			"calls refill":    named(opCall, v.s.refill),
		}
		if !s.dead {
			maps.Copy(evil, allowed)
		}
		if m.Memory != nil {
			evil["grows"] = []byte{opI32Const, 1, opMemoryGrow, 0, byte(wasm.OpDrop)}
			evil["fills"] = []byte{opI32Const, 0, opI32Const, 0, opI32Const, 0, 0xfc, 0x0b, 0}
		}
		for i, im := range m.Imports {
			evil["calls "+im.Name] = v.callOf(uint32(i))
		}
		if s.fn < len(v.balance) && v.balance[s.fn] >= 0 {
			evil["fills the balance"] = append(wasm.AppendSigned([]byte{opI64Const}, 1e6), named(opLocalSet, uint32(v.balance[s.fn]))...)
		}
		for what, code := range evil {
			try := v.refuses
			if !s.dead && what != "calls itself" && n%5 == 0 {
				try = v.both
			}
			try(t, v.replaced(s, code...), "function %d %s at 0x%x", s.fn, what, s.at)
		}
	}
}

// callOf calls a function with zeros, and drops what it gives.
func (v *victim) callOf(f uint32) (code []byte) {
	t := v.m.FuncType(f)
	for _, p := range t.Params {
		code = append(code, map[wasm.ValType][]byte{wasm.I32: {opI32Const, 0}, wasm.I64: {opI64Const, 0}}[p]...)
	}
	code = append(code, named(opCall, f)...)
	return append(code, bytes.Repeat([]byte{byte(wasm.OpDrop)}, len(t.Results))...)
}

// calls leads every call to each other function.
func (v *victim) calls(t *testing.T) {
	for _, s := range v.instrs {
		if v.m.Data[s.at] != opCall || s.end-s.at > 3 {
			continue
		}
		for f := range uint32(v.m.NumFuncs()) {
			code := named(opCall, f)
			if bytes.Equal(code, v.m.Data[s.at:s.end]) || !v.m.FuncType(f).Equal(v.m.FuncType(v.called(s))) {
				continue
			}
			what := fmt.Sprintf("function %d calls %d instead of %x", s.fn, f, v.m.Data[s.at:s.end])
			if v.ours(s) && v.s.helpers[uint32(len(v.m.Imports)+s.fn)].kind != helperStart || f <= v.s.imports || f >= v.s.refill {
				v.refuses(t, v.replaced(s, code...), "%s", what)
			} else {
				v.judge(t, v.replaced(s, code...), "%s", what)
			}
		}
	}
}

func (v *victim) called(s span) (f uint32) {
	for i, b := range v.m.Data[s.at+1 : s.end] {
		f |= uint32(b&0x7f) << (7 * i)
	}
	return f
}

// module changes what is not code.
func (v *victim) module(t *testing.T) {
	last := len(v.m.Globals) - 1
	for what, change := range map[string]func(*wasm.Module){
		"fuel is not exported":      func(m *wasm.Module) { m.Exports = slices.Delete(m.Exports, len(m.Exports)-2, len(m.Exports)-1) },
		"stack is not exported":     func(m *wasm.Module) { m.Exports = m.Exports[:len(m.Exports)-1] },
		"counters are not exported": func(m *wasm.Module) { m.Exports = m.Exports[:len(m.Exports)-2] },
		"the exports are swapped": func(m *wasm.Module) {
			e := m.Exports[len(m.Exports)-2:]
			e[0].Index, e[1].Index = e[1].Index, e[0].Index
		},
		"another name for fuel": func(m *wasm.Module) { m.Exports[len(m.Exports)-2].Name = "fuel" },
		"fuel under another name": func(m *wasm.Module) {
			m.Exports = slices.Insert(m.Exports, 0, wasm.Export{Name: "f", Kind: wasm.ExportGlobal, Index: v.s.fuel})
		},
		"refill is exported": func(m *wasm.Module) {
			m.Exports = slices.Insert(m.Exports, 0, wasm.Export{Name: "r", Index: v.s.refill})
		},
		"the import is exported": func(m *wasm.Module) {
			m.Exports = slices.Insert(m.Exports, 0, wasm.Export{Name: "r", Index: v.s.imports})
		},
		"fuel at the beginning": func(m *wasm.Module) { m.Globals[last-1].Init = []byte{opI64Const, 1, opEnd} },
		"more stack": func(m *wasm.Module) {
			m.Globals[last].Init = append(wasm.AppendSigned([]byte{opI32Const}, 1<<30), opEnd)
		},
		"less stack":         func(m *wasm.Module) { m.Globals[last].Init = []byte{opI32Const, 0, opEnd} },
		"fuel cannot change": func(m *wasm.Module) { m.Globals[last-1].Mutable = false },
		"a global more":      func(m *wasm.Module) { m.Globals = append(m.Globals, m.Globals[last]) },
		"a function more": func(m *wasm.Module) {
			m.Funcs, m.Code = append(m.Funcs, m.Funcs[len(m.Funcs)-1]), append(m.Code, m.Code[len(m.Code)-1])
		},
		"a function less":            func(m *wasm.Module) { m.Funcs, m.Code = m.Funcs[:len(m.Funcs)-1], m.Code[:len(m.Code)-1] },
		"an import of another name":  func(m *wasm.Module) { m.Imports[v.s.imports].Name = "more" },
		"an import that is not last": func(m *wasm.Module) { m.Imports = append(m.Imports, m.Imports[0]) },
		"a table with the import": func(m *wasm.Module) {
			m.Tables = append(m.Tables, wasm.Table{Type: wasm.FuncRef, Limits: wasm.Limits{Min: 1, Max: 1}})
			m.Elems = append(m.Elems, wasm.Elem{Table: uint32(len(m.Tables) - 1), Expr: wasm.Const{opI32Const, 0, opEnd}, Type: wasm.FuncRef, Funcs: []uint32{v.s.imports}})
		},
		"a table with the first import": func(m *wasm.Module) {
			m.Tables = append(m.Tables, wasm.Table{Type: wasm.FuncRef, Limits: wasm.Limits{Min: 1, Max: 1}})
			m.Elems = append(m.Elems, wasm.Elem{Table: uint32(len(m.Tables) - 1), Expr: wasm.Const{opI32Const, 0, opEnd}, Type: wasm.FuncRef, Funcs: []uint32{0}})
		},
		"a table with refill": func(m *wasm.Module) {
			m.Tables = append(m.Tables, wasm.Table{Type: wasm.FuncRef, Limits: wasm.Limits{Min: 1, Max: 1}})
			m.Elems = append(m.Elems, wasm.Elem{Table: uint32(len(m.Tables) - 1), Expr: wasm.Const{opI32Const, 0, opEnd}, Type: wasm.FuncRef, Funcs: []uint32{v.s.refill}})
		},
		"refill in a global": func(m *wasm.Module) {
			m.Globals = slices.Insert(m.Globals, 0, wasm.Global{Type: wasm.FuncRef, Init: wasm.RefFunc(v.s.refill)})
		},
		"a start function": func(m *wasm.Module) { m.Start = &v.s.refill },
		"more memory":      func(m *wasm.Module) { m.Memory.Max = int64(v.opt.MemoryPages) + 1 },
		"any memory":       func(m *wasm.Module) { m.Memory.Max = -1 },
		"larger tables":    func(m *wasm.Module) { m.Tables[0].Max = wasm.MaxTable + 1 },
		"unbounded tables": func(m *wasm.Module) { m.Tables[0].Max = -1 },
		"other names":      func(m *wasm.Module) { m.Names.Funcs[v.s.refill] = "refuel" },
		"the start function left out": func(m *wasm.Module) {
			for i := range m.Exports {
				if e := &m.Exports[i]; v.s.helpers[e.Index].kind == helperStart {
					e.Index = v.s.helpers[e.Index].calls[1]
				}
			}
		},
	} {
		m := *v.m
		m.Exports, m.Globals, m.Imports, m.Tables = slices.Clone(m.Exports), slices.Clone(m.Globals), slices.Clone(m.Imports), slices.Clone(m.Tables)
		m.Names.Funcs = maps.Clone(m.Names.Funcs)
		if m.Memory != nil {
			limits := *m.Memory
			m.Memory = &limits
		}
		if !applies(&m, change) {
			continue
		}
		if mutant := m.Encode(); !bytes.Equal(mutant, v.m.Data) {
			v.refuses(t, mutant, "%s", what)
		}
	}
}

// applies changes a module that has what is to be changed.
func applies(m *wasm.Module, change func(*wasm.Module)) (ok bool) {
	defer func() { ok = recover() == nil }()
	change(m)
	return true
}

// bytes changes bytes of the module's code, in each of several ways.
func (v *victim) bytes(t *testing.T, every int, ways func(byte) []byte) {
	code, last := v.m.Code[0].Offset-3, v.m.Code[len(v.m.Code)-1]
	module := slices.Clone(v.m.Data)
	for at := code; at < last.Offset+len(last.Code); at += every {
		was := module[at]
		for _, b := range ways(was) {
			module[at] = b
			v.judge(t, module, "0x%02x instead of 0x%02x at 0x%x", b, was, at)
		}
		module[at] = was
	}
}

func anyByte(was byte) (all []byte) {
	for b := range 256 {
		if byte(b) != was {
			all = append(all, byte(b))
		}
	}
	return all
}

func someBytes(was byte) []byte { return []byte{was ^ 1, was ^ 0x40, was ^ 0x80, was - 1, was + 3} }

// TestMutants spoils metered modules in every way that we could think of.
func TestMutants(t *testing.T) {
	sources := goldenSources(t)
	sources["floats"] = assemble(t, within(`(func (param f32 f64 v128) (result f32)
		(drop (i32.reinterpret_f32 (f32.add (local.get 0) (local.get 0))))
		(drop (i64.reinterpret_f64 (f64.mul (local.get 1) (local.get 1))))
		(loop (v128.store (i32.const 0) (f32x4.div (local.get 2) (local.get 2))) (v128.store (i32.const 0) (f64x2.sqrt (local.get 2))) (br_if 0 (i32.const 0)))
		(f32.sqrt (local.get 0)))
		(func (export "quotient") (param f64) (result f64) (f64.div (local.get 0) (local.get 0)))`, ""))
	sources["start"] = assemble(t, within(`(func $s (call $fine)) (start $s)`, ""))
	for name, source := range sources {
		mutants(t, name, source, 1, 1, 1, 1)
	}
	for name, source := range payloadSources() {
		mutants(t, name, source, 3, 7, 101, 53)
	}
	mutants(t, "mandelbrot", files(t, "../bench/meter/kernels/*.wasm", 10)["mandelbrot.wasm"], 1, 29, 401, 211)
}

// mutants takes away every so manieth sequence of the metering, every so manieth
// instruction, and so on.
func mutants(t *testing.T, name string, source []byte, sequences, deletions, insertions, bytes int) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		v := newVictim(t, source, Options{MemoryPages: 200})
		v.sequences(t, sequences)
		v.deletions(t, deletions)
		v.insertions(t, insertions)
		if deletions == 1 {
			v.calls(t)
		}
		v.module(t)
		v.bytes(t, bytes, someBytes)
		t.Logf("%d mutants refused, %d of them by the witness too; %d accepted as metered modules of other sources, as the witness did", v.rejected, v.witnessed, v.accepted)
	})
}

// TestEveryByte puts every byte in the place of every byte of a small module.
func TestEveryByte(t *testing.T) {
	v := newVictim(t, goldenSources(t)["loop.wat"], Options{MemoryPages: 16})
	v.bytes(t, 1, anyByte)
	t.Logf("%d mutants refused, %d accepted as metered modules of other sources", v.rejected, v.accepted)
	if v.rejected < 10*v.accepted {
		t.Errorf("%d refused, %d accepted", v.rejected, v.accepted)
	}
}
