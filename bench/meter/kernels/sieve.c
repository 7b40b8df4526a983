// Sieve of Eratosthenes, one byte a number.
#include "kernel.h"
enum { N = 4000000, ROUNDS = 3 };
static uint8_t composite[N];
int main(void) {
  uint64_t h = 1;
  for (int r = 0; r < ROUNDS; r++) {
    for (int i = 0; i < N; i++) composite[i] = 0;
    for (int i = 2; (long long)i * i < N; i++)
      if (!composite[i])
        for (int j = i * i; j < N; j += i) composite[j] = 1;
    uint64_t count = 0, last = 0;
    for (int i = 2; i < N; i++)
      if (!composite[i]) { count++; last = i; }
    h = mix(mix(h, count), last);
  }
  return report(h);
}
