// primes reads a line "a b" and writes "a b c": there are c primes p with
// a <= p < b. b is at most 10^12.
//
// A segmented sieve over odd numbers: a block of them at a time, from which the
// multiples of the primes up to the square root of b are crossed out.
#include "../common/text.h"

enum { ROOT = 1000000, BLOCK = 1 << 16 };

static char input[64];
static uint8_t small[ROOT / 2 + 1]; // small[i]: 2i+1 is composite
static uint32_t base[78498];        // odd primes up to ROOT
static size_t bases;
static uint8_t block[BLOCK];        // block[i]: now.next + 2i is composite

static struct {
  uint64_t next, count; // the first odd number not looked at, primes before it
} now;

// find_bases finds the odd primes p with p*p < limit. Every segment does it
// again, as that costs less than handing them on.
static void find_bases(uint64_t limit) {
  uint64_t root = 1;
  while (root * root < limit) root++;
  for (uint64_t p = 3; p < root; p += 2) {
    if (small[p / 2]) continue;
    base[bases++] = (uint32_t)p;
    for (uint64_t q = p * p / 2; q <= root / 2; q += p) small[q] = 1;
  }
}

// count_block counts the primes among the odd numbers from lo to lo+2n-2.
static uint64_t count_block(uint64_t lo, uint64_t n) {
  memset(block, 0, n);
  for (size_t k = 0; k < bases; k++) {
    uint64_t p = base[k], q = p * p;
    if (q >= lo + 2 * n) break;
    if (q < lo) {
      q = (lo + p - 1) / p * p;
      if (q % 2 == 0) q += p;
    }
    for (uint64_t i = (q - lo) / 2; i < n; i += p) block[i] = 1;
  }
  uint64_t composite = 0;
  for (size_t i = 0; i < n; i++) composite += block[i];
  return n - composite;
}

int main(void) {
  uint64_t a, b;
  range("primes", input, read_input("primes", input, sizeof input), &a, &b);
  if (b > (uint64_t)ROOT * ROOT) fail("primes", 1, "want numbers up to 10^12");
  if (!countersign_restore(&now, sizeof now)) {
    now.next = a < 3 ? 3 : a | 1;
    now.count = a <= 2 && 2 < b;
  }
  find_bases(b);
  while (now.next < b) {
    uint64_t n = (b - now.next + 1) / 2;
    if (n > BLOCK) n = BLOCK;
    now.count += count_block(now.next, n);
    now.next += 2 * n;
    report(now.next < b ? now.next - a : b - a, b - a, "primes found: ", now.count);
    pause_if_due(&now, sizeof now);
  }
  put_number(a), put(' '), put_number(b), put(' '), put_number(now.count), put('\n');
  flush();
  return 0;
}
