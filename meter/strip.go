package meter

import (
	"bytes"
	"slices"

	"github.com/countersign/countersign/internal/abi"
	"github.com/countersign/countersign/internal/wasm"
)

// stripper takes away what Rewrite adds. Where a module cannot be an output of
// Rewrite it says so, to name the place; where it does not notice, Check does.
type stripper struct {
	m           *wasm.Module
	out         wasm.Module
	imports     uint32 // of the source, and so the index of countersign.refill
	funcs       uint32 // defined in the source
	fuel        uint32 // global
	stack       uint32 // global
	refill      uint32 // the added function, as is refillLocal
	refillLocal uint32
	helpers     map[uint32]helper
	unsure      []*unwriter // functions with scratch locals, or what looks like some
	err         error       // the first
}

// helper is an added function that the source's functions call, or the host.
type helper struct {
	kind  helperKind
	table uint32    // that it grows
	calls [2]uint32 // of start
}

type helperKind byte

const (
	_ helperKind = iota
	helperRefillLocal
	helperLength // charges for a length: bulk, elements
	helperGrow
	helperGrowTable
	helperStart
)

// strip returns a candidate for the source of m.
func strip(m *wasm.Module) ([]byte, error) {
	m.Nesting = wasm.MaxNesting + addedNesting
	s := &stripper{m: m, out: *m, helpers: map[uint32]helper{}}
	if err := s.find(); err != nil {
		return nil, err
	}
	s.classify()
	s.declare()
	for i := range s.out.Code {
		if u := s.function(i, maxScratch); u.guessed && u.scratches > 0 {
			s.unsure = append(s.unsure, u)
		}
		if s.err != nil {
			return nil, s.err
		}
	}
	if err := s.settle(); err != nil {
		return nil, err
	}
	return s.out.Encode(), s.err
}

// fail notes what cannot be in a metered module; fn is a defined function, or -1.
func (s *stripper) fail(fn, offset int, format string, args ...any) {
	switch {
	case s.err != nil:
	case fn < 0:
		s.err = refuse("", offset, format, args...)
	default:
		s.err = inFunction(s.m, fn, offset, format, args...)
	}
}

// find finds out where the source's part of each index space ends.
func (s *stripper) find() error {
	m := s.m
	n := len(m.Imports) - 1
	if n < 0 || m.Imports[n].Module != abi.Countersign || m.Imports[n].Name != abi.Refill {
		return refuse("", 0, "the module is not metered: its last import is not %q.%q", abi.Countersign, abi.Refill)
	}
	e := len(m.Exports) - addedGlobals
	if len(m.Globals) < addedGlobals || e < 0 || m.Exports[e].Name != FuelGlobal || m.Exports[e+1].Name != StackGlobal {
		return refuse("", 0, "the module is not metered: its last exports are not the globals %q and %q", FuelGlobal, StackGlobal)
	}
	s.imports, s.fuel, s.stack = uint32(n), uint32(len(m.Globals)-2), uint32(len(m.Globals)-1)
	want := (&writer{imports: s.imports, fuel: s.fuel}).refillCode()
	i := slices.IndexFunc(m.Code, func(b wasm.Body) bool { return bytes.Equal(b.Code, want) })
	if i < n {
		return refuse("", 0, "the module is not metered: it has no function that asks for fuel")
	}
	s.refill, s.funcs = uint32(len(m.Imports)+i), uint32(i-n)
	return nil
}

// classify tells the functions behind refill apart, by what they do.
func (s *stripper) classify() {
	for f := int(s.refill) + 1; f < s.m.NumFuncs(); f++ {
		i := f - len(s.m.Imports)
		h := helper{kind: helperLength}
		if t := s.m.FuncType(uint32(f)); t.Equal(emptyType) {
			h.kind = helperStart
		}
		in, n := s.m.Instrs(i), 0
		for v := (wasm.Instr{}); in.Next(&v); {
			switch {
			case v.Op == wasm.OpMemoryGrow:
				h.kind = helperGrow
			case v.Op == wasm.OpTableGrow:
				h.kind, h.table = helperGrowTable, v.A
			case v.Op == wasm.OpCall && v.A == s.imports:
				h.kind, s.refillLocal = helperRefillLocal, uint32(f)
			case v.Op == wasm.OpCall && h.kind == helperStart && n < len(h.calls):
				h.calls[n] = v.A
				n++
			}
		}
		if err := in.Err(); err != nil && s.err == nil {
			s.err = err
		}
		s.helpers[uint32(f)] = h
	}
}

// index is writer.index the other way.
func (s *stripper) index(fn, offset int, f uint32) uint32 {
	total := s.imports + s.funcs
	switch {
	case f > s.imports && f <= total:
		return f - 1
	case f > total && f <= total+s.imports:
		return f - total - 1
	case f < s.imports:
		s.fail(fn, offset, "imported function %d is used without its stub", f)
	default:
		s.fail(fn, offset, "function %d of the metering is used where it must not be", f)
	}
	return 0
}

// declare takes away all but the code. Types stay: Rewrite takes those that are
// there. So do maxima, which rewriting keeps where they are below its own.
func (s *stripper) declare() {
	m, out := s.m, &s.out
	out.Imports = m.Imports[:s.imports]
	out.Funcs, out.Code = m.Funcs[:s.funcs], slices.Clone(m.Code[:s.funcs])
	if m.Memory != nil {
		out.Memory = &wasm.Limits{Min: m.Memory.Min, Max: m.Memory.Max}
	}
	out.Globals = slices.Clone(m.Globals[:s.fuel])
	for i := range out.Globals {
		out.Globals[i].Init = s.constant(0, out.Globals[i].Init)
	}
	if m.Start != nil {
		start := s.index(-1, 0, *m.Start)
		out.Start = &start
	}
	s.exports()
	s.elems()
	s.names()
}

func (s *stripper) exports() {
	s.out.Exports = slices.Clone(s.m.Exports[:len(s.m.Exports)-addedGlobals])
	for i := range s.out.Exports {
		e := &s.out.Exports[i]
		if e.Kind != wasm.ExportFunc {
			continue
		}
		if h := s.helpers[e.Index]; e.Name == entry && h.kind == helperStart {
			start := s.index(-1, e.Offset, h.calls[0])
			s.out.Start = &start
			e.Index = h.calls[1]
		}
		e.Index = s.index(-1, e.Offset, e.Index)
	}
}

func (s *stripper) elems() {
	s.out.Elems = slices.Clone(s.m.Elems)
	for i := range s.out.Elems {
		e := &s.out.Elems[i]
		e.Funcs, e.Exprs = slices.Clone(e.Funcs), slices.Clone(e.Exprs)
		for j, f := range e.Funcs {
			e.Funcs[j] = s.index(-1, e.Offset, f)
		}
		for j, c := range e.Exprs {
			e.Exprs[j] = s.constant(e.Offset, c)
		}
	}
}

func (s *stripper) constant(offset int, c wasm.Const) wasm.Const {
	if f, ok := c.Func(); ok {
		return wasm.RefFunc(s.index(-1, offset, f))
	}
	return c
}

func (s *stripper) names() {
	funcs := map[uint32]string{}
	for f, name := range s.m.Names.Funcs {
		switch {
		case f < s.imports:
			funcs[f] = name
		case f > s.imports && f <= s.imports+s.funcs:
			funcs[f-1] = name
		}
	}
	s.out.Names.Funcs = funcs
}
