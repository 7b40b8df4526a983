package wasm

// Instr is one instruction. What its immediates mean depends on the opcode:
//
//	block loop if    Type is the block type
//	br br_if         A is the label
//	br_table         Labels, the default last
//	call             A is the function index
//	call_indirect    A is the type index, B the table
//	local, global    A is the index
//	memory.init      A is the data segment
//	data.drop        A is the data segment
//	ref.func         A is the function index
//	ref.null, select Type.Results has the type, where one is given
//	table.*          A is the table; of init and copy the one that is written
//	table.init       B is the element segment
//	elem.drop        B is the element segment
//	table.copy       B is the table that is read
type Instr struct {
	Op         Op
	Start, End int // in the file
	A, B       uint32
	Type       *FuncType
	Labels     []uint32 // valid until the next call of Next
}

// Instrs reads the instructions of a body one by one, checking every index
// against the module and every label against the nesting.
type Instrs struct {
	r      reader
	m      *Module
	fn     uint32
	locals uint32
	funcs  uint32
	depth  int
	limit  int // of depth
	labels []uint32
}

// Instrs returns a reader of defined function i's code.
func (m *Module) Instrs(i int) *Instrs {
	b := &m.Code[i]
	in := &Instrs{r: reader{data: m.Data, pos: b.Offset, end: b.Offset + len(b.Code)}, m: m, fn: uint32(len(m.Imports) + i), depth: 1}
	in.locals, in.funcs = m.NumLocals(i), uint32(m.NumFuncs())
	in.limit = MaxNesting
	if m.Nesting > 0 {
		in.limit = m.Nesting
	}
	return in
}

// Next reads the next instruction into v; false at the end or at an error.
func (in *Instrs) Next(v *Instr) bool {
	r := &in.r
	if r.pos >= r.end {
		return false
	}
	v.Start = r.pos
	if in.depth == 0 {
		r.fail(r.pos, "instructions after the end of the function")
		return false
	}
	if in.short(v) {
		return true
	}
	v.Op = Op(r.byte())
	if v.Op >= prefixGC && v.Op <= prefixAtomic {
		v.Op = v.Op<<16 | Op(min(r.u32(), 0xffff))
	}
	in.immediates(v, v.Op.row())
	v.End = r.pos
	return r.err == nil
}

// short reads what most instructions are: without immediates, or with ones of a
// byte each that are in range. It leaves everything else alone.
func (in *Instrs) short(v *Instr) bool {
	r := &in.r
	op := r.data[r.pos]
	row := &plain[op]
	if row.imm == immNone && Op(op) != OpEnd {
		r.pos++
		v.Op, v.End = Op(op), r.pos
		return true
	}
	if r.pos+1 >= r.end || r.data[r.pos+1] >= 0x80 {
		return false
	}
	first, length := uint32(r.data[r.pos+1]), 2
	switch row.imm {
	case immI32, immI64:
	case immLocal:
		if first >= in.locals {
			return false
		}
		v.A = first
	case immFunc:
		if first >= in.funcs {
			return false
		}
		v.A = first
	case immLabel:
		if int(first) >= in.depth {
			return false
		}
		v.A = first
	case immAccess: // an alignment and an offset
		if first > uint32(row.align) || in.m.Memory == nil || r.pos+2 >= r.end || r.data[r.pos+2] >= 0x80 {
			return false
		}
		length = 3
	default:
		return false
	}
	r.pos += length
	v.Op, v.End = Op(op), r.pos
	return true
}

// Err is the first error, an *Error that names the function.
func (in *Instrs) Err() error {
	if in.r.err == nil && in.depth != 0 {
		in.r.fail(in.r.pos, "function body ends with %d open blocks", in.depth)
	}
	if in.r.err == nil {
		return nil
	}
	in.r.err.Func, in.r.err.Name = int(in.fn), in.m.Names.Funcs[in.fn]
	return in.r.err
}

// below reads an index of an index space of n.
func (in *Instrs) below(v *Instr, what string, n int) uint32 {
	i := in.r.u32()
	if uint64(i) >= uint64(n) {
		in.r.fail(v.Start, "%s %d does not exist", what, i)
	}
	return i
}

func (in *Instrs) immediates(v *Instr, row *instruction) {
	r := &in.r
	switch row.imm {
	case immNone:
		if v.Op == OpEnd {
			in.depth--
		}
	case immRefused:
		r.refuse(v.Start, row.feature, "%s", v.Op)
	case immBlock:
		in.blockType(v)
		if in.depth++; in.depth > in.limit+1 {
			r.fail(v.Start, "blocks nested deeper than %d", in.limit)
		}
	case immLabel:
		v.A = in.below(v, "label", in.depth)
	case immLabels:
		in.brTable(v)
	case immFunc:
		v.A = in.below(v, "function", int(in.funcs))
	case immIndirect:
		v.A = in.below(v, "type", len(in.m.Types))
		if v.B = in.table(v); r.err == nil && in.m.Tables[v.B].Type != FuncRef {
			r.fail(v.Start, "call through a table of %s", in.m.Tables[v.B].Type)
		}
	case immLocal:
		v.A = in.below(v, "local", int(in.locals))
	case immGlobal:
		v.A = in.below(v, "global", len(in.m.Globals))
		if r.err == nil && v.Op == OpGlobalSet && !in.m.Globals[v.A].Mutable {
			r.fail(v.Start, "global %d is not mutable", v.A)
		}
	case immAccess:
		in.access(v, row)
	case immMemory:
		in.memory(v)
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
		in.memory(v)
		in.memory(v)
	default:
		in.newer(v, row)
	}
}

// newer reads the immediates of reference and vector instructions.
func (in *Instrs) newer(v *Instr, row *instruction) {
	r := &in.r
	switch row.imm {
	case immSelect:
		if n := r.count("types of select", 1); n != 1 {
			r.fail(v.Start, "select with %d types", n)
		}
		v.Type = blockTypes[r.value()&0x7f]
	case immRefType:
		v.Type = blockTypes[r.refType()&0x7f]
	case immTable:
		v.A = in.table(v)
	case immTableInit:
		v.B = in.below(v, "element segment", len(in.m.Elems))
		v.A = in.table(v)
	case immElem:
		v.B = in.below(v, "element segment", len(in.m.Elems))
	case immTableCopy:
		v.A, v.B = in.table(v), in.table(v)
	case immVector:
		r.bytes(16)
	case immShuffle:
		for _, lane := range r.bytes(16) {
			in.lane(v, lane, 32)
		}
	case immLane:
		in.lane(v, r.byte(), row.lanes)
	case immLaneMove:
		in.access(v, row)
		in.lane(v, r.byte(), row.lanes)
	}
}

func (in *Instrs) lane(v *Instr, lane, lanes byte) {
	if lane >= lanes {
		in.r.fail(v.Start, "lane %d does not exist", lane)
	}
}

func (in *Instrs) table(v *Instr) uint32 { return in.below(v, "table", len(in.m.Tables)) }

func (in *Instrs) memory(v *Instr) {
	if b := in.r.byte(); b != 0 || in.m.Memory == nil {
		in.r.fail(v.Start, "memory %d does not exist", b)
	}
}

func (in *Instrs) segment(v *Instr) {
	v.A = in.below(v, "data segment", len(in.m.Segs))
	if !in.m.HasDataCount {
		in.r.fail(v.Start, "data segment %d is named without a data count section", v.A)
	}
	if v.Op == OpMemoryInit {
		in.memory(v)
	}
}

// access reads the alignment and offset of a load or store. Bit 6 of the
// alignment announces a memory index.
func (in *Instrs) access(v *Instr, row *instruction) {
	align := in.r.u32()
	switch {
	case align >= 64 && align < 128:
		in.r.refuse(v.Start, MultiMemory, "%s with a memory index", row.name)
	case align > uint32(row.align):
		in.r.fail(v.Start, "%s with alignment 2^%d, at most 2^%d allowed", row.name, align, row.align)
	case in.m.Memory == nil:
		in.r.fail(v.Start, "memory 0 does not exist")
	}
	in.r.u32()
}

func (in *Instrs) brTable(v *Instr) {
	n := in.r.count("labels", MaxBrTable)
	in.labels = in.labels[:0]
	for range n + 1 {
		in.labels = append(in.labels, in.below(v, "label", in.depth))
		if in.r.err != nil {
			return
		}
	}
	v.Labels = in.labels
}

// blockTypes has the block types that name no type of the module, by their byte.
var blockTypes = func() (t [0x80]*FuncType) {
	t[0x40] = &FuncType{}
	for _, v := range []ValType{I32, I64, F32, F64, V128, FuncRef, ExternRef} {
		t[v] = &FuncType{Results: []ValType{v}}
	}
	return t
}()

func (in *Instrs) blockType(v *Instr) {
	r, at := &in.r, in.r.pos
	if b := r.byte(); b&0xc0 == 0x40 { // one byte, negative
		if v.Type = blockTypes[b]; v.Type == nil {
			refuseType(r, at, ValType(b))
		}
		return
	}
	if r.err != nil {
		return
	}
	r.pos = at
	t := r.signed(33)
	if t < 0 || t >= int64(len(in.m.Types)) {
		r.fail(at, "block type %d does not exist", t)
		return
	}
	v.Type = &in.m.Types[t]
}
