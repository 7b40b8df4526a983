package main

// operation is an instruction to be measured, with what cost table v1 says. X is
// where the chain's value goes in; extra is how many cheap instructions stand
// beside it to keep the value in range.
type operation struct {
	name  string
	cost  int
	typ   string
	code  string
	extra float64
}

var operations = []operation{
	{"i64.add", 1, "i64", "(i64.add X (local.get $l))", 0},
	{"i32.mul", 1, "i32", "(i32.mul X (local.get $k))", 0},
	{"i64.mul", 1, "i64", "(i64.mul X (local.get $l))", 0},
	{"i32.shl", 1, "i32", "(i32.shl X (local.get $k))", 0},
	{"i32.rotl", 1, "i32", "(i32.rotl X (local.get $k))", 0},
	{"i32.clz", 1, "i32", "(i32.clz X)", 0},
	{"i64.popcnt", 1, "i64", "(i64.popcnt X)", 0},
	{"i32.eq", 1, "i32", "(i32.eq X (local.get $k))", 0},
	{"i32.div_u", 8, "i32", "(i32.or (i32.div_u X (local.get $k)) (i32.const 0x70000000))", 1},
	{"i32.rem_s", 8, "i32", "(i32.or (i32.rem_s X (local.get $k)) (i32.const 0x70000000))", 1},
	{"i64.div_u", 16, "i64", "(i64.or (i64.div_u X (local.get $l)) (i64.const 0x7000000000000000))", 1},
	{"i64.rem_s", 16, "i64", "(i64.or (i64.rem_s X (local.get $l)) (i64.const 0x7000000000000000))", 1},
	{"select", 2, "i32", "(select X (local.get $k) X)", 0},
	{"i32.load", 2, "i32", "(i32.load (i32.and X (i32.const 32)))", 1},
	{"i64.load", 2, "i64", "(i64.load (i32.wrap_i64 (i64.and X (i64.const 32))))", 1},
	{"i32.store", 2, "i32", "(block (result i32) (i32.store offset=256 (i32.const 0) X) X)", 0},
	{"f64.store", 2, "f64", "(block (result f64) (f64.store offset=256 (i32.const 0) X) X)", 0},
	{"global.get + set", 2, "i32", "(block (result i32) (global.set $g X) (global.get $g))", 0},
	{"f64.add", 1, "f64", "(f64.add X (local.get $d))", 0},
	{"f64.mul", 1, "f64", "(f64.mul X (local.get $d))", 0},
	{"f32.add", 1, "f32", "(f32.add X (local.get $f))", 0},
	{"f64.div", 8, "f64", "(f64.div X (local.get $d))", 0},
	{"f32.div", 8, "f32", "(f32.div X (local.get $f))", 0},
	{"f64.sqrt", 12, "f64", "(f64.sqrt X)", 0},
	{"f64.floor", 2, "f64", "(f64.floor X)", 0},
	{"f64.nearest", 2, "f64", "(f64.nearest X)", 0},
	{"f64.min", 2, "f64", "(f64.min X (local.get $d))", 0},
	{"f64.abs", 1, "f64", "(f64.abs X)", 0},
	{"f64.copysign", 1, "f64", "(f64.copysign X (local.get $d))", 0},
	{"convert + trunc", 4, "i32", "(i32.trunc_f64_s (f64.convert_i32_s (i32.and X (i32.const 255))))", 1},
	{"convert + trunc_sat, i64", 4, "i64", "(i64.trunc_sat_f64_s (f64.convert_i64_s X))", 0},
	{"promote + demote", 4, "f32", "(f32.demote_f64 (f64.promote_f32 X))", 0},
	{"br", 0, "i32", "(block (result i32) (br 0 X))", 0},
	{"br_if", 1, "i32", "(block (result i32) (br_if 0 X (local.get $k)))", 0},
	{"call, and return", 7, "i32", "(call $id X)", 0},
	{"call_indirect", 13, "i32", "(call_indirect (type $id) X (i32.const 0))", 0},
	{"call of a host function", 132, "i32", "(call $host X)", 0},
	{"memory.fill of 64 bytes", 24, "i32", "(block (result i32) (memory.fill (i32.const 512) X (i32.const 64)) X)", 0},
	{"memory.copy of 1024 bytes", 144, "i32", "(block (result i32) (memory.copy (i32.const 2048) (i32.const 4096) (i32.const 1024)) X)", 0},
	{"memory.size", 2, "i32", "(i32.add X (memory.size))", 1},
	{"v128.load", 2, "v128", "(v128.load (i32.and (i32x4.extract_lane 0 X) (i32.const 32)))", 3},
	{"v128.store", 2, "v128", "(block (result v128) (v128.store offset=256 (i32.const 0) X) X)", 0},
	{"i32x4.add", 1, "v128", "(i32x4.add X (local.get $v))", 0},
	{"i32x4.mul", 1, "v128", "(i32x4.mul X (local.get $v))", 0},
	{"i64x2.mul", 4, "v128", "(i64x2.mul X (local.get $v))", 0},
	{"i8x16.shuffle", 2, "v128", "(i8x16.shuffle 0 17 2 19 4 21 6 23 8 25 10 27 12 29 14 31 X (local.get $v))", 0},
	{"i8x16.swizzle", 2, "v128", "(i8x16.swizzle X (local.get $v))", 0},
	{"i8x16.popcnt", 4, "v128", "(i8x16.popcnt X)", 0},
	{"i8x16.shl", 2, "v128", "(i8x16.shl X (local.get $k))", 0},
	{"i64x2.shr_s", 2, "v128", "(i64x2.shr_s X (local.get $k))", 0},
	{"splat + extract_lane", 3, "i32", "(i32x4.extract_lane 1 (i32x4.splat X))", 0},
	{"f64x2.add", 1, "v128", "(f64x2.add X (local.get $v))", 0},
	{"f64x2.div", 8, "v128", "(f64x2.div X (local.get $v))", 0},
	{"f32x4.sqrt", 12, "v128", "(f32x4.sqrt X)", 0},
	{"f64x2.min", 3, "v128", "(f64x2.min X (local.get $v))", 0},
	{"f64x2.ceil", 2, "v128", "(f64x2.ceil X)", 0},
	{"i32x4.trunc_sat_f32x4_s", 3, "v128", "(i32x4.trunc_sat_f32x4_s X)", 0},
	{"f32x4.convert_i32x4_u", 3, "v128", "(f32x4.convert_i32x4_u X)", 0},
}
