package meter

import (
	"bytes"
	"slices"

	"github.com/countersign/countersign/internal/wasm"
)

// ForWazero returns what to give to wazero's compiler in place of a module, which
// may but need not be metered: it does the same, uses the same fuel, and is the
// module itself where there is no need for another. What is signed, hashed and
// sent stays the module.
//
// On amd64 wazero's compiler, up to version 1.12.0, can take the wrong operand of
// a select of f32 or f64 where registers are scarce (its issue 2534); one of v128 is
// compiled alike. Such a select becomes an if with an else.
//
// The error is an *Error, for a module that is malformed, or whose features metering
// does not accept.
func ForWazero(module []byte) ([]byte, error) {
	m, err := wasm.Decode(module)
	if err != nil {
		return nil, err
	}
	m.Nesting = wasm.MaxNesting + addedNesting
	s := selects{writer: writer{m: m, out: *m}, checker: wasm.NewChecker(m)}
	s.knowTypes()
	s.out.Code = slices.Clone(m.Code)
	for i := range m.Code {
		if err := s.body(i); err != nil {
			return nil, err
		}
	}
	if !s.found {
		return module, nil
	}
	return s.out.Encode(), nil
}

// selects writes functions without selects of floats.
type selects struct {
	writer
	checker *wasm.Checker
	found   bool // there was one
}

func (s *selects) body(i int) error {
	b := &s.m.Code[i]
	if bytes.IndexByte(b.Code, byte(wasm.OpSelect)) < 0 && bytes.IndexByte(b.Code, byte(wasm.OpSelectT)) < 0 {
		return nil
	}
	f := function{writer: &s.writer, locals: b.Locals[:len(b.Locals):len(b.Locals)], next: s.m.NumLocals(i)}
	at := b.Offset
	s.checker.Begin(i)
	in := s.m.Instrs(i)
	for v := (wasm.Instr{}); in.Next(&v); {
		reachable := s.checker.Reachable()
		if err := s.checker.Step(&v); err != nil {
			return err
		}
		if l := s.lane(&v); l != noLane && reachable {
			f.code = append(f.code, s.m.Data[at:v.Start]...)
			f.choose(l)
			at = v.End
		}
	}
	if err := in.Err(); err != nil {
		return err
	}
	if at > b.Offset {
		s.out.Code[i] = wasm.Body{Locals: f.locals, Code: append(f.code, s.m.Data[at:b.Offset+len(b.Code)]...)}
		s.found, s.code = true, nil // the next function has its own
	}
	return nil
}

// lane is that of the select v, which has been checked; noLane where v is no select
// of floats.
func (s *selects) lane(v *wasm.Instr) lane {
	if v.Op != wasm.OpSelect && v.Op != wasm.OpSelectT {
		return noLane
	}
	switch s.checker.Top() {
	case wasm.F32:
		return f32
	case wasm.F64:
		return f64
	case wasm.V128:
		return f32x4
	}
	return noLane
}

// choose does what select does.
func (f *function) choose(l lane) {
	t := l.valType()
	x := f.scratchLocal(l)
	f.code = wasm.AppendSigned(append(f.code, opIf), int64(f.typeOf(wasm.FuncType{Params: []wasm.ValType{t, t}, Results: []wasm.ValType{t}})))
	f.code = append(f.code, byte(wasm.OpDrop), opElse)
	f.code = append(appendIndex(f.code, opLocalSet, x), byte(wasm.OpDrop))
	f.code = append(appendIndex(f.code, opLocalGet, x), opEnd)
}
