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

// rank is the order in which sections must come; 0 is a section that is not known.
var rank = [256]int{sectionType: 1, sectionImport: 2, sectionFunction: 3, sectionTable: 4, sectionMemory: 5, sectionTag: 6, sectionGlobal: 7,
	sectionExport: 8, sectionStart: 9, sectionElement: 10, sectionDataCount: 11, sectionCode: 12, sectionData: 13}

// Decode reads a module, without its instructions. Errors are *Error.
func Decode(data []byte) (*Module, error) {
	if len(data) > MaxModule {
		return nil, &Error{Func: -1, Msg: "module is larger than 16 MiB"}
	}
	if !bytes.HasPrefix(data, header) {
		return nil, &Error{Func: -1, Msg: "not a WebAssembly module (version 1)"}
	}
	d := decoder{m: &Module{Data: data, declared: map[uint32]bool{}}, r: reader{data: data, pos: len(header), end: len(data)}, dataCount: -1}
	last := 0
	for d.r.left() > 0 {
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
	switch {
	case id == sectionCustom:
		d.custom()
	case rank[id] == 0:
		r.fail(at, "section %d is not known", id)
	case rank[id] <= last:
		r.fail(at, "section %d is twice or out of order", id)
	default:
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
		d.tables()
	case sectionMemory:
		d.memory()
	case sectionGlobal:
		d.globals()
	case sectionExport:
		d.exports()
	case sectionStart:
		d.start()
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
		d.r.refuse(at, Exceptions, "tag section")
	}
}

func (d *decoder) finish() {
	if len(d.m.Funcs) != len(d.m.Code) {
		d.r.fail(len(d.r.data), "%d functions declared, %d have code", len(d.m.Funcs), len(d.m.Code))
	}
	if d.dataCount >= 0 && d.dataCount != len(d.m.Segs) {
		d.r.fail(len(d.r.data), "%d data segments announced, there are %d", d.dataCount, len(d.m.Segs))
	}
}

func (d *decoder) types() {
	r := &d.r
	n := r.count("types", MaxTypes)
	d.m.Types = make([]FuncType, 0, n)
	for range n {
		at := r.pos
		switch form := r.byte(); {
		case form >= 0x4e && form <= 0x5f:
			r.refuse(at, GC, "type form 0x%02x", form)
		case form != 0x60:
			r.fail(at, "type form 0x%02x is not known", form)
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
	if n == 0 {
		return nil
	}
	v := make([]ValType, n)
	for i := range v {
		v[i] = d.value()
	}
	return v
}

func (d *decoder) value() ValType { return d.r.value() }

func (r *reader) value() ValType {
	at := r.pos
	t := ValType(r.byte())
	if !t.known() {
		refuseType(r, at, t)
	}
	return t
}

func (r *reader) refType() ValType {
	at := r.pos
	t := r.value()
	if !t.IsRef() {
		r.fail(at, "%s where a reference type is wanted", t)
	}
	return t
}

func (d *decoder) start() {
	at := d.r.pos
	f := d.function()
	if d.r.err == nil && !d.m.FuncType(f).Equal(FuncType{}) {
		d.r.fail(at, "start function of type %s", d.m.FuncType(f))
	}
	d.m.Start = &f
}

// function reads the index of a function that there is.
func (d *decoder) function() uint32 {
	at := d.r.pos
	f := d.r.u32()
	if uint64(f) >= uint64(d.m.NumFuncs()) {
		d.r.fail(at, "function %d does not exist", f)
	}
	return f
}

func refuseType(r *reader, at int, t ValType) {
	switch {
	case t >= 0x63 && t <= 0x64:
		r.refuse(at, FuncRefs, "type 0x%02x", byte(t))
	case t >= 0x65 && t <= 0x77:
		r.refuse(at, GC, "type 0x%02x", byte(t))
	default:
		r.fail(at, "value type 0x%02x is not known", byte(t))
	}
}

func (d *decoder) imports() {
	r := &d.r
	kinds := [...]string{1: "table", 2: "memory", 3: "global", 4: "tag"}
	n := r.count("imports", MaxImports)
	d.m.Imports = make([]Import, 0, n)
	for range n {
		at := r.pos
		im := Import{Module: r.name(), Name: r.name(), Offset: at}
		switch kind := int(r.byte()); {
		case kind >= len(kinds):
			r.fail(at, "import %+q.%+q of kind %d is not known", im.Module, im.Name, kind)
		case kind > 0:
			r.refuse(at, OtherImports, "%s %+q.%+q", kinds[kind], im.Module, im.Name)
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
	if uint64(i) >= uint64(len(d.m.Types)) {
		d.r.fail(at, "type %d does not exist", i)
	}
	return i
}

func (d *decoder) functions() {
	n := d.r.count("functions", MaxFuncs)
	d.m.Funcs = make([]uint32, n)
	for i := range n {
		d.m.Funcs[i] = d.typeIndex()
	}
}

// limits reads the size of a table or memory of at most most.
func (d *decoder) limits(most uint32, what string) *Limits {
	r := &d.r
	at := r.pos
	flags := r.byte()
	switch {
	case flags >= 8:
		r.fail(at, "%s with flags 0x%02x", what, flags)
	case flags&4 != 0:
		r.refuse(at, Memory64, "%s with flags 0x%02x", what, flags)
	case flags&2 != 0:
		r.refuse(at, Threads, "shared %s", what)
	}
	l := &Limits{Min: r.u32(), Max: -1, Offset: at}
	if flags == 1 {
		l.Max = int64(r.u32())
	}
	switch {
	case l.Min > most:
		r.fail(at, "%s of %d, at most %d allowed", what, l.Min, most)
	case l.Max >= 0 && l.Max < int64(l.Min):
		r.fail(at, "%s of %d with maximum %d", what, l.Min, l.Max)
	}
	return l
}

func (d *decoder) tables() {
	r := &d.r
	n := r.count("tables", MaxTables)
	d.m.Tables = make([]Table, 0, n)
	for range n {
		at := r.pos
		if r.left() > 0 && r.data[r.pos] == 0x40 {
			r.refuse(at, FuncRefs, "table with an initial value")
		}
		t := Table{Type: r.refType()}
		t.Limits = *d.limits(MaxTable, "table")
		if r.err != nil {
			return
		}
		d.m.Tables = append(d.m.Tables, t)
	}
}

func (d *decoder) memory() {
	r := &d.r
	at := r.pos
	n := r.u32()
	if n > 1 {
		r.refuse(at, MultiMemory, "%d memories", n)
	}
	if n == 0 {
		return
	}
	d.m.Memory = d.limits(MaxPages, "memory")
	if d.m.Memory.Max > MaxPages {
		r.fail(d.m.Memory.Offset, "memory maximum of %d pages, at most %d allowed", d.m.Memory.Max, MaxPages)
	}
}
