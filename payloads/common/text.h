// What the payloads in C share: the input as a whole, output through a buffer,
// numbers as text, ends with a message, and checkpoints. printf and strtod would
// do as well, and make each module ten times as large.
#ifndef TEXT_H
#define TEXT_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../sdk/c/countersign.h"

static char out_buffer[4096];
static size_t out_filled;

static inline void write_all(int fd, const char *p, size_t n) {
  while (n > 0) {
    ssize_t w = write(fd, p, n);
    if (w <= 0) exit(1);
    p += w;
    n -= (size_t)w;
  }
}

static inline void flush(void) {
  write_all(1, out_buffer, out_filled);
  out_filled = 0;
}

static inline void put(char c) {
  if (out_filled == sizeof out_buffer) flush();
  out_buffer[out_filled++] = c;
}

static inline void put_bytes(const char *p, size_t n) {
  for (size_t i = 0; i < n; i++) put(p[i]);
}

static inline void put_text(const char *s) { put_bytes(s, strlen(s)); }

// decimal writes n into buf, which has room for 20 digits, and returns their
// number.
static inline size_t decimal(uint64_t n, char *buf) {
  char rev[20];
  size_t len = 0;
  do rev[len++] = (char)('0' + n % 10); while (n /= 10);
  for (size_t i = 0; i < len; i++) buf[i] = rev[len - 1 - i];
  return len;
}

static inline void put_number(uint64_t n) {
  char buf[20];
  put_bytes(buf, decimal(n, buf));
}

static inline void put_hex(uint64_t n) {
  for (int shift = 60; shift >= 0; shift -= 4) put("0123456789abcdef"[n >> shift & 15]);
}

// fail ends the program with code 2 and "what: line n: want" on standard error,
// without the line if it is 0. What was written stays.
_Noreturn static inline void fail(const char *what, size_t line, const char *want) {
  char buf[20];
  flush();
  write_all(2, what, strlen(what));
  if (line > 0) {
    write_all(2, ": line ", 7);
    write_all(2, buf, decimal(line, buf));
  }
  write_all(2, ": ", 2);
  write_all(2, want, strlen(want));
  write_all(2, "\n", 1);
  exit(2);
}

// read_input reads all of the input into buf, and fails if that is too small.
static inline size_t read_input(const char *what, char *buf, size_t size) {
  size_t n = 0;
  for (ssize_t r; n < size && (r = read(0, buf + n, size - n)) != 0; n += (size_t)r)
    if (r < 0) exit(1);
  char more;
  if (n == size && read(0, &more, 1) != 0) fail(what, 0, "the input is too long");
  return n;
}

// line_end is where the line that starts at p ends: at its newline, or at end.
static inline const char *line_end(const char *p, const char *end) {
  while (p < end && *p != '\n') p++;
  return p;
}

// number reads decimal digits at *p, at least one and at most 19, and moves *p
// behind them; 0 if there are none, or too many.
static inline int number(const char **p, const char *end, uint64_t *n) {
  const char *start = *p;
  *n = 0;
  for (; *p < end && **p >= '0' && **p <= '9'; ++*p) {
    if (*p - start == 19) return 0;
    *n = *n * 10 + (uint64_t)(**p - '0'); // 19 digits are below 2^64
  }
  return *p > start;
}

// range reads the line "a b" that an order's range rule gives: the numbers
// a <= n < b.
static inline void range(const char *what, const char *p, size_t len, uint64_t *a, uint64_t *b) {
  const char *end = p + len;
  if (len > 0 && end[-1] == '\n') end--;
  if (!number(&p, end, a) || p == end || *p++ != ' ' || !number(&p, end, b) || p != end || *b < *a)
    fail(what, 1, "want two numbers a <= b");
}

static inline void report(uint64_t done, uint64_t all, const char *what, uint64_t n) {
  char text[64];
  size_t len = strlen(what);
  memcpy(text, what, len);
  len += decimal(n, text + len);
  countersign_progress((uint32_t)(1000 * done / all), text, (uint32_t)len);
}

// pause_if_due ends the segment if it is time. What was put is written before:
// the next segment has no memory of it.
static inline void pause_if_due(const void *state, size_t size) {
  if (!countersign_segment_due()) return;
  flush();
  countersign_checkpoint(state, (uint32_t)size);
}

#endif
