// clock tries to measure time, as somebody would who wants to tell machines
// apart, or to time what others do on this one: it asks all clocks, works, asks
// again, and does it once more in a second segment. Every host answers the same.
#include <time.h>
#include <wasi/api.h>

#include "../../common/text.h"

static uint64_t ask(uint32_t id, uint64_t precision) {
  uint64_t t = 0;
  uint32_t e = __wasi_clock_time_get(id, precision, &t);
  put_number(id), put(' '), put_number(e), put(' '), put_number(t), put('\n');
  return t;
}

static void work(void) {
  for (volatile int i = 0; i < 1000000; i++);
}

int main(void) {
  for (uint32_t id = 0; id < 6; id++) {
    uint64_t resolution = 0;
    uint32_t e = __wasi_clock_res_get(id, &resolution);
    put_text("resolution "), put_number(id), put(' '), put_number(e), put(' '), put_number(resolution), put('\n');
    ask(id, 0);
    ask(id, UINT64_MAX);
  }
  uint64_t before = ask(1, 1);
  work();
  put_text("a million steps: "), put_number(ask(1, 1) - before), put_text(" ns\n");
  struct timespec t;
  timespec_get(&t, TIME_UTC);
  put_text("timespec_get "), put_number((uint64_t)t.tv_sec), put(' '), put_number((uint64_t)t.tv_nsec), put('\n');
  char state[1];
  flush();
  if (countersign_restore(state, 1) == 0) countersign_checkpoint("2", 1);
  return 0;
}
