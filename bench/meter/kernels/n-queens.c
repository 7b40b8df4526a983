// All placements of eleven queens, by bit masks and recursion.
#include "kernel.h"
static uint64_t place(uint32_t all, uint32_t cols, uint32_t left, uint32_t right) {
  if (cols == all) return 1;
  uint64_t count = 0;
  for (uint32_t free = all & ~(cols | left | right); free;) {
    uint32_t bit = free & -free;
    free ^= bit;
    count += place(all, cols | bit, (left | bit) << 1, (right | bit) >> 1);
  }
  return count;
}
int main(void) {
  uint64_t h = 1;
  for (int n = 4; n <= 12; n++) h = mix(h, place((1u << n) - 1, 0, 0, 0));
  return report(h);
}
