// primes-sum adds counts of primes: it reads the lines "a b c" that primes
// writes, each range beginning where the one before it ended, and writes one
// such line for the whole. So sums can be summed again.
#include "../common/text.h"

enum { MAX_INPUT = 1 << 19 };

static char input[MAX_INPUT];

int main(void) {
  const char *p = input, *end = input + read_input("primes-sum", input, MAX_INPUT);
  uint64_t from = 0, to = 0, sum = 0;
  for (size_t line = 1; p < end; line++, p++) {
    uint64_t a, b, c;
    const char *eol = line_end(p, end);
    if (!number(&p, eol, &a) || *p++ != ' ' || !number(&p, eol, &b) || *p++ != ' ' || !number(&p, eol, &c) || p != eol || b < a)
      fail("primes-sum", line, "want \"a b count\"");
    if (line == 1) from = to = a;
    if (a != to) fail("primes-sum", line, "the range does not begin where the one before it ended");
    to = b;
    sum += c;
  }
  put_number(from), put(' '), put_number(to), put(' '), put_number(sum), put('\n');
  flush();
  return 0;
}
