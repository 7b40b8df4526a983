// {{name}} reads numbers from 1 to 10,000,000,000, one a line. For each it writes
// which start up to that number has the longest Collatz sequence, and how many
// steps that takes to 1.
//
// It may take long, so it runs in segments: when one is due to end it gives its
// state away, and the next, in a fresh instance, goes on from there.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../countersign.h"

#define LIMIT 10000000000 // up to which sequences stay below 2^64

// What a later segment needs to go on.
static struct {
  uint64_t lines; // finished
  uint64_t next;  // start to try
  uint64_t best, steps;
} state;

static uint64_t collatz(uint64_t n) {
  uint64_t steps = 0;
  for (; n != 1; steps++) n = n % 2 ? 3 * n + 1 : n / 2;
  return steps;
}

// breathe reports, and ends the segment if that is due.
static void breathe(uint64_t last) {
  char text[64];
  int length = snprintf(text, sizeof text, "%" PRIu64 " of %" PRIu64, state.next, last);
  countersign_progress((uint32_t)(1000 * state.next / last), text, (uint32_t)length);
  if (countersign_segment_due()) {
    fflush(stdout);
    countersign_checkpoint(&state, sizeof state);
  }
}

static void longest(uint64_t last) {
  for (; state.next <= last; state.next++) {
    if (state.next % 4096 == 0) breathe(last);
    uint64_t steps = collatz(state.next);
    if (steps > state.steps) state.best = state.next, state.steps = steps;
  }
}

int main(void) {
  uint32_t restored = countersign_restore(&state, sizeof state);
  uint64_t last;
  for (uint64_t line = 0; scanf("%" SCNu64, &last) == 1; line++) {
    if (last < 1 || last > LIMIT) {
      fprintf(stderr, "{{name}}: line %" PRIu64 ": want a number from 1 to %" PRIu64 "\n", line + 1, (uint64_t)LIMIT);
      return 2;
    }
    if (line < state.lines) continue; // of an earlier segment
    if (restored == 0) state.next = state.best = 1, state.steps = 0;
    restored = 0;
    longest(last);
    printf("%" PRIu64 " -> %" PRIu64 ", %" PRIu64 " steps\n", last, state.best, state.steps);
    state.lines++;
  }
  if (!feof(stdin)) {
    fprintf(stderr, "{{name}}: line %" PRIu64 " is no number\n", state.lines + 1);
    return 2;
  }
  return 0;
}
