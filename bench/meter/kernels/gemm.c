// Matrix product, double: C = 1.5·A·B + 1.2·C (PolyBench gemm).
#include "kernel.h"
enum { N = 256, ROUNDS = 3 };
static double a[N][N], b[N][N], c[N][N];
int main(void) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      a[i][j] = (double)((i * j + 1) % N) / N;
      b[i][j] = (double)(i * (j + 1) % N) / N;
      c[i][j] = (double)(i * (j + 2) % N) / N;
    }
  for (int r = 0; r < ROUNDS; r++)
    for (int i = 0; i < N; i++) {
      for (int j = 0; j < N; j++) c[i][j] *= 1.2;
      for (int k = 0; k < N; k++)
        for (int j = 0; j < N; j++) c[i][j] += 1.5 * a[i][k] * b[k][j];
    }
  uint64_t h = 1;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) h = mix(h, bits(c[i][j]));
  return report(h);
}
