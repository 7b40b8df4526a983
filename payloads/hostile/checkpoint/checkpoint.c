// checkpoint ends each segment at once, for ever: until there have been as many
// as may be. With the argument "full" the state is as large as may be, with
// "large" one byte larger.
#include "../../common/text.h"

enum { MOST = 1048576, PAGE = 65536 };

int main(int argc, char **argv) {
  uint32_t size = 0;
  size_t state = 0;
  if (argc > 1) {
    size = strcmp(argv[1], "full") == 0 ? MOST : MOST + 1;
    state = __builtin_wasm_memory_grow(0, MOST / PAGE + 1) * PAGE;
  }
  countersign_checkpoint((void *)state, size);
}
