package wasm

import "slices"

// ValType is a value type, by its byte in the binary format.
type ValType byte

// The value types of WebAssembly 2.0.
const (
	I32       ValType = 0x7f
	I64       ValType = 0x7e
	F32       ValType = 0x7d
	F64       ValType = 0x7c
	V128      ValType = 0x7b
	FuncRef   ValType = 0x70
	ExternRef ValType = 0x6f
)

func (v ValType) String() string {
	switch v {
	case I32:
		return "i32"
	case I64:
		return "i64"
	case F32:
		return "f32"
	case F64:
		return "f64"
	case V128:
		return "v128"
	case FuncRef:
		return "funcref"
	case ExternRef:
		return "externref"
	}
	return "any"
}

// IsRef tells whether the type is a reference type.
func (v ValType) IsRef() bool { return v == FuncRef || v == ExternRef }

func (v ValType) known() bool { return v >= V128 && v <= I32 || v.IsRef() }

// FuncType is a function type.
type FuncType struct{ Params, Results []ValType }

// Equal compares two function types.
func (t FuncType) Equal(u FuncType) bool {
	return slices.Equal(t.Params, u.Params) && slices.Equal(t.Results, u.Results)
}

func (t FuncType) String() string { return list(t.Params) + " → " + list(t.Results) }

func list(v []ValType) string {
	s := "("
	for i, t := range v {
		if i > 0 {
			s += ", "
		}
		s += t.String()
	}
	return s + ")"
}

// Limits on what a module may declare. A metered module has to keep them too,
// so a source may have less where the metering pass adds something.
const (
	MaxModule    = 16 << 20
	MaxTypes     = 65536
	MaxImports   = 1024
	MaxFuncs     = 65535
	MaxTables    = 64
	MaxGlobals   = 1024
	MaxExports   = 65536
	MaxElems     = 65536  // element segments
	MaxSegs      = 100000 // data segments: the most that browsers take
	MaxTable     = 1 << 20
	MaxPages     = 65536
	MaxLocals    = 50000
	MaxOperands  = 50000   // on the stack of a function
	MaxBody      = 7654321 // V8's
	MaxBrTable   = 65536
	MaxSignature = 1000 // parameters, and results
	MaxName      = 1024
	MaxConst     = 1000 // instructions of a constant expression
	MaxNesting   = 1000
)

// Module is a module. Function bodies and data stay bytes of the file that was
// decoded, and must not be changed.
type Module struct {
	Data    []byte // the file that was decoded
	Types   []FuncType
	Imports []Import
	Funcs   []uint32 // type index of every defined function
	Tables  []Table
	Memory  *Limits
	Globals []Global
	Exports []Export
	Start   *uint32 // index of the start function
	Elems   []Elem
	Code    []Body
	Segs    []Segment
	// HasDataCount tells whether the data count section is there.
	HasDataCount bool
	Names        Names
	// Nesting is how deep blocks may be nested; 0 is MaxNesting.
	Nesting int

	declared map[uint32]bool // what ref.func may name
}

// Import is an imported function; nothing else is decoded.
type Import struct {
	Module, Name string
	Type         uint32
	Offset       int
}

// Limits of a table or memory. Max is -1 where there is none.
type Limits struct {
	Min    uint32
	Max    int64
	Offset int
}

// Table is a defined table.
type Table struct {
	Type ValType
	Limits
}

// Const is a constant expression with its end.
type Const []byte

// Func returns the function that the expression is a reference to, if it is one.
func (c Const) Func() (index uint32, ok bool) {
	if len(c) == 0 || Op(c[0]) != OpRefFunc {
		return 0, false
	}
	r := reader{data: c, pos: 1, end: len(c)}
	return r.u32(), true
}

// RefFunc is the constant expression that refers to a function.
func RefFunc(index uint32) Const {
	return append(AppendUnsigned([]byte{byte(OpRefFunc)}, uint64(index)), byte(OpEnd))
}

// Global is a defined global.
type Global struct {
	Type    ValType
	Mutable bool
	Init    Const
}

// ExportKind is what an export names.
type ExportKind byte

// Export kinds.
const (
	ExportFunc ExportKind = iota
	ExportTable
	ExportMemory
	ExportGlobal
)

// Export is an export.
type Export struct {
	Name   string
	Kind   ExportKind
	Index  uint32
	Offset int
}

// ElemMode says what an element segment is for.
type ElemMode byte

// Modes of element segments.
const (
	ElemActive ElemMode = iota
	ElemPassive
	ElemDeclared
)

// Elem is an element segment: of functions, or of constant expressions where
// Exprs is not nil.
type Elem struct {
	Mode   ElemMode
	Table  uint32 // of an active one
	Expr   Const  // the place of an active one
	Type   ValType
	Funcs  []uint32
	Exprs  []Const
	Offset int // in the file
}

// Body is the code of one defined function.
type Body struct {
	Locals []Local
	Code   []byte // instructions, the last of which is end
	Offset int    // of the first instruction in the file
}

// Local is a run of locals of one type.
type Local struct {
	Count uint32
	Type  ValType
}

// Segment is a data segment: passive where Expr is nil.
type Segment struct {
	Expr Const
	Data []byte
}

// FuncType returns the type of a function by its index; imports come first.
func (m *Module) FuncType(index uint32) FuncType {
	if int(index) < len(m.Imports) {
		return m.Types[m.Imports[index].Type]
	}
	return m.Types[m.Funcs[int(index)-len(m.Imports)]]
}

// NumLocals counts the parameters and locals of defined function i.
func (m *Module) NumLocals(i int) uint32 {
	n := uint32(len(m.Types[m.Funcs[i]].Params))
	for _, l := range m.Code[i].Locals {
		n += l.Count
	}
	return n
}

// NumFuncs counts imported and defined functions.
func (m *Module) NumFuncs() int { return len(m.Imports) + len(m.Funcs) }

// Referenced has the functions that segments and globals refer to, so that
// tables can hold them. Code may refer to more.
func (m *Module) Referenced() map[uint32]bool {
	refs := map[uint32]bool{}
	constant := func(c Const) {
		if f, ok := c.Func(); ok {
			refs[f] = true
		}
	}
	for i := range m.Globals {
		constant(m.Globals[i].Init)
	}
	for i := range m.Elems {
		if m.Elems[i].Mode == ElemDeclared {
			continue // it says only what code refers to
		}
		for _, f := range m.Elems[i].Funcs {
			refs[f] = true
		}
		for _, c := range m.Elems[i].Exprs {
			constant(c)
		}
	}
	return refs
}
