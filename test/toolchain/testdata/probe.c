// A program that tries what programs try: argv[1] says what.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int32_t wasi_poll_oneoff(int32_t, int32_t, int32_t, int32_t)
    __attribute__((import_module("wasi_snapshot_preview1"), import_name("poll_oneoff")));
int32_t wasi_clock_time_get(int32_t, int64_t, int32_t)
    __attribute__((import_module("wasi_snapshot_preview1"), import_name("clock_time_get")));

static int is(const char *a, const char *b) { return strcmp(a, b) == 0; }

static void input(void) {
  uint32_t sum = 0;
  size_t n = 0;
  for (int c; (c = getchar()) != EOF; n++) sum = sum * 31 + (uint32_t)c;
  printf("%zu bytes, sum %u, then %d\n", n, sum, getchar());
}

static void files(void) {
  struct stat st;
  printf("open %d\n", open("x", O_RDONLY) < 0);
  printf("create %d\n", fopen("x", "w") == NULL);
  printf("list %d\n", opendir(".") == NULL);
  printf("stat %d\n", stat("x", &st));
  printf("fstat of stdin %d\n", fstat(0, &st));
  printf("mkdir %d\n", mkdir("d", 0700));
  printf("remove %d\n", unlink("x"));
  printf("rename %d\n", rename("x", "y"));
  printf("seek %d\n", lseek(0, 0, SEEK_SET) == -1 && errno == ESPIPE);
  printf("terminal %d\n", isatty(1));
}

static void clocks(void) {
  struct timespec a, b, res;
  clock_gettime(CLOCK_REALTIME, &a);
  clock_gettime(CLOCK_MONOTONIC, &b);
  clock_getres(CLOCK_MONOTONIC, &res);
  printf("%lld, later %d, steps of %ld ns\n", (long long)a.tv_sec, b.tv_nsec > a.tv_nsec, res.tv_nsec);
}

static void rest(void) {
  struct timespec a, b, ten = {.tv_nsec = 10000000};
  struct pollfd in = {.fd = 0, .events = POLLIN};
  clock_gettime(CLOCK_MONOTONIC, &a);
  int slept = nanosleep(&ten, NULL);
  clock_gettime(CLOCK_MONOTONIC, &b);
  printf("slept %d, %ld ns\n", slept, b.tv_nsec - a.tv_nsec);
  printf("poll %d, readable %d\n", poll(&in, 1, 1000), in.revents == POLLIN);
}

static void dice(void) {
  unsigned char b[8];
  printf("%d ", getentropy(b, sizeof b));
  for (size_t i = 0; i < sizeof b; i++) printf("%02x", b[i]);
  putchar('\n');
}

// polls asks poll_oneoff for anything, anywhere, and prints a digest of all
// answers: hosts that differ in one of them print another.
static void polls(void) {
  static unsigned char memory[8192];
  uint64_t seed = 1, digest = 14695981039346656037u;
  unsigned fine = 0;
  for (int round = 0; round < 20000; round++) {
    for (size_t i = 0; i < 512; i++) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      memory[i] = (unsigned char)(seed >> 56);
    }
    for (size_t i = 0; i < 480; i += 48) { // mostly what there is
      memory[i + 8] &= memory[i + 9] & 3;
      memory[i + 16] &= 7;
      memset(memory + i + 17, 0, memory[i + 20] < 250 ? 3 : 1);
      memset(memory + i + 20, 0, memory[i + 21] < 250 ? 4 : 0);
      memset(memory + i + 27, 0, memory[i + 40] & 2 ? 5 : 0);
    }
    uint32_t at = round % 7 ? 0 : (uint32_t)(seed >> 40) % 600, n = (uint32_t)(seed >> 33) % 11, count = 4096;
    uintptr_t in = (uintptr_t)memory + at, out = (uintptr_t)memory + 1024 + (round % 5 ? 0 : at);
    if (round % 101 == 0) in += 0xfff00000;
    if (round % 103 == 0) out += 0xfff00000;
    int e = wasi_poll_oneoff((int32_t)in, (int32_t)out, (int32_t)n, (int32_t)(uintptr_t)&count);
    uint64_t now = 0;
    fine += e == 0;
    if (round % 3 == 0) wasi_clock_time_get(1, 0, (int32_t)(uintptr_t)&now);
    uint64_t answers[] = {(uint64_t)e, count, now};
    for (size_t i = 0; i < sizeof answers; i++) digest = (digest ^ ((unsigned char *)answers)[i]) * 1099511628211u;
    for (size_t i = 0; i < 2048; i++) digest = (digest ^ memory[i]) * 1099511628211u;
  }
  printf("%u answered, %016llx\n", fine, (unsigned long long)digest);
}

static int deep(int n) { return n == 0 ? 0 : 1 + deep(n - 1) * (n & 1023 ? 1 : 2); }

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "hello";
  setvbuf(stdout, NULL, _IOFBF, 4096);
  if (is(what, "hello")) printf("hello\n");
  if (is(what, "input")) input();
  if (is(what, "files")) files();
  if (is(what, "clocks")) clocks();
  if (is(what, "sleep")) rest();
  if (is(what, "random")) dice();
  if (is(what, "polls")) polls();
  if (is(what, "args")) printf("%s %d %s %d\n", argv[0], argc, argc > 2 ? argv[2] : "", getenv("HOME") == NULL);
  if (is(what, "exit")) exit(7);
  if (is(what, "panic")) abort();
  if (is(what, "recurse")) printf("%d\n", deep(1 << 24));
  return 0;
}
