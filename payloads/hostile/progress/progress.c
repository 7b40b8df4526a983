// progress reports for ever, each time as much text as may be and some more.
#include "../../common/text.h"

static char text[1000];

int main(void) {
  for (uint32_t n = 0;; n++) {
    memset(text, (int)n, sizeof text);
    countersign_progress(n, text, sizeof text);
  }
}
