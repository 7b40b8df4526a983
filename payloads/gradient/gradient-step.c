// gradient-step is the reduce of a round of gradient descent. It reads the lines
// that gradient wrote for all parts of the samples, all with the same weights,
// and writes "n w0 … wk l": samples, the next weights, and the mean loss of those
// before. The line is the argument of gradient in the next round.
//
// The argument is the rate of learning in thousandths (default: 1000).
#include "logistic.h"

enum { MAX_INPUT = 1 << 18, VALUES = 2 * FEATURES + 1 };

static char input[MAX_INPUT];
static double first[VALUES], values[VALUES], sum[VALUES];

// values_of reads the doubles of a line "n d d …" and returns their number.
static size_t values_of(const char *p, const char *end, uint64_t *samples) {
  size_t n = 0;
  if (!number(&p, end, samples)) return 0;
  while (n < VALUES && hex_double(&p, end, &values[n])) n++;
  return p == end ? n : 0;
}

int main(int argc, char **argv) {
  const char *p = input, *end = input + read_input("gradient-step", input, MAX_INPUT);
  uint64_t rate = 1000, all = 0;
  size_t n = 0, k = 0; // doubles and weights of a line
  if (argc > 1) {
    const char *arg = argv[1], *stop = arg + strlen(arg);
    if (!number(&arg, stop, &rate) || arg != stop) fail("gradient-step", 0, "the rate is a number of thousandths");
  }
  for (size_t line = 1; p < end; line++) {
    const char *eol = line_end(p, end);
    uint64_t samples;
    size_t found = values_of(p, eol, &samples);
    if (line == 1) memcpy(first, values, sizeof first), n = found, k = n / 2;
    if (found < 3 || found != n || n % 2 == 0) fail("gradient-step", line, "want a line that gradient wrote, with as many weights as the first");
    if (memcmp(first, values, k * sizeof first[0]) != 0) fail("gradient-step", line, "it is of other weights than the first");
    for (size_t i = k; i < n; i++) sum[i] += values[i];
    all += samples;
    p = eol + 1;
  }
  if (all == 0) fail("gradient-step", 0, "there are no samples");
  put_number(all);
  for (size_t i = 0; i < k; i++) put_double(first[i] - (double)rate / 1000 * sum[k + i] / (double)all);
  put_double(sum[n - 1] / (double)all), put('\n');
  flush();
  return 0;
}
