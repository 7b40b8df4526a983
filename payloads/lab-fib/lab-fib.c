// lab-fib reads numbers up to 50, one a line, and writes "n f" for each: the
// n-th Fibonacci number by the plain recursion, which calls itself some 2f times.
// It measures what calls cost.
#include "../common/text.h"

static char input[65536];

static struct {
  uint64_t at, line; // start of the current line, and how many came before it
} now;

static uint64_t fib(uint32_t n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

int main(void) {
  const char *end = input + read_input("lab-fib", input, sizeof input);
  countersign_restore(&now, sizeof now);
  for (const char *p; (p = input + now.at) < end;) {
    uint64_t n;
    const char *eol = line_end(p, end);
    if (!number(&p, eol, &n) || p != eol || n > 50) fail("lab-fib", now.line + 1, "want a number from 0 to 50");
    report(now.at, (uint64_t)(end - input), "Fibonacci number ", n);
    put_number(n), put(' '), put_number(fib((uint32_t)n)), put('\n');
    now.at = (uint64_t)(eol + 1 - input);
    now.line++;
    pause_if_due(&now, sizeof now); // between lines: a recursion has no small state
  }
  flush();
  return 0;
}
