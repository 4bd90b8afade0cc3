// Lets the nth operation of a process that changes files below a directory fail. To be preloaded.
//
// COSCRIBE_FAULT_DIR     the directory
// COSCRIBE_FAULT_EXCEPT  a directory in it that doesn't count
// COSCRIBE_FAULT_AT      n, from 1
// COSCRIBE_FAULT         kill   the process is killed before the operation
//                        torn   of a write, half is done, and the process is killed
//                        short  of a write, half is done, and said so
//                        eio    the operation fails, once
//                        full   from here on nothing can be created or written
//
// With COSCRIBE_FAULT_CLOCK the clock says that it is 1969. With COSCRIBE_FAULT_RESERVE no space can be reserved, as on some
// file systems.
//
// At its end the process says on stderr how many operations there were.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static atomic_long operations;

enum outcome { GO_ON, HALF, HALF_AND_DIE, FAIL };

static int starts_with(const char *path, const char *variable) {
  const char *dir = getenv(variable);
  return dir && path && strncmp(path, dir, strlen(dir)) == 0;
}

static int is_below(const char *path) {
  return starts_with(path, "COSCRIBE_FAULT_DIR") && !starts_with(path, "COSCRIBE_FAULT_EXCEPT");
}

static int is_open_below(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t len = readlink(link, path, sizeof path - 1);
  if (len < 0) return 0;
  path[len] = 0;
  return is_below(path);
}

static enum outcome next(int needs_space, int is_write) {
  const char *fault = getenv("COSCRIBE_FAULT"), *at = getenv("COSCRIBE_FAULT_AT");
  long n = atomic_fetch_add(&operations, 1) + 1, wanted = at ? atol(at) : 0;
  if (!fault || !wanted) return GO_ON;
  if (!strcmp(fault, "full") && n >= wanted && needs_space) {
    errno = ENOSPC;
    return FAIL;
  }
  if (n != wanted) return GO_ON;
  if (!strcmp(fault, "kill")) kill(getpid(), SIGKILL);
  if (!strcmp(fault, "torn")) {
    if (!is_write) kill(getpid(), SIGKILL);
    return HALF_AND_DIE;
  }
  if (!strcmp(fault, "short") && is_write) return HALF;
  if (!strcmp(fault, "eio")) {
    errno = EIO;
    return FAIL;
  }
  return GO_ON;
}

__attribute__((destructor)) static void say(void) {
  fprintf(stderr, "operations %ld\n", atomic_load(&operations));
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static ssize_t written(enum outcome outcome, size_t len, ssize_t (*write_some)(size_t, void *), void *context) {
  if (outcome == FAIL) return -1;
  if (outcome == GO_ON || len < 2) return write_some(len, context);
  ssize_t done = write_some(len / 2, context);
  if (outcome == HALF_AND_DIE) kill(getpid(), SIGKILL);
  return done;
}

struct range { int fd; const void *bytes; off64_t at; };

static ssize_t write_some(size_t len, void *context) {
  struct range *range = context;
  return REAL(write)(range->fd, range->bytes, len);
}

static ssize_t pwrite_some(size_t len, void *context) {
  struct range *range = context;
  return REAL(pwrite64)(range->fd, range->bytes, len, range->at);
}

ssize_t write(int fd, const void *bytes, size_t len) {
  struct range range = {fd, bytes, 0};
  return written(is_open_below(fd) ? next(1, 1) : GO_ON, len, write_some, &range);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at) {
  struct range range = {fd, bytes, at};
  return written(is_open_below(fd) ? next(1, 1) : GO_ON, len, pwrite_some, &range);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at) { return pwrite64(fd, bytes, len, at); }

#define OPEN(name)                                                                    \
  int name(const char *path, int flags, ...) {                                        \
    va_list rest;                                                                     \
    va_start(rest, flags);                                                            \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;           \
    va_end(rest);                                                                     \
    if (flags & O_CREAT && is_below(path) && next(1, 0) == FAIL) return -1;           \
    return REAL(name)(path, flags, mode);                                             \
  }
OPEN(open)
OPEN(open64)

#define BY_DESCRIPTOR(name, needs_space, parameters, ...)                             \
  int name parameters {                                                               \
    if (is_open_below(fd) && next(needs_space, 0) == FAIL) return -1;                 \
    return REAL(name)(__VA_ARGS__);                                                   \
  }
BY_DESCRIPTOR(fsync, 0, (int fd), fd)
BY_DESCRIPTOR(fdatasync, 0, (int fd), fd)
BY_DESCRIPTOR(ftruncate64, 1, (int fd, off64_t len), fd, len)
BY_DESCRIPTOR(sync_file_range, 0, (int fd, off64_t at, off64_t len, unsigned flags), fd, at, len, flags)

int fallocate64(int fd, int mode, off64_t at, off64_t len) {
  if (is_open_below(fd) && next(1, 0) == FAIL) return -1;
  if (!getenv("COSCRIBE_FAULT_RESERVE")) return REAL(fallocate64)(fd, mode, at, len);
  errno = EOPNOTSUPP;
  return -1;
}

#define BY_PATH(name, needs_space, parameters, ...)                                   \
  int name parameters {                                                               \
    if (is_below(path) && next(needs_space, 0) == FAIL) return -1;                    \
    return REAL(name)(__VA_ARGS__);                                                   \
  }
BY_PATH(rename, 0, (const char *path, const char *to), path, to)
BY_PATH(unlink, 0, (const char *path), path)
BY_PATH(mkdir, 1, (const char *path, mode_t mode), path, mode)

int clock_gettime(clockid_t clock, struct timespec *now) {
  int done = REAL(clock_gettime)(clock, now);
  if (clock == CLOCK_REALTIME && getenv("COSCRIBE_FAULT_CLOCK")) now->tv_sec = -1000;
  return done;
}
