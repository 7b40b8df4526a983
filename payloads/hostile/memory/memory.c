// memory takes all the memory that there is, a page at a time, and writes to all
// of it; says how many pages that were; and then writes behind the end: a trap.
#include "../../common/text.h"

enum { PAGE = 65536 };

int main(void) {
  size_t page;
  while ((page = __builtin_wasm_memory_grow(0, 1)) != SIZE_MAX)
    for (size_t i = 0; i < PAGE; i += 4096) ((volatile char *)(page * PAGE))[i] = 1;
  page = __builtin_wasm_memory_size(0);
  put_number(page), put_text(" pages\n"), flush();
  *(volatile char *)(page * PAGE) = 1;
  return 0;
}
