// What gradient and gradient-step share: doubles as the 16 hexadecimal digits of
// their bits, so that no rounding comes between two programs.
#ifndef LOGISTIC_H
#define LOGISTIC_H

#include "../common/text.h"

enum { FEATURES = 64 }; // with the constant one

static inline void put_double(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  put(' ');
  put_hex(bits);
}

// hex_double reads a space and what put_hex writes, and moves *p behind it.
static inline int hex_double(const char **p, const char *end, double *x) {
  uint64_t bits = 0;
  if (end - *p < 17 || **p != ' ') return 0;
  ++*p;
  for (int i = 0; i < 16; i++, ++*p) {
    char c = **p;
    if (c >= '0' && c <= '9') bits = bits << 4 | (uint64_t)(c - '0');
    else if (c >= 'a' && c <= 'f') bits = bits << 4 | (uint64_t)(c - 'a' + 10);
    else return 0;
  }
  memcpy(x, &bits, sizeof bits);
  return 1;
}

// hex_doubles reads as many as come, up to FEATURES.
static inline size_t hex_doubles(const char **p, const char *end, double *x) {
  size_t n = 0;
  while (n < FEATURES && hex_double(p, end, &x[n])) n++;
  return n;
}

#endif
