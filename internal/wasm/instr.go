package wasm

// Instr is one instruction. What its immediates mean depends on the opcode:
//
//	block loop if    A is the block type's results, B its parameters (counts)
//	br br_if         A is the label
//	br_table         Labels, the default last
//	call             A is the function index
//	call_indirect    A is the type index
//	local, global    A is the index
//	memory.init      A is the data segment
//	data.drop        A is the data segment
type Instr struct {
	Op         Op
	Start, End int // in the file
	A, B       uint32
	Labels     []uint32 // valid until the next call of Next
}

// Instrs reads the instructions of a body one by one, checking every index
// against the module and every label against the nesting.
type Instrs struct {
	r      reader
	m      *Module
	body   *Body
	fn     uint32
	locals uint32
	depth  int
	labels []uint32
}

// Instrs returns a reader of defined function i's code.
func (m *Module) Instrs(i int) *Instrs {
	b := &m.Code[i]
	in := &Instrs{r: reader{data: m.Data, pos: b.Start, end: b.End}, m: m, body: b, fn: uint32(len(m.Imports) + i), depth: 1}
	in.locals = uint32(len(m.Types[m.Funcs[i]].Params))
	for _, l := range b.Locals {
		in.locals += l.Count
	}
	return in
}

// Depth is the number of open blocks after the last instruction, the function's
// own included.
func (in *Instrs) Depth() int { return in.depth }

// Next reads the next instruction into v; false at the end or at an error.
func (in *Instrs) Next(v *Instr) bool {
	if in.r.err != nil || in.r.left() == 0 {
		return false
	}
	if in.depth == 0 {
		in.fail(in.r.pos, "instructions after the end of the function")
		return false
	}
	*v = Instr{Start: in.r.pos}
	v.Op = Op(in.r.byte())
	if v.Op == 0xfc {
		sub := in.r.u32()
		v.Op = 0xfc00 | Op(min(sub, 0xff))
	}
	in.immediates(v)
	in.nest(v)
	v.End = in.r.pos
	return in.r.err == nil
}

// Err is the first error, an *Error that names the function.
func (in *Instrs) Err() error {
	if in.r.err == nil && in.r.left() == 0 && in.depth != 0 {
		in.fail(in.r.pos, "function body ends with %d open blocks", in.depth)
	}
	if in.r.err == nil {
		return nil
	}
	e := *in.r.err.(*Error)
	e.Func, e.Name = int(in.fn), in.m.Names.Funcs[in.fn]
	return &e
}

func (in *Instrs) fail(at int, format string, args ...any) { in.r.fail(at, format, args...) }

// below checks an index against the size of its index space.
func (in *Instrs) below(at int, what string, i uint32, n int) {
	if in.r.err == nil && uint64(i) >= uint64(n) {
		in.fail(at, "%s %d does not exist", what, i)
	}
}

func (in *Instrs) immediates(v *Instr) {
	r, at := &in.r, v.Start
	switch v.Op.immediates() {
	case immRefused:
		in.fail(at, "%s are not accepted (opcode 0x%02x)", v.Op.Feature(), uint16(v.Op))
	case immBlock:
		in.blockType(v)
	case immLabel:
		v.A = r.u32()
		in.below(at, "label", v.A, in.depth)
	case immTable:
		in.brTable(v)
	case immFunc:
		v.A = r.u32()
		in.below(at, "function", v.A, in.m.NumFuncs())
	case immIndirect:
		in.indirect(v)
	case immLocal:
		v.A = r.u32()
		in.below(at, "local", v.A, int(in.locals))
	case immGlobal:
		v.A = r.u32()
		in.below(at, "global", v.A, len(in.m.Globals))
		if r.err == nil && v.Op == OpGlobalSet && !in.m.Globals[v.A].Mutable {
			in.fail(at, "global %d is not mutable", v.A)
		}
	case immAccess:
		in.access(v)
	case immMemory:
		in.memory(at)
	case immI32:
		r.signed(32)
	case immI64:
		r.signed(64)
	case immF32:
		r.bytes(4)
	case immF64:
		r.bytes(8)
	case immInit, immSegment:
		in.segment(v)
	case immCopy:
		in.memory(at)
		in.memory(at)
	case immNone:
	}
}

func (in *Instrs) memory(at int) {
	if b := in.r.byte(); in.r.err == nil && (b != 0 || in.m.Memory == nil) {
		in.fail(at, "memory %d does not exist", b)
	}
}

func (in *Instrs) segment(v *Instr) {
	v.A = in.r.u32()
	in.below(v.Start, "data segment", v.A, len(in.m.Segs))
	if in.r.err == nil && !in.m.HasDataCount {
		in.fail(v.Start, "a data segment is named without a data count section")
	}
	if v.Op == OpMemoryInit {
		in.memory(v.Start)
	}
}

func (in *Instrs) access(v *Instr) {
	align := in.r.u32()
	in.r.u32()
	if in.r.err == nil && (align > uint32(widths[v.Op-firstAccess]) || in.m.Memory == nil) {
		in.fail(v.Start, "memory access with alignment 2^%d, or without a memory", align)
	}
}

func (in *Instrs) indirect(v *Instr) {
	v.A = in.r.u32()
	in.below(v.Start, "type", v.A, len(in.m.Types))
	if table := in.r.u32(); in.r.err == nil && (table != 0 || in.m.Table == nil) {
		in.fail(v.Start, "table %d does not exist", table)
	}
}

func (in *Instrs) brTable(v *Instr) {
	n := in.r.count("labels", MaxBrTable)
	in.labels = in.labels[:0]
	for range n + 1 {
		l := in.r.u32()
		in.below(v.Start, "label", l, in.depth)
		in.labels = append(in.labels, l)
	}
	v.Labels = in.labels
}

func (in *Instrs) blockType(v *Instr) {
	at := in.r.pos
	switch b := in.r.byte(); ValType(b) {
	case 0x40:
	case I32, I64, F32, F64:
		v.A = 1
	case V128:
		in.fail(at, "SIMD are not accepted (type v128)")
	default:
		in.r.pos = at
		t := in.r.signed(33)
		if in.r.err == nil && (t < 0 || t >= int64(len(in.m.Types))) {
			in.fail(at, "block type %d does not exist", t)
			return
		}
		if in.r.err == nil {
			v.A, v.B = uint32(len(in.m.Types[t].Results)), uint32(len(in.m.Types[t].Params))
		}
	}
}

func (in *Instrs) nest(v *Instr) {
	switch v.Op {
	case OpBlock, OpLoop, OpIf:
		if in.depth++; in.depth > MaxNesting {
			in.fail(v.Start, "blocks nested deeper than %d", MaxNesting)
		}
	case OpEnd:
		in.depth--
	}
}
