// Quicksort with insertion sort below 16, and a check by binary searches.
#include "kernel.h"
enum { N = 700000 };
static uint32_t a[N];
static void sort(uint32_t *lo, uint32_t *hi) { // [lo, hi)
  while (hi - lo > 16) {
    uint32_t p = lo[(hi - lo) / 2], *i = lo, *j = hi - 1;
    while (i <= j) {
      while (*i < p) i++;
      while (*j > p) j--;
      if (i <= j) { uint32_t t = *i; *i++ = *j; *j-- = t; }
    }
    if (j - lo < hi - i) { sort(lo, j + 1); lo = i; }
    else { sort(i, hi); hi = j + 1; }
  }
  for (uint32_t *i = lo + 1; i < hi; i++) {
    uint32_t v = *i, *j = i;
    for (; j > lo && j[-1] > v; j--) *j = j[-1];
    *j = v;
  }
}
int main(void) {
  uint64_t seed = 99, h = 1;
  for (int i = 0; i < N; i++) a[i] = next(&seed) >> 32;
  sort(a, a + N);
  for (int i = 0; i < N; i++) {
    if (i > 0 && a[i - 1] > a[i]) return 1;
    uint32_t key = next(&seed) >> 32, lo = 0, hi = N;
    while (lo < hi) { uint32_t m = (lo + hi) / 2; if (a[m] < key) lo = m + 1; else hi = m; }
    h = mix(h, lo);
  }
  return report(h);
}
