package wasm

import "bytes"

var header = []byte("\x00asm\x01\x00\x00\x00")

// Section ids.
const (
	sectionCustom = iota
	sectionType
	sectionImport
	sectionFunction
	sectionTable
	sectionMemory
	sectionGlobal
	sectionExport
	sectionStart
	sectionElement
	sectionCode
	sectionData
	sectionDataCount
	sectionTag
)

// rank is the order in which sections must come.
var rank = map[byte]int{sectionType: 1, sectionImport: 2, sectionFunction: 3, sectionTable: 4, sectionMemory: 5, sectionTag: 6, sectionGlobal: 7,
	sectionExport: 8, sectionStart: 9, sectionElement: 10, sectionDataCount: 11, sectionCode: 12, sectionData: 13}

// Decode reads a module, without its instructions. Errors are *Error.
func Decode(data []byte) (*Module, error) {
	if len(data) > MaxModule {
		return nil, &Error{Func: -1, Msg: "module is larger than 16 MiB"}
	}
	if !bytes.HasPrefix(data, header) {
		return nil, &Error{Func: -1, Msg: "not a WebAssembly module (version 1)"}
	}
	d := decoder{m: &Module{Data: data}, r: reader{data: data, pos: len(header), end: len(data)}, dataCount: -1}
	last := 0
	for d.r.err == nil && d.r.left() > 0 {
		last = d.section(last)
	}
	d.finish()
	if d.r.err != nil {
		return nil, d.r.err
	}
	return d.m, nil
}

type decoder struct {
	m         *Module
	r         reader
	dataCount int
}

// section reads one section and returns its rank.
func (d *decoder) section(last int) int {
	r := &d.r
	at := r.pos
	id := r.byte()
	size := r.u32()
	if uint64(size) > uint64(r.left()) {
		r.fail(at, "section %d: %d bytes announced, %d left", id, size, r.left())
		return last
	}
	end, whole := r.pos+int(size), r.end
	r.end = end
	if id == sectionCustom {
		d.custom()
	} else {
		if rank[id] <= last {
			r.fail(at, "section %d is unknown, or twice, or out of order", id)
			return last
		}
		last = rank[id]
		d.content(id, at)
	}
	if r.err == nil && r.pos != end {
		r.fail(r.pos, "section %d: %d bytes too many", id, end-r.pos)
	}
	if r.err == nil {
		r.end = whole
	}
	return last
}

func (d *decoder) content(id byte, at int) {
	switch id {
	case sectionType:
		d.types()
	case sectionImport:
		d.imports()
	case sectionFunction:
		d.functions()
	case sectionTable:
		d.table()
	case sectionMemory:
		d.memory()
	case sectionGlobal:
		d.globals()
	case sectionExport:
		d.exports()
	case sectionStart:
		d.r.fail(at, "a start function is not accepted")
	case sectionElement:
		d.elements()
	case sectionCode:
		d.code()
	case sectionData:
		d.data()
	case sectionDataCount:
		d.dataCount = int(d.r.u32())
		d.m.HasDataCount = true
	case sectionTag:
		d.r.fail(at, "exceptions are not accepted (tag section)")
	}
}

func (d *decoder) finish() {
	r := &d.r
	if r.err != nil {
		return
	}
	if len(d.m.Funcs) != len(d.m.Code) {
		r.fail(len(r.data), "%d functions declared, %d have code", len(d.m.Funcs), len(d.m.Code))
	}
	if d.dataCount >= 0 && d.dataCount != len(d.m.Segs) {
		r.fail(len(r.data), "%d data segments announced, there are %d", d.dataCount, len(d.m.Segs))
	}
}

func (d *decoder) types() {
	r := &d.r
	for range r.count("types", MaxTypes) {
		at := r.pos
		if b := r.byte(); b != 0x60 && r.err == nil {
			r.fail(at, "type form 0x%02x is not accepted (GC, typed function references)", b)
		}
		t := FuncType{Params: d.values(), Results: d.values()}
		if r.err != nil {
			return
		}
		d.m.Types = append(d.m.Types, t)
	}
}

func (d *decoder) values() []ValType {
	n := d.r.count("values in a signature", MaxSignature)
	var v []ValType
	for range n {
		v = append(v, d.value())
	}
	return v
}

// value reads a number type; vectors and references are outside of the subset.
func (d *decoder) value() ValType {
	at := d.r.pos
	t := ValType(d.r.byte())
	switch {
	case d.r.err != nil || t == I32 || t == I64 || t == F32 || t == F64:
	case t == V128:
		d.r.fail(at, "SIMD is not accepted (type v128)")
	case t == FuncRef || t == ExternRef:
		d.r.fail(at, "reference types are not accepted (type %s)", t)
	default:
		d.r.fail(at, "value type 0x%02x is not accepted", byte(t))
	}
	return t
}

func (d *decoder) imports() {
	r := &d.r
	kinds := map[byte]string{1: "table", 2: "memory", 3: "global", 4: "tag"}
	for range r.count("imports", MaxImports) {
		at := r.pos
		im := Import{Module: r.name(), Name: r.name(), Offset: at}
		kind := r.byte()
		if r.err == nil && kind != 0 {
			r.fail(at, "imported %s %q.%q is not accepted", kinds[kind], im.Module, im.Name)
		}
		im.Type = d.typeIndex()
		if r.err != nil {
			return
		}
		d.m.Imports = append(d.m.Imports, im)
	}
}

func (d *decoder) typeIndex() uint32 {
	at := d.r.pos
	i := d.r.u32()
	if d.r.err == nil && uint64(i) >= uint64(len(d.m.Types)) {
		d.r.fail(at, "type %d does not exist", i)
	}
	return i
}

func (d *decoder) functions() {
	for range d.r.count("functions", MaxFuncs) {
		i := d.typeIndex()
		if d.r.err != nil {
			return
		}
		d.m.Funcs = append(d.m.Funcs, i)
	}
}

func (d *decoder) limits(max uint32, what string) *Limits {
	r := &d.r
	at := r.pos
	flags := r.byte()
	if r.err == nil && flags > 1 {
		r.fail(at, "%s with flags 0x%02x is not accepted (threads, memory64)", what, flags)
	}
	l := &Limits{Min: r.u32(), Max: -1, Offset: at}
	if flags == 1 {
		l.Max = int64(r.u32())
	}
	if r.err == nil && (l.Min > max || (l.Max >= 0 && (l.Max < int64(l.Min)))) {
		r.fail(at, "%s of %d (maximum %d): at most %d allowed", what, l.Min, l.Max, max)
	}
	return l
}

func (d *decoder) table() {
	r := &d.r
	at := r.pos
	if n := r.count("tables", 1); n == 0 {
		return
	}
	if t := ValType(r.byte()); r.err == nil && t != FuncRef {
		r.fail(at, "a table of %s is not accepted (reference types)", t)
	}
	d.m.Table = d.limits(MaxTable, "table")
}

func (d *decoder) memory() {
	if n := d.r.count("memories", 1); n == 0 {
		return
	}
	d.m.Memory = d.limits(MaxPages, "memory")
	if d.r.err == nil && d.m.Memory.Max > MaxPages {
		d.r.fail(d.m.Memory.Offset, "memory maximum of %d pages: at most %d exist", d.m.Memory.Max, MaxPages)
	}
}

func (d *decoder) globals() {
	r := &d.r
	for range r.count("globals", MaxGlobals) {
		g := Global{Type: d.value()}
		at := r.pos
		b := r.byte()
		if r.err == nil && b > 1 {
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

// constant reads a constant expression of one constant.
func (d *decoder) constant() []byte {
	r := &d.r
	at := r.pos
	switch op := r.byte(); op {
	case 0x41:
		r.signed(32)
	case 0x42:
		r.signed(64)
	case 0x43:
		r.bytes(4)
	case 0x44:
		r.bytes(8)
	default:
		r.fail(at, "constant expression with opcode 0x%02x is not accepted", op)
	}
	if end := r.byte(); r.err == nil && end != 0x0b {
		r.fail(at, "constant expression of several instructions is not accepted")
	}
	return r.data[at:r.pos]
}

func (d *decoder) exports() {
	r := &d.r
	seen := map[string]bool{}
	for range r.count("exports", MaxExports) {
		at := r.pos
		e := Export{Name: r.name(), Kind: ExportKind(r.byte()), Index: r.u32(), Offset: at}
		if r.err == nil && (seen[e.Name] || !d.exists(e)) {
			r.fail(at, "export %q stands twice, or names what does not exist", e.Name)
		}
		if r.err != nil {
			return
		}
		seen[e.Name] = true
		d.m.Exports = append(d.m.Exports, e)
	}
}

func (d *decoder) exists(e Export) bool {
	n := 0
	switch e.Kind {
	case ExportFunc:
		n = d.m.NumFuncs()
	case ExportTable:
		if d.m.Table != nil {
			n = 1
		}
	case ExportMemory:
		if d.m.Memory != nil {
			n = 1
		}
	case ExportGlobal:
		n = len(d.m.Globals)
	}
	return uint64(e.Index) < uint64(n)
}

func (d *decoder) elements() {
	r := &d.r
	for range r.count("element segments", MaxSegments) {
		at := r.pos
		if flags := r.u32(); r.err == nil && (flags != 0 || d.m.Table == nil) {
			r.fail(at, "element segment of kind %d is not accepted (reference types, bulk table operations)", flags)
		}
		e := Elem{Expr: d.constant()}
		for range r.count("elements", MaxTable) {
			at := r.pos
			f := r.u32()
			if r.err == nil && uint64(f) >= uint64(d.m.NumFuncs()) {
				r.fail(at, "function %d does not exist", f)
			}
			if r.err == nil && int(f) < len(d.m.Imports) {
				r.fail(at, "imported function %d in a table is not accepted", f)
			}
			if r.err != nil {
				return
			}
			e.Funcs = append(e.Funcs, f)
		}
		d.m.Elems = append(d.m.Elems, e)
	}
}

func (d *decoder) code() {
	r := &d.r
	for range r.count("function bodies", MaxFuncs) {
		at := r.pos
		size := r.u32()
		if r.err == nil && (size > MaxBody || uint64(size) > uint64(r.left())) {
			r.fail(at, "function body of %d bytes: at most %d allowed, %d left", size, MaxBody, r.left())
		}
		if r.err != nil {
			return
		}
		if len(d.m.Code) >= len(d.m.Funcs) {
			r.fail(at, "more function bodies than functions")
			return
		}
		d.body(r.pos + int(size))
	}
}

func (d *decoder) body(end int) {
	r := &d.r
	whole := r.end
	r.end = end
	var b Body
	var total uint64
	at := r.pos
	for range r.count("local declarations", MaxLocals) {
		l := Local{Count: r.u32(), Type: d.value()}
		if total += uint64(l.Count); r.err == nil && total > MaxLocals {
			r.fail(at, "%d locals, at most %d allowed", total, MaxLocals)
		}
		if r.err != nil {
			return
		}
		b.Locals = append(b.Locals, l)
	}
	b.Start, b.End = r.pos, end
	if r.err == nil && (b.Start == end || r.data[end-1] != 0x0b) {
		r.fail(end, "function body has no end")
		return
	}
	d.m.Code = append(d.m.Code, b)
	if r.err == nil {
		r.pos, r.end = end, whole
	}
}

func (d *decoder) data() {
	r := &d.r
	for range r.count("data segments", MaxSegments) {
		var s Segment
		at := r.pos
		switch flags := r.u32(); {
		case r.err != nil:
			return
		case flags == 1:
		case flags == 0, flags == 2 && r.u32() == 0:
			if d.m.Memory == nil {
				r.fail(at, "data segment without a memory")
			}
			s.Expr = d.constant()
		default:
			r.fail(at, "data segment of kind %d is not accepted (multiple memories)", flags)
		}
		s.Data = r.bytes(r.u32())
		if r.err != nil {
			return
		}
		d.m.Segs = append(d.m.Segs, s)
	}
}

// custom skips a custom section; of "name" it keeps what it understands. A name
// section that is not well formed is dropped, as engines do.
func (d *decoder) custom() {
	r := &d.r
	name := r.name()
	if r.err == nil && name == "name" {
		d.m.Names = readNames(reader{data: r.data, pos: r.pos, end: r.end})
	}
	if r.err == nil {
		r.pos = r.end
	}
}

func readNames(r reader) Names {
	n := Names{Funcs: map[uint32]string{}}
	for r.err == nil && r.left() > 0 {
		id := r.byte()
		size := r.u32()
		if uint64(size) > uint64(r.left()) {
			return Names{}
		}
		sub := reader{data: r.data, pos: r.pos, end: r.pos + int(size)}
		r.pos += int(size)
		switch id {
		case 0:
			n.Module = sub.name()
		case 1:
			for range sub.count("names", MaxFuncs) {
				i := sub.u32()
				n.Funcs[i] = sub.name()
			}
		}
		if sub.err != nil {
			return Names{}
		}
	}
	if r.err != nil {
		return Names{}
	}
	return n
}
