// Trial division in 64 bits, as payloads/factor does it.
#include "kernel.h"
int main(void) {
  static const uint64_t numbers[] = {7328499434u, 4083310343u, 5359459099u, 9625185328u, 3794691709u};
  uint64_t h = 1;
  for (int i = 0; i < 5; i++)
    for (uint64_t n = numbers[i], d = 2; n > 1; d++)
      while (n % d == 0) { h = mix(h, d); n /= d; }
  return report(h);
}
