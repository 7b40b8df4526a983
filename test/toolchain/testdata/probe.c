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
  if (is(what, "args")) printf("%s %d %s %d\n", argv[0], argc, argc > 2 ? argv[2] : "", getenv("HOME") == NULL);
  if (is(what, "exit")) exit(7);
  if (is(what, "panic")) abort();
  if (is(what, "recurse")) printf("%d\n", deep(1 << 24));
  return 0;
}
