// Mandelbrot set, double, scalar.
#include "kernel.h"
enum { W = 400, H = 300, MAX = 256 };
int main(void) {
  uint64_t h = 1;
  for (int y = 0; y < H; y++)
    for (int x = 0; x < W; x++) {
      double cr = 3.0 * x / W - 2.2, ci = 2.4 * y / H - 1.2, zr = 0, zi = 0;
      int n = 0;
      for (; n < MAX && zr * zr + zi * zi < 4; n++) {
        double t = zr * zr - zi * zi + cr;
        zi = 2 * zr * zi + ci;
        zr = t;
      }
      h = mix(h, n);
    }
  return report(h);
}
