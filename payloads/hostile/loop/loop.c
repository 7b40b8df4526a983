// loop says that it loops, and does so for ever. Kill switches are tested on it.
#include "../../sdk/c/countersign.h"

int main(void) {
  countersign_progress(0, "looping", 7);
  for (volatile unsigned n = 0;;) n++;
}
