// The functions of the module "countersign" that a C payload may call:
// docs/spec/abi.md.
#ifndef COUNTERSIGN_H
#define COUNTERSIGN_H

#include <stdint.h>

// countersign_progress reports permille (0 to 1000) of the task done and a
// short text for people: up to 256 bytes of printable ASCII.
__attribute__((import_module("countersign"), import_name("progress")))
void countersign_progress(uint32_t permille, const char *text, uint32_t length);

// countersign_restore gives the state that the segment began with: its length
// (0 in the first segment); as much of it as size allows is written to state.
__attribute__((import_module("countersign"), import_name("restore")))
uint32_t countersign_restore(void *state, uint32_t size);

// countersign_checkpoint ends the segment. The program is started again, and
// restore gives it this state, of at most 1,048,576 bytes.
__attribute__((import_module("countersign"), import_name("checkpoint"), noreturn))
void countersign_checkpoint(const void *state, uint32_t size);

// countersign_segment_due is 1 when it is time for a checkpoint, otherwise 0.
__attribute__((import_module("countersign"), import_name("segment_due")))
int countersign_segment_due(void);

#endif
