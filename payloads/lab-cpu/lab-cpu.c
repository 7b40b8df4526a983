// lab-cpu reads a line "a b", a >= 1, and writes "a b bits sum": the sum of
// 1/k^2 over a <= k < b in double precision, added in that order, as the 64 bits
// of the double in hexadecimal and cut to 15 decimals. From 1 on it tends to
// pi^2/6. It measures divisions and additions, each waiting for the one before.
#include "../common/text.h"

enum { STRIDE = 1 << 16 };

static char input[64];

static struct {
  uint64_t k;
  double sum;
} now;

static void put_sum(void) {
  uint64_t bits;
  memcpy(&bits, &now.sum, sizeof bits);
  put_hex(bits), put(' ');
  uint64_t scaled = (uint64_t)(now.sum * 1e15); // below 2e15
  put_number(scaled / 1000000000000000), put('.');
  for (uint64_t unit = 100000000000000; unit > 0; unit /= 10) put((char)('0' + scaled / unit % 10));
}

int main(void) {
  uint64_t a, b;
  range("lab-cpu", input, read_input("lab-cpu", input, sizeof input), &a, &b);
  if (a < 1) fail("lab-cpu", 1, "the series begins with 1");
  if (!countersign_restore(&now, sizeof now)) now.k = a;
  while (now.k < b) {
    uint64_t k = now.k, stop = b - k > STRIDE ? k + STRIDE : b;
    double sum = now.sum;
    for (; k < stop; k++) {
      double x = (double)k;
      sum += 1 / (x * x);
    }
    now.k = k, now.sum = sum;
    if (k / STRIDE % 256 == 0) report(k - a, b - a, "terms added: ", k - a);
    pause_if_due(&now, sizeof now);
  }
  put_number(a), put(' '), put_number(b), put(' '), put_sum(), put('\n');
  flush();
  return 0;
}
