// recursion calls itself for ever. Its call stack ends, in every engine at the
// same call: a trap.
#include "../../common/text.h"

typedef uint64_t deeper_t(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

static deeper_t deeper;
static deeper_t *volatile again = deeper; // the compiler does not see where it leads

// deeper has many parameters, for a heavy frame: wazero's interpreter has room
// for 2,000 of any weight.
static uint64_t deeper(uint64_t n, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g) {
  if (n % 100 == 0) put_number(n), put('\n'), flush();
  return 3 * again(n + 1, b, c, d, e, f, g, a) + n;
}

int main(void) { return (int)again(1, 2, 3, 4, 5, 6, 7, 8); }
