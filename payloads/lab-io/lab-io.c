// lab-io reads all of its input, up to 16 MiB and in pieces of 64 KiB, and
// writes one byte for every 16 of it: their sum, with what came before, modulo
// 251. So all that is written depends on all that was read. It measures input
// and output. (A release allows at most 1 MiB of output, which is why it is less
// than the input.)
#include "../common/text.h"

enum { PIECE = 1 << 16, FOLD = 16, MOST = 16 << 20 };

static uint8_t in[PIECE], out[PIECE / FOLD];
static uint32_t sum;

// fill reads until the piece is full or the input ends.
static size_t fill(void) {
  size_t n = 0;
  for (ssize_t r; n < PIECE && (r = read(0, in + n, PIECE - n)) != 0; n += (size_t)r)
    if (r < 0) exit(1);
  return n;
}

int main(void) {
  uint64_t all = 0;
  for (size_t n; (n = fill()) > 0;) {
    all += n;
    if (all > MOST) fail("lab-io", 0, "the input is longer than 16 MiB");
    memset(in + n, 0, PIECE - n); // the last fold may be short
    size_t folds = (n + FOLD - 1) / FOLD;
    for (size_t i = 0; i < folds; i++) {
      for (size_t j = 0; j < FOLD; j++) sum += in[i * FOLD + j];
      sum %= 251;
      out[i] = (uint8_t)sum;
    }
    write_all(1, (const char *)out, folds);
    report(all, MOST, "bytes read: ", all);
  }
  return 0;
}
