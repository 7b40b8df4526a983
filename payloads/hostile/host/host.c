// host tries to tell one host from another: it calls every function that a module
// may import, many times, with odd arguments, and hashes all that comes of it,
// errnos and memory alike. It writes a line for each function, "name hash", so
// that a difference has a place, and does all of it again in a second segment.
//
// In the end it exits with an odd code; with the argument "state" it gives a state
// that is not inside its memory.
#include "../../common/text.h"

enum { ROUNDS = 32, LOW = 1000, AREA = 8192, HIGH = 64 };

typedef int32_t i;
typedef int64_t I;

static uint8_t area[AREA] __attribute__((aligned(16)));
static uint64_t hash, seed;

static uint32_t end_of_memory(void) { return (uint32_t)__builtin_wasm_memory_size(0) << 16; }

// pick draws one of n by splitmix64.
static uint32_t pick(uint32_t n) {
  uint64_t z = seed += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return (uint32_t)((z ^ z >> 31) % n);
}
#define ONE_OF(type, ...) ((type[]){__VA_ARGS__})[pick(sizeof((type[]){__VA_ARGS__}) / sizeof(type))]

// The odd arguments. Sizes that fit are small, so that this program survives.
static i odd(void) { return ONE_OF(i, 0, 1, 2, 3, 4, 7, 8, 255, 65535, 65536, -1, -2, INT32_MAX, INT32_MIN); }
static I wide(void) { return ONE_OF(I, 0, 1, 1000, 65536, -1, INT32_MAX, INT64_MAX, INT64_MIN, 1LL << 32); }
static i fd(void) { return ONE_OF(i, 0, 1, 2, 3, 4, -1, INT32_MIN, 65536); }
static i in(void) { return ONE_OF(i, 0, 0, 0, 1, 2, 3, -1); }
static i out(void) { return ONE_OF(i, 0, 2, 2, 3, -1); } // not 1: the output is for the hashes
static i at(void) {
  uint32_t end = end_of_memory(), a = (uint32_t)area;
  return (i)ONE_OF(uint32_t, 0, 1, 7, a, a, a + 1, a + 4000, end - 64, end - 8, end - 1, end, end + 1, 0x7fffffff, 0xfffffff8, 0xffffffff);
}
static i size(void) { return ONE_OF(i, 0, 0, 1, 2, 3, 8, 20, 63, 64, 65, 100, LOW, INT32_MAX, INT32_MIN, -1); }
static i count(void) { return ONE_OF(i, 0, 1, 2, 3, 5, 1024, 1025, INT32_MIN, -1); }

// vectors are pairs of address and length, odd themselves now and then.
static i vectors(void) {
  uint32_t *v = (uint32_t *)area, end = end_of_memory();
  for (size_t k = 0; k < AREA / 4; k += 2) {
    v[k] = (uint32_t)area + pick(AREA - 200);
    v[k + 1] = k < 12 ? pick(100) : 0;
  }
  if (pick(4) == 0) v[2 * pick(6)] = ONE_OF(uint32_t, 0, end - 1, end, end + 1, 0xffffffff);
  if (pick(8) == 0) v[2 * pick(6) + 1] = ONE_OF(uint32_t, 0x7fffffff, 0xffffffff);
  return (i)ONE_OF(uint32_t, (uint32_t)area, (uint32_t)area, (uint32_t)area, (uint32_t)area + 8, end - 8, end - 4, 0xfffffff8);
}

static void mix(const void *from, size_t n) {
  uint64_t word;
  for (const uint8_t *p = from; n >= sizeof word; p += sizeof word, n -= sizeof word) {
    memcpy(&word, p, sizeof word);
    hash = (hash ^ word) * 0x100000001b3;
    hash ^= hash >> 29;
  }
}

// note hashes an answer, and the places where something may have been written.
static void note(uint64_t answer) {
  volatile uint8_t *low = NULL; // the compiler takes NULL for no memory
  uint8_t copy[LOW];
  for (size_t k = 0; k < LOW; k++) copy[k] = low[k];
  mix(&answer, sizeof answer), mix(copy, LOW), mix(area, AREA), mix((void *)(end_of_memory() - HIGH), HIGH);
}

static void name(const char *s) { put_text(s), put(' '), put_hex(hash), put('\n'); }

#define CALL(module, f, types, ...)                                                    \
  {                                                                                    \
    extern __attribute__((import_module(module), import_name(#f))) i probe_##f types;  \
    for (int round = 0; round < ROUNDS; round++) note((uint32_t)probe_##f(__VA_ARGS__)); \
    name(#f);                                                                          \
  }
#define WASI(f, types, ...) CALL("wasi_snapshot_preview1", f, types, __VA_ARGS__)
#define OURS(f, types, ...) CALL("countersign", f, types, __VA_ARGS__)

static void files(void) {
  WASI(fd_advise, (i, I, I, i), fd(), wide(), wide(), odd())
  WASI(fd_allocate, (i, I, I), fd(), wide(), wide())
  WASI(fd_close, (i), fd())
  WASI(fd_datasync, (i), fd())
  WASI(fd_fdstat_get, (i, i), fd(), at())
  WASI(fd_fdstat_set_flags, (i, i), fd(), odd())
  WASI(fd_fdstat_set_rights, (i, I, I), fd(), wide(), wide())
  WASI(fd_filestat_get, (i, i), fd(), at())
  WASI(fd_filestat_set_size, (i, I), fd(), wide())
  WASI(fd_filestat_set_times, (i, I, I, i), fd(), wide(), wide(), odd())
  WASI(fd_pread, (i, i, i, I, i), fd(), vectors(), count(), wide(), at())
  WASI(fd_prestat_dir_name, (i, i, i), fd(), at(), size())
  WASI(fd_prestat_get, (i, i), fd(), at())
  WASI(fd_pwrite, (i, i, i, I, i), fd(), vectors(), count(), wide(), at())
  WASI(fd_read, (i, i, i, i), in(), vectors(), count(), at())
  WASI(fd_readdir, (i, i, i, I, i), fd(), at(), size(), wide(), at())
  WASI(fd_renumber, (i, i), fd(), fd())
  WASI(fd_seek, (i, I, i, i), fd(), wide(), odd(), at())
  WASI(fd_sync, (i), fd())
  WASI(fd_tell, (i, i), fd(), at())
  WASI(fd_write, (i, i, i, i), out(), vectors(), count(), at())
}

static void paths(void) {
  WASI(path_create_directory, (i, i, i), fd(), at(), size())
  WASI(path_filestat_get, (i, i, i, i, i), fd(), odd(), at(), size(), at())
  WASI(path_filestat_set_times, (i, i, i, i, I, I, i), fd(), odd(), at(), size(), wide(), wide(), odd())
  WASI(path_link, (i, i, i, i, i, i, i), fd(), odd(), at(), size(), fd(), at(), size())
  WASI(path_open, (i, i, i, i, i, I, I, i, i), fd(), odd(), at(), size(), odd(), wide(), wide(), odd(), at())
  WASI(path_readlink, (i, i, i, i, i, i), fd(), at(), size(), at(), size(), at())
  WASI(path_remove_directory, (i, i, i), fd(), at(), size())
  WASI(path_rename, (i, i, i, i, i, i), fd(), at(), size(), fd(), at(), size())
  WASI(path_symlink, (i, i, i, i, i), at(), size(), fd(), at(), size())
  WASI(path_unlink_file, (i, i, i), fd(), at(), size())
}

static void others(void) {
  WASI(args_get, (i, i), at(), at())
  WASI(args_sizes_get, (i, i), at(), at())
  WASI(clock_res_get, (i, i), odd(), at())
  WASI(clock_time_get, (i, I, i), odd(), wide(), at())
  WASI(environ_get, (i, i), at(), at())
  WASI(environ_sizes_get, (i, i), at(), at())
  WASI(poll_oneoff, (i, i, i, i), at(), at(), count(), at())
  WASI(proc_raise, (i), odd())
  WASI(random_get, (i, i), at(), size())
  WASI(sched_yield, (void))
  WASI(sock_accept, (i, i, i), fd(), odd(), at())
  WASI(sock_recv, (i, i, i, i, i, i), fd(), vectors(), count(), odd(), at(), at())
  WASI(sock_send, (i, i, i, i, i), fd(), vectors(), count(), odd(), at())
  WASI(sock_shutdown, (i, i), fd(), odd())
  OURS(restore, (i, i), at(), size())
  OURS(segment_due, (void))
  for (int k = 0; k < ROUNDS; k++) countersign_progress((uint32_t)odd(), (const char *)at(), (uint32_t)size());
  note(0), name("progress");
}

int main(int argc, char **argv) {
  int state = argc > 1 && strcmp(argv[1], "state") == 0;
  countersign_restore(&hash, sizeof hash);
  int first = hash == 0;
  seed = hash;
  others(), files(), paths(), others();
  flush();
  if (first) countersign_checkpoint(&hash, sizeof hash);
  if (state) countersign_checkpoint((void *)(end_of_memory() - 1), 2);
  exit(-16);
}
