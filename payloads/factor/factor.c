// factor reads decimal numbers from 0 to 2^63-1, one a line, and writes
// "n -> p,p,..." for each: its prime factors in ascending order.
//
// It divides by 2, 3, 4, ... until nothing is left, without a cut-off at the
// square root: the computation that the first demo of browser factoring
// measured, so that figures can be compared.
#include "../common/text.h"

enum {
  MAX_INPUT = 65536,
  STRIDE = 1 << 16, // divisors between two looks at whether the segment is over
  REPORT_EVERY = 1 << 24,
};

static char input[MAX_INPUT];

// Where the computation stands; all that a segment hands to the next.
static struct {
  uint64_t at, line;  // start of the current line, and how many came before it
  uint64_t n, d;      // what is left of its number, the next divisor; d is 0 between numbers
  uint64_t factors;   // found of it
} now;

static uint64_t parse(const char *p, const char *end) {
  uint64_t n;
  if (!number(&p, end, &n) || p != end || n > INT64_MAX)
    fail("factor", now.line + 1, "want a number from 0 to 9223372036854775807");
  return n;
}

static void factor(uint64_t whole, uint64_t lines) {
  if (now.d == 0) {
    report(now.line, lines, "factoring ", whole);
    put_number(whole);
    put_text(" -> ");
    now.n = whole, now.d = 2, now.factors = 0;
  }
  while (now.n > 1) {
    // A loop without calls in it: metering makes those fast.
    uint64_t n = now.n, d = now.d, stop = (d | (STRIDE - 1)) + 1;
    while (d < stop && n % d != 0) d++;
    now.d = d;
    if (d < stop) {
      if (now.factors++ > 0) put(',');
      put_number(d);
      now.n = n / d;
      continue;
    }
    if (stop % REPORT_EVERY == 0) report(now.line, lines, "factoring ", whole);
    pause_if_due(&now, sizeof now);
  }
  put('\n');
}

int main(void) {
  const char *end = input + read_input("factor", input, MAX_INPUT);
  uint64_t lines = 0;
  for (const char *p = input; p < end; p = line_end(p, end) + 1) lines++;
  countersign_restore(&now, sizeof now);
  for (const char *p; (p = input + now.at) < end; now.line++, now.d = 0) {
    const char *eol = line_end(p, end);
    factor(parse(p, eol), lines);
    now.at = (uint64_t)(eol + 1 - input);
  }
  flush();
  return 0;
}
