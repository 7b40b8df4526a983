package meter

import (
	"slices"

	"github.com/countersign/countersign/internal/abi"
	"github.com/countersign/countersign/internal/wasm"
)

// writer builds the metered module. What is added comes behind what the source
// has: countersign.refill behind the imports, functions behind the functions. So
// the source's functions move up by one. Imported functions are called through
// stubs, which charge for them.
type writer struct {
	m      *wasm.Module
	a      *analysis
	out    wasm.Module
	plan   plan
	nans   nans
	code   []byte // of all functions, rewritten
	types  map[string]uint32
	report Report

	inspected *[]Function // nil where nobody asks
	exported  map[uint32]bool
	pages     uint32
	library   bool
	imports   uint32 // of the source, and so the index of countersign.refill
	fuel      uint32 // global
	stack     uint32 // global
	// Functions that are added: their indices, 0 where there is none, and names.
	refill, refillLocal, bulk, elements, grow, start uint32
	growTables                                       map[uint32]uint32 // by table
	added                                            []string
}

func newWriter(m *wasm.Module, a *analysis, opt *Options) *writer {
	w := &writer{m: m, a: a, out: *m, pages: opt.MemoryPages, library: opt.Library, imports: uint32(len(m.Imports)),
		fuel: uint32(len(m.Globals)), stack: uint32(len(m.Globals)) + 1, growTables: map[uint32]uint32{}, exported: map[uint32]bool{}}
	w.report = Report{SourceBytes: len(m.Data), Functions: len(m.Funcs), MemoryPages: w.pages, Imports: []string{}}
	for _, im := range m.Imports {
		w.report.Imports = append(w.report.Imports, im.Module+"."+im.Name)
	}
	if m.Memory != nil && m.Memory.Max >= 0 {
		w.pages = uint32(min(int64(w.pages), m.Memory.Max))
	}
	for _, e := range m.Exports {
		if e.Kind == wasm.ExportFunc {
			w.exported[e.Index] = true
		}
	}
	w.nans.m = m
	w.knowTypes()
	w.place()
	return w
}

// index renumbers a function of the source; an imported one is called by its stub.
func (w *writer) index(f uint32) uint32 {
	if f < w.imports {
		return uint32(w.m.NumFuncs()) + 1 + f
	}
	return f + 1
}

// functions rewrites every function and adds the helpers.
func (w *writer) functions() error {
	w.out.Funcs = slices.Clone(w.m.Funcs)
	w.out.Code = make([]wasm.Body, len(w.m.Code), len(w.m.Code)+len(w.m.Imports)+addedFuncs)
	total := 0
	for i := range w.m.Code {
		total += len(w.m.Code[i].Code)
	}
	w.code = make([]byte, 0, total+total/2)
	w.prepay()
	for i := range w.m.Code {
		if err := w.plan.function(w.m, i, &w.a.fns[i]); err != nil {
			return err
		}
		start, before := len(w.code), w.report
		locals := w.body(i)
		w.inspect(i, len(w.code)-start, before)
		code := w.code[start:len(w.code):len(w.code)]
		if len(code) > wasm.MaxBody || len(w.code) > wasm.MaxModule {
			return inFunction(w.m, i, w.m.Code[i].Offset, "the code grows to %d bytes, all functions to %d: the metered module would be too large", len(code), len(w.code))
		}
		w.out.Code[i] = wasm.Body{Locals: locals, Code: code}
	}
	w.addFunctions()
	return nil
}

// body writes a function's code and returns its locals.
func (w *writer) body(i int) []wasm.Local {
	b := &w.m.Code[i]
	w.nans.sites = w.nans.sites[:0]
	if w.a.fns[i].floats {
		w.nans.function(i)
	}
	f := newFunction(w, i)
	c := cursor{function: f, at: b.Offset, edits: w.plan.edits, sites: w.nans.sites}
	c.to(b.Offset+len(b.Code), false)
	return f.locals
}

// cursor is a place in a function's source, and what is to be done from there.
type cursor struct {
	*function
	at    int
	edits []edit
	sites []site

	deferred *deferral // of the loop that is being written
}

// to writes everything up to an offset; bare, without charges and checks.
func (c *cursor) to(end int, bare bool) {
	for len(c.edits) > 0 && c.edits[0].at <= end {
		if c.edits[0].at == end && bare {
			break
		}
		e := &c.edits[0]
		c.edits = c.edits[1:]
		c.canonicals(e.at)
		c.copy(e.at)
		if e.kind == editCounted {
			c.countedLoop(e)
		}
		if !bare || e.kind == editRef || e.kind == editSegment {
			c.edit(e)
			c.at = e.end
		}
	}
	c.canonicals(end)
	c.copy(end)
}

func (c *cursor) copy(end int) {
	c.code = append(c.code, c.m.Data[c.at:end]...)
	c.at = end
}

func (c *cursor) canonicals(end int) {
	for ; len(c.sites) > 0 && c.sites[0].at <= end; c.sites = c.sites[1:] {
		if c.sites[0].observed {
			c.copy(c.sites[0].at)
			if c.defers(c.sites[0].at) {
				c.sum(c.deferred)
			} else {
				c.canonical(c.sites[0].lane)
			}
		}
	}
}

// countedLoop writes a loop without charges, for when the balance is enough for
// all of it, and begins the other case.
func (c *cursor) countedLoop(e *edit) {
	c.report.Counted++
	n := &c.plan.counts[e.value]
	c.enterCounted(n, max(c.edits[0].value, 1))
	d := c.deferral(n)
	if d != nil {
		c.aligned(d)
	}
	c.code = append(c.code, opIf)
	c.code = append(c.code, c.m.Data[e.at+1:c.edits[0].at]...) // the loop's block type
	c.payCounted()
	bare := *c
	if bare.deferred = d; d != nil {
		c.beginDeferral(d)
	}
	bare.to(n.end, true)
	c.code = append(c.code, opEnd)
	if d != nil {
		c.endDeferral(d)
	}
	c.code = append(c.code, opElse)
}

// declare writes all but the functions: what is added, and what is renumbered.
func (w *writer) declare() {
	m, out := w.m, &w.out
	out.Imports = append(slices.Clone(m.Imports), wasm.Import{Module: abi.Countersign, Name: abi.Refill, Type: w.typeOf(refillType)})
	if m.Memory != nil {
		out.Memory = &wasm.Limits{Min: m.Memory.Min, Max: int64(w.pages)}
	}
	out.Tables = slices.Clone(m.Tables)
	for i := range out.Tables {
		out.Tables[i].Max = max(int64(tableMaximum(&m.Tables[i])), int64(out.Tables[i].Min))
	}
	out.Globals = append(slices.Clone(m.Globals),
		wasm.Global{Type: wasm.I64, Mutable: true, Init: wasm.Const{opI64Const, 0, opEnd}},
		wasm.Global{Type: wasm.I32, Mutable: true, Init: append(wasm.AppendSigned([]byte{opI32Const}, stackLimit), opEnd)})
	for i := range m.Globals {
		out.Globals[i].Init = w.constant(m.Globals[i].Init)
	}
	w.exports()
	if w.a.uses.segment {
		out.Segs = append(slices.Clone(m.Segs), wasm.Segment{})
	}
	out.Start = nil
	if m.Start != nil && w.library {
		start := w.index(*m.Start)
		out.Start = &start
	}
	w.elems()
	out.Names = w.names()
}

func (w *writer) exports() {
	w.out.Exports = append(slices.Clone(w.m.Exports),
		wasm.Export{Name: abi.FuelGlobal, Kind: wasm.ExportGlobal, Index: w.fuel},
		wasm.Export{Name: abi.StackGlobal, Kind: wasm.ExportGlobal, Index: w.stack})
	for i := range w.m.Exports {
		e := &w.out.Exports[i]
		switch {
		case e.Kind != wasm.ExportFunc:
		case e.Name == entry && w.start != 0:
			e.Index = w.start
		default:
			e.Index = w.index(e.Index)
		}
	}
}

func (w *writer) elems() {
	w.out.Elems = slices.Clone(w.m.Elems)
	for i := range w.out.Elems {
		e := &w.out.Elems[i]
		e.Funcs = slices.Clone(e.Funcs)
		for j, f := range e.Funcs {
			e.Funcs[j] = w.index(f)
		}
		e.Exprs = slices.Clone(e.Exprs)
		for j, c := range e.Exprs {
			e.Exprs[j] = w.constant(c)
		}
	}
}

// constant renumbers the function of a constant expression that refers to one.
func (w *writer) constant(c wasm.Const) wasm.Const {
	if f, ok := c.Func(); ok {
		return wasm.RefFunc(w.index(f))
	}
	return c
}

func key(t wasm.FuncType) string {
	k := make([]byte, 0, len(t.Params)+len(t.Results)+1)
	for _, v := range t.Params {
		k = append(k, byte(v))
	}
	k = append(k, 0)
	for _, v := range t.Results {
		k = append(k, byte(v))
	}
	return string(k)
}

// knowTypes lets typeOf find the source's types.
func (w *writer) knowTypes() {
	w.out.Types, w.types = slices.Clone(w.m.Types), map[string]uint32{}
	for i := range w.m.Types {
		if k := key(w.m.Types[i]); w.types[k] == 0 {
			w.types[k] = uint32(i) + 1
		}
	}
}

// typeOf returns the index of a type, adding it if the module has none equal.
func (w *writer) typeOf(t wasm.FuncType) uint32 {
	k := key(t)
	if i := w.types[k]; i != 0 {
		return i - 1
	}
	w.out.Types = append(w.out.Types, t)
	w.types[k] = uint32(len(w.out.Types))
	return uint32(len(w.out.Types) - 1)
}

// names renumbers the source's function names and adds those of what is added,
// in modules that have any.
func (w *writer) names() wasm.Names {
	all := make(map[uint32]string, len(w.m.Names.Funcs)+len(w.added)+1)
	for f, name := range w.m.Names.Funcs {
		switch {
		case f < w.imports:
			all[f] = name
		case uint64(f) < uint64(w.m.NumFuncs()):
			all[f+1] = name
		}
	}
	if len(all) == 0 && w.m.Names.Module == "" {
		return wasm.Names{}
	}
	all[w.imports] = abi.Countersign + "." + abi.Refill
	for i, name := range w.added {
		all[uint32(w.m.NumFuncs()+1+i)] = name
	}
	return wasm.Names{Module: w.m.Names.Module, Funcs: all}
}
