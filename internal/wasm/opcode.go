package wasm

// Op is an opcode; those behind the prefix 0xfc are 0xfc00 plus their number.
type Op uint16

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
	OpLocalGet     Op = 0x20
	OpLocalSet     Op = 0x21
	OpLocalTee     Op = 0x22
	OpGlobalGet    Op = 0x23
	OpGlobalSet    Op = 0x24
	OpMemorySize   Op = 0x3f
	OpMemoryGrow   Op = 0x40
	OpI32Const     Op = 0x41
	OpI64Const     Op = 0x42
	OpF32Const     Op = 0x43
	OpF64Const     Op = 0x44
	OpMemoryInit   Op = 0xfc08
	OpDataDrop     Op = 0xfc09
	OpMemoryCopy   Op = 0xfc0a
	OpMemoryFill   Op = 0xfc0b
)

// immediates is what follows an opcode.
type immediates byte

const (
	immRefused immediates = iota
	immNone
	immBlock
	immLabel
	immTable
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
)

// plain has the immediates of the opcodes of one byte.
var plain = [256]immediates{
	0x00: immNone, 0x01: immNone, 0x02: immBlock, 0x03: immBlock, 0x04: immBlock, 0x05: immNone, 0x0b: immNone,
	0x0c: immLabel, 0x0d: immLabel, 0x0e: immTable, 0x0f: immNone, 0x10: immFunc, 0x11: immIndirect, 0x1a: immNone, 0x1b: immNone,
	0x20: immLocal, 0x21: immLocal, 0x22: immLocal, 0x23: immGlobal, 0x24: immGlobal,
	0x3f: immMemory, 0x40: immMemory, 0x41: immI32, 0x42: immI64, 0x43: immF32, 0x44: immF64,
}

// widths has log2 of the bytes that each access from 0x28 on moves: its
// alignment may not be larger.
var widths = [...]byte{
	2, 3, 2, 3, 0, 0, 1, 1, 0, 0, 1, 1, 2, 2, // loads 0x28 to 0x35
	2, 3, 2, 3, 0, 1, 0, 1, 2, // stores 0x36 to 0x3e
}

const firstAccess = 0x28

func (op Op) immediates() immediates {
	switch {
	case op < firstAccess:
		return plain[op]
	case op < firstAccess+Op(len(widths)):
		return immAccess
	case op < 0x45:
		return plain[op]
	case op <= 0xc4: // comparisons, arithmetic, conversions, sign extension
		return immNone
	case op >= 0xfc00 && op <= 0xfc07: // saturating conversions
		return immNone
	case op == OpMemoryInit:
		return immInit
	case op == OpDataDrop:
		return immSegment
	case op == OpMemoryCopy:
		return immCopy
	case op == OpMemoryFill:
		return immMemory
	}
	return immRefused
}

// Feature names what a refused opcode belongs to.
func (op Op) Feature() string {
	switch {
	case op >= 0x06 && op <= 0x0a, op == 0x18, op == 0x19, op == 0x1f:
		return "exceptions"
	case op == 0x12, op == 0x13:
		return "tail calls"
	case op == 0x14, op == 0x15, op >= 0xd3 && op <= 0xd6:
		return "typed function references"
	case op == 0x1c, op == 0x25, op == 0x26, op >= 0xd0 && op <= 0xd2:
		return "reference types"
	case op == 0xfb:
		return "GC"
	case op == 0xfd:
		return "SIMD"
	case op == 0xfe:
		return "threads"
	case op >= 0xfc0c && op <= 0xfc11:
		return "bulk table operations"
	}
	return "unknown instructions"
}
