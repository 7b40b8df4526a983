// Mandelbrot set, two doubles at a time.
#include "kernel.h"
#include <wasm_simd128.h>
enum { W = 400, H = 300, MAX = 256 };
int main(void) {
  uint64_t h = 1;
  const v128_t four = wasm_f64x2_splat(4), one = wasm_i64x2_splat(1);
  for (int y = 0; y < H; y++)
    for (int x = 0; x < W; x += 2) {
      v128_t cr = wasm_f64x2_make(3.0 * x / W - 2.2, 3.0 * (x + 1) / W - 2.2), ci = wasm_f64x2_splat(2.4 * y / H - 1.2);
      v128_t zr = wasm_f64x2_splat(0), zi = zr, n = wasm_i64x2_splat(0);
      for (int i = 0; i < MAX; i++) {
        v128_t r2 = wasm_f64x2_mul(zr, zr), i2 = wasm_f64x2_mul(zi, zi);
        v128_t in = wasm_f64x2_lt(wasm_f64x2_add(r2, i2), four);
        if (!wasm_v128_any_true(in)) break;
        n = wasm_i64x2_add(n, wasm_v128_and(in, one));
        v128_t t = wasm_f64x2_add(wasm_f64x2_sub(r2, i2), cr), p = wasm_f64x2_mul(zr, zi);
        zi = wasm_f64x2_add(wasm_f64x2_add(p, p), ci);
        zr = t;
      }
      h = mix(mix(h, wasm_i64x2_extract_lane(n, 0)), wasm_i64x2_extract_lane(n, 1));
    }
  return report(h);
}
