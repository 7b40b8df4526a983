package main

// Opcodes that package wasm has no names for; those of single vector instructions
// without their prefix.
const (
	opF32Load, opF64Load                     = 0x2a, 0x2b
	opF32Store, opF64Store                   = 0x38, 0x39
	opI32Ne, opF32Ne, opF64Ne                = 0x47, 0x5c, 0x62
	opF32Neg, opF64Neg                       = 0x8c, 0x9a
	opF32Copysign, opF64Copysign             = 0x98, 0xa6
	opI64ExtendI32U                          = 0xad
	opF32DemoteF64, opF64PromoteF32          = 0xb6, 0xbb
	opI32ReinterpretF32, opI64ReinterpretF64 = 0xbc, 0xbd
	opF32ReinterpretI32, opF64ReinterpretI64 = 0xbe, 0xbf
	opF32x4Neg, opF64x2Neg                   = 0xfd00e1, 0xfd00ed

	prefixVector               = 0xfd
	opV128Const                = 0x0c
	opI64x2ExtractLane         = 0x1d
	opDemoteZero, opPromoteLow = 0x5e, 0x5f
)
