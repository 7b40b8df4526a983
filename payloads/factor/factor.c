// factor reads decimal numbers from 0 to 2^63-1, one a line, and writes
// "n -> p,p,..." for each: its prime factors in ascending order.
//
// It divides by 2, 3, 4, ... until nothing is left, without a cut-off at the
// square root: the computation that the first demo of browser factoring
// measured, so that figures can be compared.
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "../sdk/c/countersign.h"

enum { MAX_INPUT = 65536, REPORT_EVERY = 1 << 24 };

static char input[MAX_INPUT + 1];
static char output[1024];
static size_t filled;

static void write_all(int fd, const char *p, size_t n) {
  while (n > 0) {
    ssize_t w = write(fd, p, n);
    if (w <= 0) exit(1);
    p += w;
    n -= (size_t)w;
  }
}

static void put(char c) {
  if (filled == sizeof output) {
    write_all(1, output, filled);
    filled = 0;
  }
  output[filled++] = c;
}

// decimal writes n into buf, which has room for 20 digits, and returns their
// number.
static size_t decimal(uint64_t n, char *buf) {
  char rev[20];
  size_t len = 0;
  do rev[len++] = (char)('0' + n % 10); while (n /= 10);
  for (size_t i = 0; i < len; i++) buf[i] = rev[len - 1 - i];
  return len;
}

static void put_number(uint64_t n) {
  char buf[20];
  size_t len = decimal(n, buf);
  for (size_t i = 0; i < len; i++) put(buf[i]);
}

static void report(size_t done, size_t all, uint64_t n) {
  static const char prefix[] = "factoring ";
  char text[sizeof prefix + 20];
  size_t len = 0;
  while (prefix[len]) text[len] = prefix[len], len++;
  len += decimal(n, text + len);
  countersign_progress((uint32_t)(1000 * done / all), text, (uint32_t)len);
}

static void factor(uint64_t n, size_t done, size_t all) {
  const uint64_t whole = n;
  uint32_t until_report = REPORT_EVERY;
  int first = 1;
  report(done, all, whole);
  put_number(n);
  put(' '), put('-'), put('>'), put(' ');
  for (uint64_t d = 2; n > 1; d++) {
    while (n % d == 0) {
      if (!first) put(',');
      first = 0;
      put_number(d);
      n /= d;
    }
    if (--until_report == 0) {
      until_report = REPORT_EVERY;
      report(done, all, whole);
    }
  }
  put('\n');
}

static _Noreturn void malformed(size_t line) {
  static const char prefix[] = "factor: line ", suffix[] = ": want a number from 0 to 9223372036854775807\n";
  char buf[20];
  write_all(2, prefix, sizeof prefix - 1);
  write_all(2, buf, decimal(line, buf));
  write_all(2, suffix, sizeof suffix - 1);
  exit(2);
}

// parse reads the digits of one line.
static uint64_t parse(const char *p, const char *end, size_t line) {
  uint64_t n = 0;
  if (p == end || end - p > 19) malformed(line);
  for (; p < end; p++) {
    if (*p < '0' || *p > '9') malformed(line);
    n = n * 10 + (uint64_t)(*p - '0'); // 19 digits are below 2^64
  }
  if (n > INT64_MAX) malformed(line);
  return n;
}

static size_t read_input(void) {
  size_t n = 0;
  for (ssize_t r; n < sizeof input && (r = read(0, input + n, sizeof input - n)) != 0; n += (size_t)r)
    if (r < 0) exit(1);
  if (n > MAX_INPUT) {
    static const char text[] = "factor: the input is longer than 65536 bytes\n";
    write_all(2, text, sizeof text - 1);
    exit(2);
  }
  return n;
}

int main(void) {
  size_t len = read_input(), all = 0, line = 0;
  for (size_t i = 0; i < len; i++) all += input[i] == '\n';
  if (len > 0 && input[len - 1] != '\n') all++; // a last line without its end
  for (size_t i = 0; i < len;) {
    size_t end = i;
    while (end < len && input[end] != '\n') end++;
    uint64_t n = parse(input + i, input + end, line + 1);
    factor(n, line, all);
    line++;
    i = end + 1;
  }
  write_all(1, output, filled);
  return 0;
}
