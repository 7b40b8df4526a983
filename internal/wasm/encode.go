package wasm

// Encode writes a module, every integer as short as it can be, and no custom
// section but the names. Decoding the result gives an equal module.
func (m *Module) Encode() []byte {
	out := make([]byte, 0, m.sizeHint())
	out = append(out, header...)
	e := encoder{out: out}
	e.vector(sectionType, len(m.Types), func(i int) {
		e.out = append(e.out, 0x60)
		e.values(m.Types[i].Params)
		e.values(m.Types[i].Results)
	})
	e.vector(sectionImport, len(m.Imports), func(i int) {
		im := &m.Imports[i]
		e.name(im.Module)
		e.name(im.Name)
		e.out = append(e.out, byte(ExportFunc))
		e.number(im.Type)
	})
	e.vector(sectionFunction, len(m.Funcs), func(i int) { e.number(m.Funcs[i]) })
	e.vector(sectionTable, len(m.Tables), func(i int) {
		e.out = append(e.out, byte(m.Tables[i].Type))
		e.limits(&m.Tables[i].Limits)
	})
	e.vector(sectionMemory, count(m.Memory), func(int) { e.limits(m.Memory) })
	e.vector(sectionGlobal, len(m.Globals), func(i int) { e.global(&m.Globals[i]) })
	e.vector(sectionExport, len(m.Exports), func(i int) {
		x := &m.Exports[i]
		e.name(x.Name)
		e.out = append(e.out, byte(x.Kind))
		e.number(x.Index)
	})
	if m.Start != nil {
		e.out = appendSection(e.out, sectionStart, AppendUnsigned(nil, uint64(*m.Start)))
	}
	e.vector(sectionElement, len(m.Elems), func(i int) { e.elem(&m.Elems[i]) })
	if m.HasDataCount {
		e.out = appendSection(e.out, sectionDataCount, AppendUnsigned(nil, uint64(len(m.Segs))))
	}
	e.vector(sectionCode, len(m.Code), func(i int) { e.body(&m.Code[i]) })
	e.vector(sectionData, len(m.Segs), func(i int) { e.segment(&m.Segs[i]) })
	if !m.Names.empty() {
		e.out = appendSection(e.out, sectionCustom, m.Names.append(nil))
	}
	return e.out
}

func (m *Module) sizeHint() int {
	n := 4096 + 16*(len(m.Types)+len(m.Imports)+len(m.Funcs)+len(m.Exports))
	for i := range m.Code {
		n += len(m.Code[i].Code) + 8 + 4*len(m.Code[i].Locals)
	}
	for i := range m.Segs {
		n += len(m.Segs[i].Expr) + len(m.Segs[i].Data) + 5
	}
	return n
}

func count(l *Limits) int {
	if l == nil {
		return 0
	}
	return 1
}

type encoder struct{ out []byte }

// vector writes a section of n items, or nothing. The content moves up when its
// size is known, for the length before it.
func (e *encoder) vector(id byte, n int, item func(i int)) {
	if n == 0 {
		return
	}
	e.out = append(e.out, id)
	start := len(e.out)
	e.out = AppendUnsigned(e.out, uint64(n))
	for i := range n {
		item(i)
	}
	e.out = insertSize(e.out, start)
}

// insertSize puts the length of what follows start there.
func insertSize(out []byte, start int) []byte {
	size := len(out) - start
	var buf [5]byte
	length := AppendUnsigned(buf[:0], uint64(size))
	out = append(out, length...)
	copy(out[start+len(length):], out[start:start+size])
	copy(out[start:], length)
	return out
}

func (e *encoder) number(n uint32) { e.out = AppendUnsigned(e.out, uint64(n)) }

func (e *encoder) name(s string) { e.out = AppendName(e.out, s) }

func (e *encoder) values(types []ValType) {
	e.number(uint32(len(types)))
	for _, t := range types {
		e.out = append(e.out, byte(t))
	}
}

func (e *encoder) limits(l *Limits) {
	if l.Max < 0 {
		e.out = append(e.out, 0)
		e.number(l.Min)
		return
	}
	e.out = append(e.out, 1)
	e.number(l.Min)
	e.number(uint32(l.Max))
}

func (e *encoder) global(g *Global) {
	mutable := byte(0)
	if g.Mutable {
		mutable = 1
	}
	e.out = append(e.out, byte(g.Type), mutable)
	e.out = append(e.out, g.Init...)
}

// Flags of element segments.
const (
	elemNotActive = 1 << iota
	elemNamed     // table and type are written; of one that is not active: declared
	elemExprs     // constant expressions instead of functions
)

func (e *encoder) elem(s *Elem) {
	flags := byte(0)
	switch {
	case s.Mode == ElemPassive:
		flags = elemNotActive
	case s.Mode == ElemDeclared:
		flags = elemNotActive | elemNamed
	case s.Table != 0 || s.Type != FuncRef:
		flags = elemNamed
	}
	if s.Exprs != nil {
		flags |= elemExprs
	}
	e.out = append(e.out, flags)
	if s.Mode == ElemActive {
		if flags&elemNamed != 0 {
			e.number(s.Table)
		}
		e.out = append(e.out, s.Expr...)
	}
	switch {
	case flags&(elemNotActive|elemNamed) == 0:
	case s.Exprs != nil:
		e.out = append(e.out, byte(s.Type))
	default:
		e.out = append(e.out, 0)
	}
	e.number(uint32(len(s.Exprs) + len(s.Funcs)))
	for _, c := range s.Exprs {
		e.out = append(e.out, c...)
	}
	for _, f := range s.Funcs {
		e.number(f)
	}
}

func (e *encoder) body(b *Body) {
	var buf [64]byte
	locals := AppendUnsigned(buf[:0], uint64(len(b.Locals)))
	for _, l := range b.Locals {
		locals = append(AppendUnsigned(locals, uint64(l.Count)), byte(l.Type))
	}
	e.number(uint32(len(locals) + len(b.Code)))
	e.out = append(append(e.out, locals...), b.Code...)
}

func (e *encoder) segment(s *Segment) {
	if s.Expr == nil {
		e.out = append(e.out, 1)
	} else {
		e.out = append(append(e.out, 0), s.Expr...)
	}
	e.number(uint32(len(s.Data)))
	e.out = append(e.out, s.Data...)
}

func appendSection(out []byte, id byte, content []byte) []byte {
	out = AppendUnsigned(append(out, id), uint64(len(content)))
	return append(out, content...)
}

// AppendName appends a name with its length.
func AppendName(out []byte, s string) []byte {
	return append(AppendUnsigned(out, uint64(len(s))), s...)
}

// AppendUnsigned appends an unsigned LEB128 integer.
func AppendUnsigned(out []byte, v uint64) []byte {
	for ; v >= 0x80; v >>= 7 {
		out = append(out, byte(v)|0x80)
	}
	return append(out, byte(v))
}

// AppendSigned appends a signed LEB128 integer.
func AppendSigned(out []byte, v int64) []byte {
	for v < -64 || v > 63 {
		out = append(out, byte(v)|0x80)
		v >>= 7
	}
	return append(out, byte(v)&0x7f)
}
