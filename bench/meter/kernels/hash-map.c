// An open-addressing hash map: inserts, look-ups, deletions.
#include "kernel.h"
enum { BITS = 17, SIZE = 1 << BITS, OPS = 3000000 };
static struct { uint64_t key, value; } slot[SIZE]; // key 0: free
static uint32_t find(uint64_t key) {
  uint32_t i = key * 0x9e3779b97f4a7c15u >> (64 - BITS);
  while (slot[i].key != 0 && slot[i].key != key) i = (i + 1) & (SIZE - 1);
  return i;
}
static void erase(uint32_t i) { // backward shift
  for (uint32_t j = i;;) {
    slot[i].key = 0;
    for (;;) {
      j = (j + 1) & (SIZE - 1);
      if (slot[j].key == 0) return;
      uint32_t home = slot[j].key * 0x9e3779b97f4a7c15u >> (64 - BITS);
      if (((j - home) & (SIZE - 1)) >= ((j - i) & (SIZE - 1))) break;
    }
    slot[i] = slot[j];
    i = j;
  }
}
int main(void) {
  uint64_t seed = 42, h = 1;
  for (int n = 0; n < OPS; n++) {
    uint64_t r = next(&seed), key = r % 80000 + 1;
    uint32_t i = find(key);
    if (slot[i].key == 0) slot[i].key = key, slot[i].value = r;
    else if (r >> 62 == 0) erase(i);
    else slot[i].value += r >> 7;
  }
  for (int i = 0; i < SIZE; i++) h = mix(mix(h, slot[i].key), slot[i].key ? slot[i].value : 0);
  return report(h);
}
