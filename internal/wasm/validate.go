package wasm

import (
	"fmt"
	"slices"
)

// Checker checks the types of functions one by one (WebAssembly core
// specification 2.0, appendix "Validation algorithm"), an instruction at a time,
// so that others can look over its shoulder at the operand stack.
type Checker struct {
	m       *Module
	fn      int // defined function
	values  []ValType
	frames  []control
	locals  Locals
	max     int  // largest height of values
	vectors bool // a vector has been among them
	err     *Error
}

// unknown is the type of what comes out of an unreachable stack.
const unknown ValType = 0

// control is an open block.
type control struct {
	op          Op
	typ         *FuncType
	height      int
	unreachable bool
}

// NewChecker returns a checker of m's functions.
func NewChecker(m *Module) *Checker { return &Checker{m: m} }

// Begin starts with defined function i.
func (c *Checker) Begin(i int) {
	t := c.m.Types[c.m.Funcs[i]]
	c.fn, c.max, c.vectors, c.err = i, 0, false, nil
	c.values, c.frames = c.values[:0], c.frames[:0]
	c.locals.Begin(c.m, i)
	c.frames = append(c.frames, control{op: OpBlock, typ: &FuncType{Results: t.Results}})
}

// Weight is what a call of the function takes from the call stack, in bytes that
// no engine's frame exceeds: 64, and 8 for every parameter, local and operand at
// the deepest, 16 for vectors; parameters once more, for the caller that passes
// them.
func (c *Checker) Weight() uint32 {
	slot := uint32(8)
	w := uint32(64)
	for _, t := range c.m.Types[c.m.Funcs[c.fn]].Params {
		w += 2 * weight(t)
	}
	for _, l := range c.m.Code[c.fn].Locals {
		w += l.Count * weight(l.Type)
	}
	if c.vectors {
		slot = 16
	}
	return w + slot*uint32(c.max)
}

func weight(t ValType) uint32 {
	if t == V128 {
		return 16
	}
	return 8
}

// Reachable reports whether the next instruction can be reached.
func (c *Checker) Reachable() bool {
	return len(c.frames) > 0 && !c.frames[len(c.frames)-1].unreachable
}

// Top is the type of the operand on top of the stack, 0 if there is none, or none
// that is known.
func (c *Checker) Top() ValType {
	if len(c.values) == 0 {
		return unknown
	}
	return c.values[len(c.values)-1]
}

// Step checks one instruction, whose indices Instrs has checked.
func (c *Checker) Step(v *Instr) error {
	if row := v.Op.row(); row.typed {
		c.apply(v, row.in, row.out)
	} else {
		c.special(v)
	}
	if c.err != nil {
		return c.err
	}
	return nil
}

func (c *Checker) fail(v *Instr, msg string) { c.refuse(v, "type mismatch: "+msg) }

func (c *Checker) refuse(v *Instr, msg string) {
	if c.err == nil {
		fn := len(c.m.Imports) + c.fn
		c.err = &Error{Offset: v.Start, Func: fn, Name: c.m.Names.Funcs[uint32(fn)], Msg: msg}
	}
}

func (c *Checker) apply(v *Instr, in, out []ValType) {
	c.popAll(v, in)
	c.pushAll(v, out)
}

func (c *Checker) push(v *Instr, t ValType) {
	c.values = append(c.values, t)
	c.vectors = c.vectors || t == V128
	c.measure(v)
}

// pushAll and popAll take no step for each operand: a call of two bytes may have a
// thousand.
func (c *Checker) pushAll(v *Instr, types []ValType) {
	c.values = append(c.values, types...)
	c.vectors = c.vectors || slices.Contains(types, V128)
	c.measure(v)
}

func (c *Checker) measure(v *Instr) {
	if c.max = max(c.max, len(c.values)); c.max > MaxOperands {
		c.refuse(v, fmt.Sprintf("more than %d operands on the stack, at most %d allowed", MaxOperands, MaxOperands))
	}
}

// pop takes an operand of type want; unknown takes any.
func (c *Checker) pop(v *Instr, want ValType) ValType {
	f := &c.frames[len(c.frames)-1]
	if len(c.values) == f.height {
		if !f.unreachable {
			c.fail(v, want.String()+" is wanted, the stack is empty")
		}
		return want
	}
	got := c.values[len(c.values)-1]
	c.values = c.values[:len(c.values)-1]
	if got != want && got != unknown && want != unknown {
		c.fail(v, want.String()+" is wanted, "+got.String()+" is there")
	}
	if got == unknown {
		return want
	}
	return got
}

func (c *Checker) popAll(v *Instr, types []ValType) {
	f := &c.frames[len(c.frames)-1]
	if at := len(c.values) - len(types); at >= f.height && string(c.values[at:]) == string(types) {
		c.values = c.values[:at]
		return
	}
	for _, t := range slices.Backward(types) {
		if f.unreachable && len(c.values) == f.height {
			return
		}
		c.pop(v, t)
	}
}

func (c *Checker) open(v *Instr, op Op, t *FuncType) {
	c.frames = append(c.frames, control{op: op, typ: t, height: len(c.values)})
	c.pushAll(v, t.Params)
}

func (c *Checker) close(v *Instr) control {
	f := c.frames[len(c.frames)-1]
	c.popAll(v, f.typ.Results)
	if len(c.values) != f.height {
		c.fail(v, "operands are left at the end of a block")
		c.values = c.values[:min(f.height, len(c.values))]
	}
	c.frames = c.frames[:len(c.frames)-1]
	return f
}

func (c *Checker) unreachable() {
	f := &c.frames[len(c.frames)-1]
	c.values = c.values[:min(f.height, len(c.values))]
	f.unreachable = true
}

// label returns what a branch to a label takes.
func (c *Checker) label(n uint32) []ValType {
	f := &c.frames[len(c.frames)-1-int(n)]
	if f.op == OpLoop {
		return f.typ.Params
	}
	return f.typ.Results
}

func (c *Checker) special(v *Instr) {
	switch v.Op {
	case OpNop:
	case OpUnreachable:
		c.unreachable()
	case OpBlock, OpLoop:
		c.popAll(v, v.Type.Params)
		c.open(v, v.Op, v.Type)
	case OpIf:
		c.pop(v, I32)
		c.popAll(v, v.Type.Params)
		c.open(v, OpIf, v.Type)
	case OpElse:
		c.otherwise(v)
	case OpEnd:
		c.end(v)
	case OpBr:
		c.popAll(v, c.label(v.A))
		c.unreachable()
	case OpBrIf:
		c.pop(v, I32)
		t := c.label(v.A)
		c.apply(v, t, t)
	case OpBrTable:
		c.brTable(v)
	case OpReturn:
		c.popAll(v, c.frames[0].typ.Results)
		c.unreachable()
	case OpCall:
		t := c.m.FuncType(v.A)
		c.apply(v, t.Params, t.Results)
	case OpCallIndirect:
		c.pop(v, I32)
		t := c.m.Types[v.A]
		c.apply(v, t.Params, t.Results)
	default:
		c.variable(v)
	}
}

func (c *Checker) otherwise(v *Instr) {
	if c.frames[len(c.frames)-1].op != OpIf {
		c.fail(v, "else without if")
		return
	}
	f := c.close(v)
	c.open(v, OpElse, f.typ)
}

func (c *Checker) end(v *Instr) {
	f := c.close(v)
	if f.op == OpIf && !slices.Equal(f.typ.Params, f.typ.Results) {
		c.fail(v, "if without else changes the stack")
	}
	if len(c.frames) > 0 {
		c.pushAll(v, f.typ.Results)
	}
}

func (c *Checker) brTable(v *Instr) {
	c.pop(v, I32)
	last := c.label(v.Labels[len(v.Labels)-1])
	for _, l := range v.Labels {
		t := c.label(l)
		if len(t) != len(last) {
			c.fail(v, "labels of br_table take different numbers of operands")
			return
		}
		c.peek(v, t)
	}
	c.popAll(v, last)
	c.unreachable()
}

// peek checks operands and leaves them as they are.
func (c *Checker) peek(v *Instr, types []ValType) {
	f := &c.frames[len(c.frames)-1]
	if at := len(c.values) - len(types); at >= f.height && string(c.values[at:]) == string(types) {
		return
	}
	for i, t := range slices.Backward(types) {
		at := len(c.values) - (len(types) - i)
		if at < f.height {
			if !f.unreachable {
				c.fail(v, "operands are missing for a label of br_table")
			}
			return
		}
		if got := c.values[at]; got != t && got != unknown {
			c.fail(v, "operand of type "+got.String()+" for a label that takes "+t.String())
		}
	}
}

// variable checks what depends on locals, globals, tables and operands.
func (c *Checker) variable(v *Instr) {
	switch v.Op {
	case OpDrop:
		c.pop(v, unknown)
	case OpSelect:
		c.pop(v, I32)
		a := c.pop(v, unknown)
		b := c.pop(v, a)
		if a.IsRef() || b.IsRef() {
			c.fail(v, "select of references names no type")
		}
		c.push(v, max(a, b))
	case OpSelectT:
		t := v.Type.Results[0]
		c.apply(v, []ValType{t, t, I32}, v.Type.Results)
	case OpLocalGet:
		c.push(v, c.locals.Type(v.A))
	case OpLocalSet:
		c.pop(v, c.locals.Type(v.A))
	case OpLocalTee:
		c.pop(v, c.locals.Type(v.A))
		c.push(v, c.locals.Type(v.A))
	case OpGlobalGet:
		c.push(v, c.m.Globals[v.A].Type)
	case OpGlobalSet:
		c.pop(v, c.m.Globals[v.A].Type)
	default:
		c.reference(v)
	}
}

func (c *Checker) reference(v *Instr) {
	elem := func() ValType { return c.m.Tables[v.A].Type }
	switch v.Op {
	case OpRefNull:
		c.push(v, v.Type.Results[0])
	case OpRefIsNull:
		if t := c.pop(v, unknown); t != unknown && !t.IsRef() {
			c.fail(v, "ref.is_null of "+t.String())
		}
		c.push(v, I32)
	case OpRefFunc:
		if !c.m.declared[v.A] {
			c.fail(v, "ref.func of a function that no element segment, export or global names")
		}
		c.push(v, FuncRef)
	case OpTableGet:
		c.apply(v, []ValType{I32}, []ValType{elem()})
	case OpTableSet:
		c.apply(v, []ValType{I32, elem()}, nil)
	case OpTableGrow:
		c.apply(v, []ValType{elem(), I32}, []ValType{I32})
	case OpTableSize:
		c.push(v, I32)
	case OpTableFill:
		c.apply(v, []ValType{I32, elem(), I32}, nil)
	case OpTableInit, OpTableCopy:
		c.apply(v, []ValType{I32, I32, I32}, nil)
		c.tables(v)
	}
}

// tables checks that what is copied between tables and segments has one type.
func (c *Checker) tables(v *Instr) {
	if v.Op == OpTableInit && c.m.Elems[v.B].Type != c.m.Tables[v.A].Type ||
		v.Op == OpTableCopy && c.m.Tables[v.B].Type != c.m.Tables[v.A].Type {
		c.fail(v, "elements of another type")
	}
}

// Validate checks the types of every function.
func (m *Module) Validate() error {
	c := NewChecker(m)
	for i := range m.Code {
		c.Begin(i)
		in := m.Instrs(i)
		for v := (Instr{}); in.Next(&v); {
			if err := c.Step(&v); err != nil {
				return err
			}
		}
		if err := in.Err(); err != nil {
			return err
		}
	}
	return nil
}
