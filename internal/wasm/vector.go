package wasm

import "strings"

// vectorNames has the instructions behind the prefix 0xfd in order, up to the
// first that is not SIMD of WebAssembly 2.0. A dash is an opcode that is free.
const vectorNames = `v128.load v128.load8x8_s v128.load8x8_u v128.load16x4_s v128.load16x4_u v128.load32x2_s v128.load32x2_u
	v128.load8_splat v128.load16_splat v128.load32_splat v128.load64_splat v128.store v128.const i8x16.shuffle i8x16.swizzle
	i8x16.splat i16x8.splat i32x4.splat i64x2.splat f32x4.splat f64x2.splat
	i8x16.extract_lane_s i8x16.extract_lane_u i8x16.replace_lane i16x8.extract_lane_s i16x8.extract_lane_u i16x8.replace_lane
	i32x4.extract_lane i32x4.replace_lane i64x2.extract_lane i64x2.replace_lane f32x4.extract_lane f32x4.replace_lane f64x2.extract_lane f64x2.replace_lane
	i8x16.eq i8x16.ne i8x16.lt_s i8x16.lt_u i8x16.gt_s i8x16.gt_u i8x16.le_s i8x16.le_u i8x16.ge_s i8x16.ge_u
	i16x8.eq i16x8.ne i16x8.lt_s i16x8.lt_u i16x8.gt_s i16x8.gt_u i16x8.le_s i16x8.le_u i16x8.ge_s i16x8.ge_u
	i32x4.eq i32x4.ne i32x4.lt_s i32x4.lt_u i32x4.gt_s i32x4.gt_u i32x4.le_s i32x4.le_u i32x4.ge_s i32x4.ge_u
	f32x4.eq f32x4.ne f32x4.lt f32x4.gt f32x4.le f32x4.ge f64x2.eq f64x2.ne f64x2.lt f64x2.gt f64x2.le f64x2.ge
	v128.not v128.and v128.andnot v128.or v128.xor v128.bitselect v128.any_true
	v128.load8_lane v128.load16_lane v128.load32_lane v128.load64_lane v128.store8_lane v128.store16_lane v128.store32_lane v128.store64_lane
	v128.load32_zero v128.load64_zero f32x4.demote_f64x2_zero f64x2.promote_low_f32x4
	i8x16.abs i8x16.neg i8x16.popcnt i8x16.all_true i8x16.bitmask i8x16.narrow_i16x8_s i8x16.narrow_i16x8_u f32x4.ceil f32x4.floor f32x4.trunc f32x4.nearest
	i8x16.shl i8x16.shr_s i8x16.shr_u i8x16.add i8x16.add_sat_s i8x16.add_sat_u i8x16.sub i8x16.sub_sat_s i8x16.sub_sat_u f64x2.ceil f64x2.floor
	i8x16.min_s i8x16.min_u i8x16.max_s i8x16.max_u f64x2.trunc i8x16.avgr_u
	i16x8.extadd_pairwise_i8x16_s i16x8.extadd_pairwise_i8x16_u i32x4.extadd_pairwise_i16x8_s i32x4.extadd_pairwise_i16x8_u
	i16x8.abs i16x8.neg i16x8.q15mulr_sat_s i16x8.all_true i16x8.bitmask i16x8.narrow_i32x4_s i16x8.narrow_i32x4_u
	i16x8.extend_low_i8x16_s i16x8.extend_high_i8x16_s i16x8.extend_low_i8x16_u i16x8.extend_high_i8x16_u
	i16x8.shl i16x8.shr_s i16x8.shr_u i16x8.add i16x8.add_sat_s i16x8.add_sat_u i16x8.sub i16x8.sub_sat_s i16x8.sub_sat_u f64x2.nearest
	i16x8.mul i16x8.min_s i16x8.min_u i16x8.max_s i16x8.max_u - i16x8.avgr_u
	i16x8.extmul_low_i8x16_s i16x8.extmul_high_i8x16_s i16x8.extmul_low_i8x16_u i16x8.extmul_high_i8x16_u
	i32x4.abs i32x4.neg - i32x4.all_true i32x4.bitmask - -
	i32x4.extend_low_i16x8_s i32x4.extend_high_i16x8_s i32x4.extend_low_i16x8_u i32x4.extend_high_i16x8_u
	i32x4.shl i32x4.shr_s i32x4.shr_u i32x4.add - - i32x4.sub - - - i32x4.mul i32x4.min_s i32x4.min_u i32x4.max_s i32x4.max_u i32x4.dot_i16x8_s -
	i32x4.extmul_low_i16x8_s i32x4.extmul_high_i16x8_s i32x4.extmul_low_i16x8_u i32x4.extmul_high_i16x8_u
	i64x2.abs i64x2.neg - i64x2.all_true i64x2.bitmask - -
	i64x2.extend_low_i32x4_s i64x2.extend_high_i32x4_s i64x2.extend_low_i32x4_u i64x2.extend_high_i32x4_u
	i64x2.shl i64x2.shr_s i64x2.shr_u i64x2.add - - i64x2.sub - - - i64x2.mul i64x2.eq i64x2.ne i64x2.lt_s i64x2.gt_s i64x2.le_s i64x2.ge_s
	i64x2.extmul_low_i32x4_s i64x2.extmul_high_i32x4_s i64x2.extmul_low_i32x4_u i64x2.extmul_high_i32x4_u
	f32x4.abs f32x4.neg - f32x4.sqrt f32x4.add f32x4.sub f32x4.mul f32x4.div f32x4.min f32x4.max f32x4.pmin f32x4.pmax
	f64x2.abs f64x2.neg - f64x2.sqrt f64x2.add f64x2.sub f64x2.mul f64x2.div f64x2.min f64x2.max f64x2.pmin f64x2.pmax
	i32x4.trunc_sat_f32x4_s i32x4.trunc_sat_f32x4_u f32x4.convert_i32x4_s f32x4.convert_i32x4_u
	i32x4.trunc_sat_f64x2_s_zero i32x4.trunc_sat_f64x2_u_zero f64x2.convert_low_i32x4_s f64x2.convert_low_i32x4_u`

// vectorSignatures has their types: signature.go.
const vectorSignatures = `0x00:i:v 0x0b:iv: 0x0c::v 0x0d:vv:v 0x0f:i:v 0x12:I:v 0x13:f:v 0x14:F:v
	0x15:v:i 0x17:vi:v 0x18:v:i 0x1a:vi:v 0x1b:v:i 0x1c:vi:v 0x1d:v:I 0x1e:vI:v 0x1f:v:f 0x20:vf:v 0x21:v:F 0x22:vF:v
	0x23:vv:v 0x4d:v:v 0x4e:vv:v 0x52:vvv:v 0x53:v:i 0x54:iv:v 0x58:iv: 0x5c:i:v 0x5e:v:v
	0x63:v:i 0x65:vv:v 0x67:v:v 0x6b:vi:v 0x6e:vv:v 0x74:v:v 0x76:vv:v 0x7a:v:v 0x7b:vv:v 0x7c:v:v
	0x82:vv:v 0x83:v:i 0x85:vv:v 0x87:v:v 0x8b:vi:v 0x8e:vv:v 0x94:v:v 0x95:vv:v
	0xa0:v:v 0xa3:v:i 0xa7:v:v 0xab:vi:v 0xae:vv:v 0xc0:v:v 0xc3:v:i 0xc7:v:v 0xcb:vi:v 0xce:vv:v
	0xe0:v:v 0xe4:vv:v 0xec:v:v 0xf0:vv:v 0xf8:v:v`

func vectorTable() (t [256]instruction) {
	all := t[:]
	names := strings.Fields(vectorNames)
	for i := range all {
		all[i].feature = UnknownInstr
		if i < len(names) && names[i] != "-" {
			all[i] = instruction{name: names[i], imm: immNone}
		}
	}
	for _, i := range []int{0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x5c, 0x5d} {
		all[i].imm = immAccess
	}
	all[0x0c].imm, all[0x0d].imm = immVector, immShuffle
	for i := 0x15; i <= 0x22; i++ {
		all[i].imm, all[i].lanes = immLane, lanes(all[i].name)
	}
	for i := 0x54; i <= 0x5b; i++ {
		all[i].imm = immLaneMove
	}
	for i, log2 := range map[int]uint8{0x00: 4, 0x01: 3, 0x02: 3, 0x03: 3, 0x04: 3, 0x05: 3, 0x06: 3, 0x07: 0, 0x08: 1, 0x09: 2, 0x0a: 3, 0x0b: 4,
		0x54: 0, 0x55: 1, 0x56: 2, 0x57: 3, 0x58: 0, 0x59: 1, 0x5a: 2, 0x5b: 3, 0x5c: 2, 0x5d: 3} {
		all[i].align, all[i].lanes = log2, 16>>log2
	}
	signatures(all, vectorSignatures)
	return t
}

// lanes is the count in a shape like i8x16.
func lanes(name string) uint8 {
	shape, _, _ := strings.Cut(name, ".")
	switch {
	case strings.HasSuffix(shape, "x16"):
		return 16
	case strings.HasSuffix(shape, "x8"):
		return 8
	case strings.HasSuffix(shape, "x4"):
		return 4
	}
	return 2
}
