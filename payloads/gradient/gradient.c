// gradient is the map of logistic regression by batch gradient descent. It reads
// samples, one a line: the class, 0 or 1, and the features, as decimals, "nan",
// "inf" or "-inf". Its argument, if any, are the weights: the line that
// gradient-step wrote in the round before; otherwise all are 0. It writes
//
//   "n w0 … wk g0 … gk l": samples, weights, sums of the gradient and of the loss
//
// with doubles as the hexadecimal digits of their bits. w0 belongs to the
// constant 1. Every operation stands here, in its order, and is rounded once, so
// anybody can compute the same bits again.
#include <math.h>

#include "logistic.h"

enum { MAX_INPUT = 1 << 18 };

static char input[MAX_INPUT];
static double weight[FEATURES], feature[FEATURES];

// Where the computation stands; all that a segment hands to the next.
static struct {
  uint64_t at, line; // start of the next line, and how many came before it
  uint64_t k;        // features with the constant; 0 before the first line
  double sum[FEATURES], loss;
} now;

// decimal_value reads up to 15 digits with a point among them: their value as an
// integer and the power of ten are exact, so the one division rounds correctly.
static int decimal_value(const char **p, const char *end, double *x) {
  uint64_t digits = 0, scale = 1;
  int count = 0, minus = *p < end && **p == '-', point = 0;
  if (minus) ++*p;
  for (; *p < end && **p != ' '; ++*p) {
    if (**p == '.' && !point && count > 0) point = 1;
    else if (**p >= '0' && **p <= '9' && count++ < 15) digits = digits * 10 + (uint64_t)(**p - '0'), scale *= point ? 10 : 1;
    else return 0;
  }
  *x = (double)digits / (double)scale;
  if (minus) *x = -*x;
  return count > 0;
}

static int value(const char **p, const char *end, double *x) {
  static const struct { const char *text; double value; } words[] = {{"nan", NAN}, {"inf", INFINITY}, {"-inf", -INFINITY}};
  const char *stop = *p;
  while (stop < end && *stop != ' ') stop++;
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
    size_t n = strlen(words[i].text);
    if ((size_t)(stop - *p) != n || memcmp(*p, words[i].text, n) != 0) continue;
    *x = words[i].value, *p = stop;
    return 1;
  }
  return decimal_value(p, end, x);
}

// sample reads one line and returns its class, 0 or 1.
static double sample(const char *p, const char *end) {
  double class = 0;
  uint64_t k = 1;
  int ok = value(&p, end, &class) && (class == 0 || class == 1);
  for (feature[0] = 1; ok && p < end && k < FEATURES; k++) ok = *p++ == ' ' && value(&p, end, &feature[k]);
  if (!ok || p != end || (now.k && k != now.k)) fail("gradient", now.line + 1, "want \"class feature feature …\", as many as in the first line");
  now.k = k;
  return class;
}

// exponential is e^x: 2^n times a polynomial for the rest of at most ln(2)/2.
static double exponential(double x) {
  if (x != x) return x;
  if (x > 709) return INFINITY;
  if (x < -708) return 0;
  double n = floor(x * 1.4426950408889634 + 0.5);
  double r = x - n * 0.6931471803691238 - n * 1.9082149292705877e-10;
  double sum = 1;
  for (double i = 13; i >= 1; i--) sum = sum * r / i + 1;
  uint64_t bits = (uint64_t)((int64_t)n + 1023) << 52;
  double power;
  memcpy(&power, &bits, sizeof power);
  return sum * power;
}

// logarithm is ln(x) for 1 <= x <= 2, by the series of the inverse hyperbolic tangent.
static double logarithm(double x) {
  double s = (x - 1) / (x + 1), square = s * s, sum = 0;
  for (double i = 33; i >= 1; i -= 2) sum = sum * square + 1 / i;
  return 2 * s * sum;
}

static void add(double class) {
  double z = 0;
  for (uint64_t i = 0; i < now.k; i++) z += weight[i] * feature[i];
  double error = 1 / (1 + exponential(-z)) - class;
  for (uint64_t i = 0; i < now.k; i++) now.sum[i] += error * feature[i];
  // -ln of what the model gives the true class, for either sign without overflow.
  double margin = class == 1 ? z : -z;
  now.loss += (margin < 0 ? -margin : 0) + logarithm(1 + exponential(margin < 0 ? margin : -margin));
}

// parse_weights reads "n w0 … wk l", of which it takes the weights.
static size_t parse_weights(const char *p) {
  const char *end = line_end(p, p + strlen(p));
  uint64_t samples;
  double loss;
  size_t n = 0;
  if (number(&p, end, &samples)) n = hex_doubles(&p, end, weight);
  if (n == FEATURES) hex_double(&p, end, &loss);
  else if (n > 0) weight[--n] = 0;
  if (n == 0 || p != end) fail("gradient", 0, "the argument is not a line that gradient-step wrote");
  return n;
}

int main(int argc, char **argv) {
  const char *end = input + read_input("gradient", input, MAX_INPUT);
  size_t weights = argc > 1 ? parse_weights(argv[1]) : 0;
  countersign_restore(&now, sizeof now);
  for (const char *p; (p = input + now.at) < end;) {
    const char *eol = line_end(p, end);
    double class = sample(p, eol);
    if (weights > 0 && weights != now.k) fail("gradient", now.line + 1, "there are not as many features as weights");
    add(class);
    now.at = (uint64_t)(eol + 1 - input);
    now.line++;
    pause_if_due(&now, sizeof now);
  }
  put_number(now.line);
  for (uint64_t i = 0; i < now.k; i++) put_double(weight[i]);
  for (uint64_t i = 0; i < now.k; i++) put_double(now.sum[i]);
  put_double(now.loss), put('\n');
  flush();
  return 0;
}
