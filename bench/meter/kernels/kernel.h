// What every kernel shares: a checksum that depends on all the work, printed
// as one line, so that no compiler removes the work and no engine gets it wrong
// unseen.
#include <stdint.h>
#include <stddef.h>
#include <unistd.h>

static inline uint64_t mix(uint64_t h, uint64_t v) {
  h ^= v + 0x9e3779b97f4a7c15u + (h << 6) + (h >> 2);
  return h * 0xbf58476d1ce4e5b9u;
}

static inline uint64_t bits(double d) {
  union { double d; uint64_t u; } x = {d};
  return x.u;
}

// next is xorshift64*: inputs that are the same everywhere.
static inline uint64_t next(uint64_t *s) {
  uint64_t x = *s;
  x ^= x >> 12; x ^= x << 25; x ^= x >> 27;
  *s = x;
  return x * 0x2545f4914f6cdd1du;
}

static inline int report(uint64_t h) {
  char line[17];
  for (int i = 0; i < 16; i++) line[i] = "0123456789abcdef"[h >> (60 - 4 * i) & 15];
  line[16] = '\n';
  return write(1, line, 17) == 17 ? 0 : 1;
}
