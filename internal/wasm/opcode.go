package wasm

import (
	"fmt"
	"strings"
)

// Op is an opcode. Those behind a prefix are the prefix shifted left by 16 bits
// plus their number, of which 0xffff stands for all that is larger.
type Op uint32

// Opcodes that the metering pass treats by name.
const (
	OpUnreachable  Op = 0x00
	OpNop          Op = 0x01
	OpBlock        Op = 0x02
	OpLoop         Op = 0x03
	OpIf           Op = 0x04
	OpElse         Op = 0x05
	OpEnd          Op = 0x0b
	OpBr           Op = 0x0c
	OpBrIf         Op = 0x0d
	OpBrTable      Op = 0x0e
	OpReturn       Op = 0x0f
	OpCall         Op = 0x10
	OpCallIndirect Op = 0x11
	OpDrop         Op = 0x1a
	OpSelect       Op = 0x1b
	OpSelectT      Op = 0x1c
	OpLocalGet     Op = 0x20
	OpLocalSet     Op = 0x21
	OpLocalTee     Op = 0x22
	OpGlobalGet    Op = 0x23
	OpGlobalSet    Op = 0x24
	OpTableGet     Op = 0x25
	OpTableSet     Op = 0x26
	OpMemorySize   Op = 0x3f
	OpMemoryGrow   Op = 0x40
	OpI32Const     Op = 0x41
	OpI64Const     Op = 0x42
	OpF32Const     Op = 0x43
	OpF64Const     Op = 0x44
	OpI32Add       Op = 0x6a
	OpI32Sub       Op = 0x6b
	OpI32Mul       Op = 0x6c
	OpI64Add       Op = 0x7c
	OpI64Sub       Op = 0x7d
	OpI64Mul       Op = 0x7e
	OpRefNull      Op = 0xd0
	OpRefIsNull    Op = 0xd1
	OpRefFunc      Op = 0xd2
	OpMemoryInit   Op = 0xfc0008
	OpDataDrop     Op = 0xfc0009
	OpMemoryCopy   Op = 0xfc000a
	OpMemoryFill   Op = 0xfc000b
	OpTableInit    Op = 0xfc000c
	OpElemDrop     Op = 0xfc000d
	OpTableCopy    Op = 0xfc000e
	OpTableGrow    Op = 0xfc000f
	OpTableSize    Op = 0xfc0010
	OpTableFill    Op = 0xfc0011
	OpV128Const    Op = 0xfd000c
)

// Prefixes of longer opcodes.
const (
	prefixGC     Op = 0xfb
	prefixMisc   Op = 0xfc
	prefixVector Op = 0xfd
	prefixAtomic Op = 0xfe
)

// immediates is what follows an opcode.
type immediates byte

const (
	immRefused immediates = iota
	immNone
	immBlock
	immLabel
	immLabels
	immFunc
	immIndirect
	immLocal
	immGlobal
	immAccess // alignment, offset
	immMemory // one zero byte
	immI32
	immI64
	immF32
	immF64
	immInit // data segment, memory
	immSegment
	immCopy // two memories
	immSelect
	immTable
	immTableInit // element segment, table
	immElem
	immTableCopy // two tables
	immRefType
	immVector   // 16 bytes
	immShuffle  // 16 lanes
	immLane     // one
	immLaneMove // alignment, offset, lane
)

// instruction is a row of the opcode table. A refused one names its feature.
type instruction struct {
	name    string
	imm     immediates
	align   uint8 // of an access: log2 of the bytes that it moves
	lanes   uint8 // of a lane instruction: how many it can choose from
	feature Feature

	// What it takes from the stack and puts there, if that never changes.
	typed   bool
	in, out []ValType
}

var (
	plain  = plainTable()  // opcodes of one byte
	misc   = miscTable()   // behind the prefix 0xfc
	vector = vectorTable() // behind the prefix 0xfd
)

// rows fills the table from opcode first on with names, separated by spaces.
func rows(table []instruction, first int, imm immediates, feature Feature, names string) {
	for i, name := range strings.Fields(names) {
		table[first+i] = instruction{name: name, imm: imm, feature: feature}
	}
}

// refused fills rows that only say what they belong to.
func refused(table []instruction, first int, feature Feature, names string) {
	rows(table, first, immRefused, feature, names)
}

func plainTable() (t [256]instruction) {
	for i := range t {
		t[i].feature = UnknownInstr
	}
	all := t[:]
	rows(all, 0x00, immNone, "", "unreachable nop")
	rows(all, 0x02, immBlock, "", "block loop if")
	rows(all, 0x05, immNone, "", "else")
	refused(all, 0x06, Exceptions, "try catch throw rethrow throw_ref")
	rows(all, 0x0b, immNone, "", "end")
	rows(all, 0x0c, immLabel, "", "br br_if")
	rows(all, 0x0e, immLabels, "", "br_table")
	rows(all, 0x0f, immNone, "", "return")
	rows(all, 0x10, immFunc, "", "call")
	rows(all, 0x11, immIndirect, "", "call_indirect")
	refused(all, 0x12, TailCalls, "return_call return_call_indirect")
	refused(all, 0x14, FuncRefs, "call_ref return_call_ref")
	refused(all, 0x18, Exceptions, "delegate catch_all")
	rows(all, 0x1a, immNone, "", "drop select")
	rows(all, 0x1c, immSelect, "", "select")
	refused(all, 0x1f, Exceptions, "try_table")
	rows(all, 0x20, immLocal, "", "local.get local.set local.tee")
	rows(all, 0x23, immGlobal, "", "global.get global.set")
	rows(all, 0x25, immTable, "", "table.get table.set")
	accesses(all)
	rows(all, 0x3f, immMemory, "", "memory.size memory.grow")
	rows(all, 0x41, immI32, "", "i32.const")
	rows(all, 0x42, immI64, "", "i64.const")
	rows(all, 0x43, immF32, "", "f32.const")
	rows(all, 0x44, immF64, "", "f64.const")
	numeric(all)
	rows(all, 0xd0, immRefType, "", "ref.null")
	rows(all, 0xd1, immNone, "", "ref.is_null")
	rows(all, 0xd2, immFunc, "", "ref.func")
	refused(all, 0xd3, GC, "ref.eq")
	refused(all, 0xd4, FuncRefs, "ref.as_non_null br_on_null br_on_non_null")
	signatures(all, plainSignatures)
	return t
}

func accesses(all []instruction) {
	rows(all, 0x28, immAccess, "", `i32.load i64.load f32.load f64.load
		i32.load8_s i32.load8_u i32.load16_s i32.load16_u
		i64.load8_s i64.load8_u i64.load16_s i64.load16_u i64.load32_s i64.load32_u
		i32.store i64.store f32.store f64.store i32.store8 i32.store16 i64.store8 i64.store16 i64.store32`)
	for i, log2 := range []uint8{2, 3, 2, 3, 0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 2, 3, 2, 3, 0, 1, 0, 1, 2} {
		all[0x28+i].align = log2
	}
}

func numeric(all []instruction) {
	const compareInt = " eqz eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u"
	const compareFloat = " eq ne lt gt le ge"
	const int = " clz ctz popcnt add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr"
	const float = " abs neg ceil floor trunc nearest sqrt add sub mul div min max copysign"
	of := func(typ, names string) string { return strings.ReplaceAll(names, " ", " "+typ+".") }
	rows(all, 0x45, immNone, "", of("i32", compareInt)+of("i64", compareInt)+of("f32", compareFloat)+of("f64", compareFloat)+
		of("i32", int)+of("i64", int)+of("f32", float)+of("f64", float)+
		of("i32", " wrap_i64 trunc_f32_s trunc_f32_u trunc_f64_s trunc_f64_u")+
		of("i64", " extend_i32_s extend_i32_u trunc_f32_s trunc_f32_u trunc_f64_s trunc_f64_u")+
		of("f32", " convert_i32_s convert_i32_u convert_i64_s convert_i64_u demote_f64")+
		of("f64", " convert_i32_s convert_i32_u convert_i64_s convert_i64_u promote_f32")+
		" i32.reinterpret_f32 i64.reinterpret_f64 f32.reinterpret_i32 f64.reinterpret_i64"+
		of("i32", " extend8_s extend16_s")+of("i64", " extend8_s extend16_s extend32_s"))
}

func miscTable() (t [0x12]instruction) {
	all := t[:]
	rows(all, 0x00, immNone, "", `i32.trunc_sat_f32_s i32.trunc_sat_f32_u i32.trunc_sat_f64_s i32.trunc_sat_f64_u
		i64.trunc_sat_f32_s i64.trunc_sat_f32_u i64.trunc_sat_f64_s i64.trunc_sat_f64_u`)
	rows(all, 0x08, immInit, "", "memory.init")
	rows(all, 0x09, immSegment, "", "data.drop")
	rows(all, 0x0a, immCopy, "", "memory.copy")
	rows(all, 0x0b, immMemory, "", "memory.fill")
	rows(all, 0x0c, immTableInit, "", "table.init")
	rows(all, 0x0d, immElem, "", "elem.drop")
	rows(all, 0x0e, immTableCopy, "", "table.copy")
	rows(all, 0x0f, immTable, "", "table.grow table.size table.fill")
	signatures(all, "0:f:i 2:F:i 4:f:I 6:F:I 8:iii: 9:: 10:iii: 12:- 13:: 14:-")
	return t
}

// The rows of what is behind a prefix without a table.
var (
	rowGC      = instruction{feature: GC}
	rowRelaxed = instruction{feature: RelaxedSIMD}
	rowThreads = instruction{feature: Threads}
	rowUnknown = instruction{feature: UnknownInstr}
)

func (op Op) row() *instruction {
	if op < Op(len(plain)) {
		return &plain[op]
	}
	number := op & 0xffff
	switch prefix := op >> 16; {
	case prefix == prefixMisc && number < Op(len(misc)):
		return &misc[number]
	case prefix == prefixGC:
		return &rowGC
	case prefix == prefixVector && number >= 0x100:
		return &rowRelaxed
	case prefix == prefixVector:
		return &vector[number]
	case prefix == prefixAtomic:
		return &rowThreads
	}
	return &rowUnknown
}

// Accepted tells whether modules may use the instruction.
func (op Op) Accepted() bool { return op.row().imm != immRefused }

// String is the instruction's name in the text format, where it is known, and
// the opcode.
func (op Op) String() string {
	code := fmt.Sprintf("opcode 0x%02x", uint32(op))
	if op > 0xff {
		code = fmt.Sprintf("opcode 0x%02x 0x%02x", uint32(op>>16), uint32(op&0xffff))
	}
	if name := op.row().name; name != "" {
		return name + ", " + code
	}
	return code
}

// Name is the instruction's name in the text format, or "".
func (op Op) Name() string { return op.row().name }
