// A bytecode interpreter: a register machine that runs a small prime search.
#include "kernel.h"
enum { SET, ADD, SUB, MUL, MOD, LT, JZ, JNZ, JMP, OUT, HALT };
struct op { uint8_t code, a, b, c; int32_t imm; };
static const struct op program[] = {
  {SET, 0, 0, 0, 2}, {SET, 5, 0, 0, 1}, {SET, 7, 0, 0, 9000},
  {LT, 6, 0, 7, 0}, {JZ, 6, 0, 0, 17},                         // 3: while n < limit
  {SET, 1, 0, 0, 2},                                           // d = 2
  {MUL, 2, 1, 1, 0}, {LT, 6, 0, 2, 0}, {JNZ, 6, 0, 0, 13},     // 6: while d*d <= n
  {MOD, 3, 0, 1, 0}, {JZ, 3, 0, 0, 15},                        // n % d == 0: not prime
  {ADD, 1, 1, 5, 0}, {JMP, 0, 0, 0, 6},
  {OUT, 0, 0, 0, 0}, {JMP, 0, 0, 0, 15},                       // 13: prime
  {ADD, 0, 0, 5, 0}, {JMP, 0, 0, 0, 3},                        // 15: n++
  {HALT, 0, 0, 0, 0},
};
int main(void) {
  uint64_t h = 1;
  for (int round = 0; round < 25; round++) {
    int64_t r[8] = {0};
    for (int pc = 0;;) {
      struct op o = program[pc++];
      switch (o.code) {
      case SET: r[o.a] = o.imm; break;
      case ADD: r[o.a] = r[o.b] + r[o.c]; break;
      case SUB: r[o.a] = r[o.b] - r[o.c]; break;
      case MUL: r[o.a] = r[o.b] * r[o.c]; break;
      case MOD: r[o.a] = r[o.b] % r[o.c]; break;
      case LT: r[o.a] = r[o.b] < r[o.c]; break;
      case JZ: if (!r[o.a]) pc = o.imm; break;
      case JNZ: if (r[o.a]) pc = o.imm; break;
      case JMP: pc = o.imm; break;
      case OUT: h = mix(h, r[o.a]); break;
      case HALT: goto done;
      }
    }
  done:;
  }
  return report(h);
}
