// The functions of the module "countersign" that a C payload may call:
// docs/spec/abi.md.
#ifndef COUNTERSIGN_H
#define COUNTERSIGN_H

#include <stdint.h>

// countersign_progress reports permille (0 to 1000) of the task done and a
// short text for people: up to 256 bytes of printable ASCII.
__attribute__((import_module("countersign"), import_name("progress")))
void countersign_progress(uint32_t permille, const char *text, uint32_t length);

#endif
