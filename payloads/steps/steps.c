// steps mixes a number as many thousand times as its input says, writes a dot
// now and then and the number at the end. It can be handed on after every
// thousand: resuming is tested on it.
#include <stdint.h>
#include <unistd.h>

#include "../sdk/c/countersign.h"

static struct {
  uint64_t done, mixed;
} at;

int main(void) {
  char text[17];
  uint64_t until = 0;
  for (char c; read(0, &c, 1) == 1 && c >= '0' && c <= '9';) until = until * 10 + (uint64_t)(c - '0');
  countersign_restore(&at, sizeof at);
  while (at.done < until) {
    for (int i = 0; i < 1000; i++) at.mixed = (at.mixed ^ at.done) * 0x9e3779b97f4a7c15u + (at.mixed >> 29);
    at.done++;
    if (at.done % 1024 == 0 && write(1, ".", 1) != 1) return 1;
    countersign_progress((uint32_t)(at.done * 1000 / until), "mixing", 6);
    if (countersign_segment_due()) countersign_checkpoint(&at, sizeof at);
  }
  for (int i = 0; i < 16; i++) text[i] = "0123456789abcdef"[at.mixed >> (60 - 4 * i) & 15];
  text[16] = '\n';
  return write(1, text, sizeof text) != sizeof text;
}
