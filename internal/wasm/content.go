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
		g.Init = d.constant()
		if r.err != nil {
			return
		}
		d.m.Globals = append(d.m.Globals, g)
	}
}

// constant reads a constant expression of one constant. In the subset, which
// has no imported globals, the others are of newer features.
func (d *decoder) constant() []byte {
	r := &d.r
	at := r.pos
	switch op := Op(r.byte()); op {
	case OpI32Const:
		r.signed(32)
	case OpI64Const:
		r.signed(64)
	case OpF32Const:
		r.bytes(4)
	case OpF64Const:
		r.bytes(8)
	case OpGlobalGet:
		r.refuse(at, ExtendedConst, "constant expression with %s", op)
	default:
		if f := op.row().feature; f != "" && f != UnknownInstr {
			r.refuse(at, f, "constant expression with %s", op)
		}
		if op == prefixVector {
			r.refuse(at, SIMD, "constant expression with opcode 0xfd")
		}
		r.fail(at, "constant expression with %s", op)
	}
	switch end := Op(r.byte()); end {
	case OpEnd:
	case OpI32Const, OpI64Const, OpGlobalGet:
		r.refuse(at, ExtendedConst, "several instructions")
	default:
		r.fail(at, "constant expression has no end")
	}
	return r.data[at:r.pos:r.pos]
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
		d.m.Exports = append(d.m.Exports, e)
	}
}

// space is the size of the index space that an export names.
func (d *decoder) space(kind ExportKind) int {
	switch {
	case kind == ExportFunc:
		return d.m.NumFuncs()
	case kind == ExportTable && d.m.Table != nil, kind == ExportMemory && d.m.Memory != nil:
		return 1
	case kind == ExportGlobal:
		return len(d.m.Globals)
	}
	return 0
}

func (d *decoder) elements() {
	r := &d.r
	n := r.count("element segments", MaxSegments)
	d.m.Elems = make([]Elem, 0, n)
	for range n {
		at := r.pos
		flags := r.u32()
		switch {
		case flags > 7:
			r.fail(at, "element segment of kind %d is not known", flags)
		case flags == 1:
			r.refuse(at, TableOps, "passive element segment")
		case flags != 0:
			r.refuse(at, RefTypes, "element segment of kind %d", flags)
		case d.m.Table == nil:
			r.fail(at, "element segment without a table")
		}
		e := Elem{Expr: d.constant(), Offset: at}
		e.Funcs = d.tableFuncs()
		if r.err != nil {
			return
		}
		d.m.Elems = append(d.m.Elems, e)
	}
}

// tableFuncs reads the functions of an element segment. That an imported
// function may be among them is for the metering pass to decide.
func (d *decoder) tableFuncs() []uint32 {
	r := &d.r
	n := r.count("elements", MaxTable)
	funcs := make([]uint32, n)
	for i := range funcs {
		at := r.pos
		funcs[i] = r.u32()
		if uint64(funcs[i]) >= uint64(d.m.NumFuncs()) {
			r.fail(at, "function %d does not exist", funcs[i])
		}
	}
	return funcs
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
	n := r.count("data segments", MaxSegments)
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
			s.Expr = d.constant()
		}
		s.Data = r.bytes(r.u32())
		if r.err != nil {
			return
		}
		d.m.Segs = append(d.m.Segs, s)
	}
}
