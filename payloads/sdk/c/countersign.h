// The functions of the module "countersign" that a C payload may call:
// docs/spec/abi.md. A program that only reads standard input and writes standard
// output needs none of them.
//
// A native build has stand-ins: there the program runs in one go.
#ifndef COUNTERSIGN_H
#define COUNTERSIGN_H

#include <stdint.h>

#ifdef __wasm__

// countersign_progress reports permille (0 to 1000) of the task done and a
// short text for people: up to 256 bytes of printable ASCII.
__attribute__((import_module("countersign"), import_name("progress")))
void countersign_progress(uint32_t permille, const char *text, uint32_t length);

// countersign_restore gives the state that the segment began with: its length
// (0 in the first segment); as much of it as size allows is written to state.
__attribute__((import_module("countersign"), import_name("restore")))
uint32_t countersign_restore(void *state, uint32_t size);

// countersign_checkpoint ends the segment. The program is started again, and
// restore gives it this state, of at most 1,048,576 bytes. Nothing else is left,
// so flush what was printed: fflush(stdout).
__attribute__((import_module("countersign"), import_name("checkpoint"), noreturn))
void countersign_checkpoint(const void *state, uint32_t size);

// countersign_segment_due is 1 when it is time for a checkpoint, otherwise 0. It
// follows from the fuel used, so all runs of a task checkpoint at the same places.
__attribute__((import_module("countersign"), import_name("segment_due")))
int countersign_segment_due(void);

#else

#include <stdlib.h>

static inline void countersign_progress(uint32_t permille, const char *text, uint32_t length) {
  (void)permille, (void)text, (void)length;
}
static inline uint32_t countersign_restore(void *state, uint32_t size) {
  (void)state, (void)size;
  return 0;
}
_Noreturn static inline void countersign_checkpoint(const void *state, uint32_t size) {
  (void)state, (void)size;
  abort(); // never due here
}
static inline int countersign_segment_due(void) { return 0; }

#endif
#endif
