// nan makes NaNs in every way there is and writes their bits: "operation bits".
// Engines give NaNs of different sign and payload; a metered module shows one.
// Lines that begin with "=" are of operations on bits, which keep what they get.
#include <math.h>
#include <wasm_simd128.h>

#include "../../common/text.h"

// Read from memory each time, so that nothing is computed by the compiler.
static volatile uint64_t nans[] = {0x7ff8000000000000, 0xfff8000000000000, 0x7ff8000000000001, 0xfff4000000000123, 0x7ff0000000000001, 0xffffffffffffffff};
static volatile uint32_t nans32[] = {0x7fc00000, 0xffc00000, 0x7fc00001, 0xffa00123, 0x7f800001, 0xffffffff};
static volatile double zero = 0, one = 1, infinite = INFINITY;
static volatile float zero32 = 0, one32 = 1, infinite32 = INFINITY;
enum { NANS = sizeof nans / sizeof nans[0] };

static void show(const char *what, const void *x, size_t size) {
  uint64_t bits = 0;
  memcpy(&bits, x, size);
  put_text(what), put(' '), put_hex(bits), put('\n');
}
static void f64(const char *what, double x) { show(what, &x, sizeof x); }
static void f32(const char *what, float x) { show(what, &x, sizeof x); }
static void vec(const char *what, v128_t v) { show(what, &v, 8), show(what, (char *)&v + 8, 8); }

static double nan64(int i) {
  uint64_t bits = nans[i];
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static float nan32(int i) {
  uint32_t bits = nans32[i];
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static void from_numbers(void) {
  f64("0/0", zero / zero), f64("-0/0", -zero / zero), f64("inf-inf", infinite - infinite), f64("inf*0", infinite * zero), f64("inf/inf", infinite / infinite);
  f64("sqrt(-1)", sqrt(-one)), f64("-inf+inf", -infinite + infinite), f64("0*-inf", zero * -infinite);
  f32("0/0 f32", zero32 / zero32), f32("inf-inf f32", infinite32 - infinite32), f32("inf*0 f32", infinite32 * zero32), f32("sqrt(-1) f32", sqrtf(-one32));
}

static void from_nan(double x, float y) {
  f64("x+1", x + one), f64("1+x", one + x), f64("x-x", x - x), f64("x*0", x * zero), f64("1/x", one / x), f64("sqrt", sqrt(x));
  f64("ceil", ceil(x)), f64("floor", floor(x)), f64("trunc", trunc(x)), f64("nearest", rint(x));
  f64("min", __builtin_wasm_min_f64(x, one)), f64("max", __builtin_wasm_max_f64(one, x)), f32("demote f32", (float)x);
  f32("y+1 f32", y + one32), f32("y*y f32", y * y), f32("y/1 f32", y / one32), f32("sqrt f32", sqrtf(y)), f32("ceil f32", ceilf(y));
  f32("min f32", __builtin_wasm_min_f32(y, one32)), f32("max f32", __builtin_wasm_max_f32(one32, y)), f64("promote", (double)y);
  f64("=x", x), f64("=-x", -x), f64("=abs", fabs(x)), f64("=copysign", copysign(x, -one)), f32("=y", y), f32("=-y", -y), f32("=abs f32", fabsf(y));
}

static void from_vectors(double x, float y) {
  v128_t a = wasm_f64x2_make(x, -x), b = wasm_f64x2_make(one, zero), c = wasm_f32x4_make(y, one32, -y, zero32), d = wasm_f32x4_make(one32, zero32, y, zero32);
  vec("f64x2.add", wasm_f64x2_add(a, b)), vec("f64x2.div", wasm_f64x2_div(a, a)), vec("f64x2.sqrt", wasm_f64x2_sqrt(a)), vec("f64x2.min", wasm_f64x2_min(b, a));
  vec("f64x2.floor", wasm_f64x2_floor(a)), vec("f64x2.promote", wasm_f64x2_promote_low_f32x4(c));
  vec("f32x4.mul", wasm_f32x4_mul(c, d)), vec("f32x4.div", wasm_f32x4_div(d, c)), vec("f32x4.max", wasm_f32x4_max(c, d)), vec("f32x4.ceil", wasm_f32x4_ceil(c));
  vec("f32x4.demote", wasm_f32x4_demote_f64x2_zero(a)), vec("=f64x2.neg", wasm_f64x2_neg(a)), vec("=f32x4.pmin", wasm_f32x4_pmin(c, d)), vec("=f64x2.pmax", wasm_f64x2_pmax(a, b));
}

int main(void) {
  from_numbers();
  for (int i = 0; i < NANS; i++) from_nan(nan64(i), nan32(i)), from_vectors(nan64(i), nan32(i));
  flush();
  return 0;
}
