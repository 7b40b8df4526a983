// align scores each sequence of a FASTA text against a query by Smith–Waterman
// with affine gaps, and writes "name score" for each. The query is the first
// argument. A pair of equal letters scores 2, of others -1; opening a gap -3,
// each letter of it more -1. Letters are compared as they are, in either case.
//
// Eight sequences are aligned at a time, one in each 16-bit lane of a vector: so
// no lane waits for another, and there is nothing to shuffle.
#include <wasm_simd128.h>

#include "../common/text.h"

enum { MAX_INPUT = 1 << 19, MAX_QUERY = 4096, LANES = 8, MATCH = 2, MISMATCH = -1, OPEN = 4, EXTEND = 1, END = -1 };

static char input[MAX_INPUT];
static v128_t query[MAX_QUERY], score[MAX_QUERY], gap[MAX_QUERY]; // letter; best of the row, also with a gap in the query
static size_t rows;

static struct {
  uint64_t at, line; // start of the next record, and how many lines came before it
} now;

// A record of the text: ">name comment", then lines of letters.
struct record {
  const char *name, *name_end, *next; // next: where its letters go on
};

static int upper(char c) { return c >= 'a' && c <= 'z' ? c - 32 : c; }

// letter takes the next letter of a record, or END for ever.
static int letter(struct record *r, const char *end) {
  while (r->next < end && *r->next == '\n') r->next++;
  if (r->next == end || *r->next == '>') return END;
  return upper(*r->next++);
}

// column aligns one letter of each sequence with the whole query.
static v128_t column(v128_t letters, v128_t best) {
  const v128_t match = wasm_i16x8_const_splat(MATCH), mismatch = wasm_i16x8_const_splat(MISMATCH);
  const v128_t open = wasm_i16x8_const_splat(OPEN), extend = wasm_i16x8_const_splat(EXTEND), zero = wasm_i16x8_const_splat(0);
  v128_t diagonal = zero, down = zero; // down: with a gap in the sequences
  for (size_t i = 0; i < rows; i++) {
    v128_t pair = wasm_v128_bitselect(match, mismatch, wasm_i16x8_eq(letters, query[i]));
    v128_t h = wasm_i16x8_max(wasm_i16x8_add(diagonal, pair), wasm_i16x8_max(wasm_i16x8_max(gap[i], down), zero));
    diagonal = score[i];
    score[i] = h;
    best = wasm_i16x8_max(best, h);
    v128_t opened = wasm_i16x8_sub(h, open);
    gap[i] = wasm_i16x8_max(wasm_i16x8_sub(gap[i], extend), opened);
    down = wasm_i16x8_max(wasm_i16x8_sub(down, extend), opened);
  }
  return best;
}

// align_batch writes the scores of n records.
static void align_batch(struct record *r, size_t n, const char *end) {
  int16_t lane[LANES];
  v128_t best = wasm_i16x8_const_splat(0);
  memset(score, 0, sizeof score), memset(gap, 0, sizeof gap);
  for (;;) {
    int more = 0;
    for (size_t i = 0; i < LANES; i++) {
      lane[i] = i < n ? (int16_t)letter(&r[i], end) : END;
      more |= lane[i] != END;
    }
    if (!more) break;
    best = column(wasm_v128_load(lane), best); // END matches nothing, so scores only fall
  }
  wasm_v128_store(lane, best);
  for (size_t i = 0; i < n; i++) {
    put_bytes(r[i].name, (size_t)(r[i].name_end - r[i].name));
    put(' '), put_number((uint64_t)lane[i]), put('\n');
  }
}

// next_batch finds up to LANES records from now.at on, and moves it behind them.
static size_t next_batch(struct record *r, const char *end) {
  const char *p = input + now.at;
  size_t n = 0;
  for (; p < end; now.line++) {
    const char *eol = line_end(p, end), *name = p + 1;
    if (*p == '>') {
      if (n == LANES) break;
      const char *stop = name;
      while (stop < eol && *stop != ' ') stop++;
      r[n++] = (struct record){name, stop, eol};
    } else if (n == 0) {
      fail("align", now.line + 1, "want a record that begins with >");
    }
    p = eol < end ? eol + 1 : end;
  }
  now.at = (uint64_t)(p - input);
  return n;
}

int main(int argc, char **argv) {
  const char *end = input + read_input("align", input, MAX_INPUT);
  rows = argc > 1 ? strlen(argv[1]) : 0;
  if (rows < 1 || rows > MAX_QUERY) fail("align", 0, "want a query of 1 to 4096 letters as argument");
  for (size_t i = 0; i < rows; i++) query[i] = wasm_i16x8_splat((int16_t)upper(argv[1][i]));
  countersign_restore(&now, sizeof now);
  while (input + now.at < end) {
    struct record r[LANES];
    report(now.at, (uint64_t)(end - input), "lines read: ", now.line);
    align_batch(r, next_batch(r, end), end);
    pause_if_due(&now, sizeof now);
  }
  flush();
  return 0;
}
