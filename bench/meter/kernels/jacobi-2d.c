// Five-point stencil, double (PolyBench jacobi-2d).
#include "kernel.h"
enum { N = 500, STEPS = 60 };
static double a[N][N], b[N][N];
int main(void) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) a[i][j] = b[i][j] = ((double)i * (j + 2) + 2) / N;
  for (int t = 0; t < STEPS; t++) {
    for (int i = 1; i < N - 1; i++)
      for (int j = 1; j < N - 1; j++) b[i][j] = 0.2 * (a[i][j] + a[i][j - 1] + a[i][j + 1] + a[i + 1][j] + a[i - 1][j]);
    for (int i = 1; i < N - 1; i++)
      for (int j = 1; j < N - 1; j++) a[i][j] = 0.2 * (b[i][j] + b[i][j - 1] + b[i][j + 1] + b[i + 1][j] + b[i - 1][j]);
  }
  uint64_t h = 1;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) h = mix(h, bits(a[i][j]));
  return report(h);
}
