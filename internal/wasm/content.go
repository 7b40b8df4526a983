package wasm

func (d *decoder) globals() {
	r := &d.r
	n := r.count("globals", MaxGlobals)
	d.m.Globals = make([]Global, 0, n)
	for range n {
		g := Global{Type: d.value()}
		at := r.pos
		b := r.byte()
		if b > 1 {
			r.fail(at, "mutability 0x%02x", b)
		}
		g.Mutable = b == 1
		g.Init = d.constant(g.Type)
		if r.err != nil {
			return
		}
		d.m.Globals = append(d.m.Globals, g)
	}
}

// constant reads a constant expression of type want: constants, references, and
// the arithmetic of extended constant expressions. There are no imported
// globals that it could read.
func (d *decoder) constant(want ValType) Const {
	r := &d.r
	at := r.pos
	var stack []ValType
	for n := 0; ; n++ {
		here := r.pos
		op := Op(r.byte())
		if op == OpEnd || r.err != nil {
			break
		}
		if n == MaxConst {
			r.fail(here, "constant expression of more than %d instructions", MaxConst)
		}
		stack = d.constantOp(here, op, stack)
	}
	if len(stack) != 1 || stack[0] != want {
		r.fail(at, "constant expression gives %s, %s is wanted", list(stack), want)
	}
	return Const(r.data[at:r.pos:r.pos])
}

func (d *decoder) constantOp(at int, op Op, stack []ValType) []ValType {
	r := &d.r
	switch op {
	case OpI32Const:
		r.signed(32)
		return append(stack, I32)
	case OpI64Const:
		r.signed(64)
		return append(stack, I64)
	case OpF32Const:
		r.bytes(4)
		return append(stack, F32)
	case OpF64Const:
		r.bytes(8)
		return append(stack, F64)
	case prefixVector:
		if r.u32() == uint32(OpV128Const&0xffff) {
			r.bytes(16)
			return append(stack, V128)
		}
	case OpRefNull:
		return append(stack, r.refType())
	case OpRefFunc:
		d.m.declared[d.function()] = true
		return append(stack, FuncRef)
	case OpI32Add, OpI32Sub, OpI32Mul, OpI64Add, OpI64Sub, OpI64Mul:
		if t := op.row().out[0]; len(stack) >= 2 && stack[len(stack)-1] == t && stack[len(stack)-2] == t {
			return stack[:len(stack)-1]
		}
	}
	if f := op.row().feature; f != "" && f != UnknownInstr {
		r.refuse(at, f, "constant expression with %s", op)
	}
	r.fail(at, "constant expression with %s", op)
	return stack
}

func (d *decoder) exports() {
	r := &d.r
	n := r.count("exports", MaxExports)
	d.m.Exports = make([]Export, 0, n)
	seen := make(map[string]bool, n)
	for range n {
		at := r.pos
		e := Export{Name: r.name(), Kind: ExportKind(r.byte()), Index: r.u32(), Offset: at}
		switch {
		case seen[e.Name]:
			r.fail(at, "export %+q stands twice", e.Name)
		case uint64(e.Index) >= uint64(d.space(e.Kind)):
			r.fail(at, "export %+q of kind %d: index %d does not exist", e.Name, e.Kind, e.Index)
		}
		if r.err != nil {
			return
		}
		seen[e.Name] = true
		if e.Kind == ExportFunc {
			d.m.declared[e.Index] = true
		}
		d.m.Exports = append(d.m.Exports, e)
	}
}

// space is the size of the index space that an export names.
func (d *decoder) space(kind ExportKind) int {
	switch {
	case kind == ExportFunc:
		return d.m.NumFuncs()
	case kind == ExportTable:
		return len(d.m.Tables)
	case kind == ExportMemory && d.m.Memory != nil:
		return 1
	case kind == ExportGlobal:
		return len(d.m.Globals)
	}
	return 0
}

func (d *decoder) elements() {
	r := &d.r
	n := r.count("element segments", MaxElems)
	d.m.Elems = make([]Elem, 0, n)
	for range n {
		e := Elem{Type: FuncRef, Offset: r.pos}
		flags := r.u32()
		switch {
		case flags > 7:
			r.fail(e.Offset, "element segment of kind %d is not known", flags)
		case flags&elemNotActive == 0:
			d.activeElem(&e, flags&elemNamed != 0)
		case flags&elemNamed == 0:
			e.Mode = ElemPassive
		default:
			e.Mode = ElemDeclared
		}
		d.elemType(&e, flags)
		d.elemItems(&e, flags&elemExprs != 0)
		if r.err != nil {
			return
		}
		d.m.Elems = append(d.m.Elems, e)
	}
}

func (d *decoder) activeElem(e *Elem, named bool) {
	if named {
		e.Table = d.r.u32()
	}
	if uint64(e.Table) >= uint64(len(d.m.Tables)) {
		d.r.fail(e.Offset, "element segment of table %d, which does not exist", e.Table)
	}
	e.Expr = d.constant(I32)
}

func (d *decoder) elemType(e *Elem, flags uint32) {
	r := &d.r
	at := r.pos
	switch {
	case flags&(elemNotActive|elemNamed) == 0:
	case flags&elemExprs != 0:
		e.Type = r.refType()
	default:
		if kind := r.byte(); kind != 0 {
			r.fail(at, "element kind 0x%02x is not known", kind)
		}
	}
	if r.err == nil && e.Mode == ElemActive && d.m.Tables[e.Table].Type != e.Type {
		r.fail(e.Offset, "element segment of %s for a table of %s", e.Type, d.m.Tables[e.Table].Type)
	}
}

func (d *decoder) elemItems(e *Elem, exprs bool) {
	n := d.r.count("elements", MaxTable)
	if exprs {
		e.Exprs = make([]Const, 0, n)
	} else {
		e.Funcs = make([]uint32, 0, n)
	}
	for range n {
		if exprs {
			e.Exprs = append(e.Exprs, d.constant(e.Type))
		} else {
			f := d.function()
			d.m.declared[f] = true
			e.Funcs = append(e.Funcs, f)
		}
		if d.r.err != nil {
			return
		}
	}
}

func (d *decoder) code() {
	r := &d.r
	at := r.pos
	n := r.count("function bodies", MaxFuncs)
	if n > len(d.m.Funcs) {
		r.fail(at, "%d functions declared, %d have code", len(d.m.Funcs), n)
		return
	}
	d.m.Code = make([]Body, 0, n)
	for range n {
		at := r.pos
		size := r.u32()
		if size > MaxBody || uint64(size) > uint64(r.left()) {
			r.fail(at, "function body of %d bytes: at most %d allowed, %d left", size, MaxBody, r.left())
		}
		if r.err != nil {
			return
		}
		d.body(r.pos + int(size))
	}
}

func (d *decoder) body(end int) {
	r := &d.r
	whole := r.end
	r.end = end
	at := r.pos
	n := r.count("local declarations", min(MaxLocals, r.left()/2)) // of two bytes at least
	b := Body{Locals: make([]Local, n)}
	var total uint64
	for i := range b.Locals {
		l := Local{Count: r.u32(), Type: d.value()}
		if total += uint64(l.Count); total > MaxLocals {
			r.fail(at, "%d locals, at most %d allowed", total, MaxLocals)
		}
		b.Locals[i] = l
	}
	if r.pos >= end || r.data[end-1] != byte(OpEnd) {
		r.fail(end, "function body has no end")
	}
	if r.err != nil {
		return
	}
	b.Offset, b.Code = r.pos, r.data[r.pos:end:end]
	d.m.Code = append(d.m.Code, b)
	r.pos, r.end = end, whole
}

func (d *decoder) data() {
	r := &d.r
	n := r.count("data segments", MaxSegs)
	d.m.Segs = make([]Segment, 0, n)
	for range n {
		var s Segment
		at := r.pos
		flags := r.u32()
		if flags == 2 {
			if i := r.u32(); i != 0 {
				r.refuse(at, MultiMemory, "data segment of memory %d", i)
			}
		}
		switch {
		case flags > 2:
			r.fail(at, "data segment of kind %d is not known", flags)
		case flags != 1 && d.m.Memory == nil:
			r.fail(at, "data segment without a memory")
		case flags != 1:
			s.Expr = d.constant(I32)
		}
		s.Data = r.bytes(r.u32())
		if r.err != nil {
			return
		}
		d.m.Segs = append(d.m.Segs, s)
	}
}
