/* Fails one call to the operating system of the program that it is preloaded into (LD_PRELOAD).
 *
 * Calls that touch files under one directory are counted; one of them meets a fault. What is
 * counted is everything by which a program reads, changes or syncs files, so that "the Nth call"
 * for every N is every moment at which the disk can fail or the process can die.
 *
 *   SHIM_DIRECTORY  absolute path; only calls on it and on what is below it are counted
 *   SHIM_LOG        file to which a line per counted call is appended: "FUNCTION PATH FAULT", where
 *                   FAULT is "-" for the calls that met none
 *   SHIM_FAULT      kill        the process is killed before the call
 *                   kill-after  the process is killed after the call, before it returns
 *                   short       a write takes only half of the bytes (counts writes alone)
 *                   lie         every sync says that it is done and does nothing (SHIM_AT is 0)
 *                   NUMBER      the call fails with this errno and does nothing
 *   SHIM_AT         number of the call that meets the fault, from 1
 *
 * The test compares the log with what strace sees of the same program: a function that is not
 * intercepted here would be noticed.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAPS_MAX 64

enum fault { NO_FAULT, KILL, KILL_AFTER, SHORT, LIE, ERROR };

static const char *directory;
static size_t directory_length;
static int log_file = -1;
static enum fault planned = NO_FAULT;
static int planned_error;
static long planned_at;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long eligible_calls;

/* Mapped files, because msync names an address and no file. */
static struct map {
  char *start;
  size_t length;
  char path[PATH_MAX];
} maps[MAPS_MAX];

static DIR *(*real_opendir) (const char *);
static struct dirent64 *(*real_readdir64) (DIR *);

static void __attribute__ ((constructor))
begin (void)
{
  real_opendir = dlsym (RTLD_NEXT, "opendir");
  real_readdir64 = dlsym (RTLD_NEXT, "readdir64");
  directory = getenv ("SHIM_DIRECTORY");
  if (!directory)
    return;
  directory_length = strlen (directory);
  const char *log = getenv ("SHIM_LOG");
  if (log)
    log_file = syscall (SYS_openat, AT_FDCWD, log, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
  const char *fault = getenv ("SHIM_FAULT"), *at = getenv ("SHIM_AT");
  if (!fault || !at)
    return;
  planned_at = atol (at);
  planned_error = atoi (fault);
  planned = strcmp (fault, "kill") == 0         ? KILL
            : strcmp (fault, "kill-after") == 0 ? KILL_AFTER
            : strcmp (fault, "short") == 0      ? SHORT
            : strcmp (fault, "lie") == 0        ? LIE
                                                : ERROR;
}

/* Whether this path is below the directory, or the directory itself. */
static bool
is_ours (const char *path)
{
  return directory && path && strncmp (path, directory, directory_length) == 0 &&
         (path[directory_length] == '/' || path[directory_length] == '\0');
}

/* Finds the path of an open file; whether it is one of ours. */
static bool
path_of (int fd, char path[PATH_MAX])
{
  if (!directory)
    return false;
  char link[64];
  snprintf (link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t n = syscall (SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
  if (n < 0)
    return false;
  path[n] = '\0';
  return is_ours (path);
}

static void
die (void)
{
  syscall (SYS_kill, getpid (), SIGKILL);
  for (;;)
    pause ();
}

/* Counts a call to one of our files and gives the fault that it meets. Dies, if it shall die now. */
static enum fault
meet (const char *function, const char *path, bool is_write)
{
  pthread_mutex_lock (&lock);
  const bool is_eligible = planned != SHORT || is_write;
  const bool is_met =
    planned != NO_FAULT && is_eligible && ++eligible_calls == planned_at;
  if (log_file >= 0) {
    static const char *const names[] = { "-", "kill", "kill-after", "short", "lie", "error" };
    char line[PATH_MAX + 64];
    const int n = snprintf (line, sizeof line, "%s %s %s\n", function, path,
                            names[is_met ? planned : NO_FAULT]);
    if (syscall (SYS_write, log_file, line, n) != n)
      die ();
  }
  pthread_mutex_unlock (&lock);
  if (!is_met)
    return NO_FAULT;
  if (planned == KILL)
    die ();
  return planned;
}

/* Passes a call on unless it meets an error; dies behind it when it shall. */
#define PASS(function, path, call, failure)            \
  do {                                                 \
    const enum fault fault = meet (function, path, false); \
    if (fault == ERROR) {                              \
      errno = planned_error;                           \
      return failure;                                  \
    }                                                  \
    const __typeof__ (call) result = (call);           \
    if (fault == KILL_AFTER)                           \
      die ();                                          \
    return result;                                     \
  } while (0)

/* Writing. */

static ssize_t
write_bytes (const char *function, int fd, const void *bytes, size_t length, off64_t offset)
{
  char path[PATH_MAX];
  const bool is_counted = path_of (fd, path);
  const enum fault fault = is_counted ? meet (function, path, true) : NO_FAULT;
  if (fault == ERROR) {
    errno = planned_error;
    return -1;
  }
  if (fault == SHORT)
    length = (length + 1) / 2;
  const ssize_t result = offset < 0 ? syscall (SYS_write, fd, bytes, length)
                                    : syscall (SYS_pwrite64, fd, bytes, length, offset);
  if (fault == KILL_AFTER)
    die ();
  return result;
}

ssize_t
write (int fd, const void *bytes, size_t length)
{
  return write_bytes ("write", fd, bytes, length, -1);
}

ssize_t
pwrite64 (int fd, const void *bytes, size_t length, off64_t offset)
{
  return write_bytes ("pwrite64", fd, bytes, length, offset);
}

ssize_t
pwrite (int fd, const void *bytes, size_t length, off_t offset)
{
  return write_bytes ("pwrite64", fd, bytes, length, offset);
}

/* A short one takes the first part alone, so it needs two. */
ssize_t
writev (int fd, const struct iovec *parts, int count)
{
  char path[PATH_MAX];
  if (!path_of (fd, path))
    return syscall (SYS_writev, fd, parts, count);
  const enum fault fault = meet ("writev", path, true);
  if (fault == ERROR) {
    errno = planned_error;
    return -1;
  }
  if (fault == SHORT && count < 2)
    abort ();
  const ssize_t result = syscall (SYS_writev, fd, parts, fault == SHORT ? 1 : count);
  if (fault == KILL_AFTER)
    die ();
  return result;
}

/* Syncing. */

#define SYNC(function, path, call)     \
  do {                                 \
    if (planned == LIE)                \
      return 0;                        \
    PASS (function, path, (int) call, -1); \
  } while (0)

int
fsync (int fd)
{
  char path[PATH_MAX];
  if (!path_of (fd, path))
    return syscall (SYS_fsync, fd);
  SYNC ("fsync", path, syscall (SYS_fsync, fd));
}

int
fdatasync (int fd)
{
  char path[PATH_MAX];
  if (!path_of (fd, path))
    return syscall (SYS_fdatasync, fd);
  SYNC ("fdatasync", path, syscall (SYS_fdatasync, fd));
}

/* Mapping. */

static void
remember_map (char *start, size_t length, const char *path)
{
  pthread_mutex_lock (&lock);
  struct map *map = maps;
  while (map < maps + MAPS_MAX && map->start)
    map++;
  if (map == maps + MAPS_MAX)
    abort ();
  *map = (struct map){ .start = start, .length = length };
  strcpy (map->path, path);
  pthread_mutex_unlock (&lock);
}

static bool
path_of_map (const char *address, char path[PATH_MAX])
{
  bool is_found = false;
  pthread_mutex_lock (&lock);
  for (struct map *map = maps; map < maps + MAPS_MAX; map++)
    if (map->start && map->start <= address && address < map->start + map->length) {
      strcpy (path, map->path);
      is_found = true;
    }
  pthread_mutex_unlock (&lock);
  return is_found;
}

void *
mmap64 (void *address, size_t length, int protection, int flags, int fd, off64_t offset)
{
  char path[PATH_MAX];
  const bool is_counted = fd >= 0 && (flags & MAP_SHARED) && path_of (fd, path);
  const enum fault fault = is_counted ? meet ("mmap", path, false) : NO_FAULT;
  if (fault == ERROR) {
    errno = planned_error;
    return MAP_FAILED;
  }
  void *result = (void *) syscall (SYS_mmap, address, length, protection, flags, fd, offset);
  if (fault == KILL_AFTER)
    die ();
  if (is_counted && result != MAP_FAILED)
    remember_map (result, length, path);
  return result;
}

void *
mmap (void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
  return mmap64 (address, length, protection, flags, fd, offset);
}

int
munmap (void *address, size_t length)
{
  pthread_mutex_lock (&lock);
  for (struct map *map = maps; map < maps + MAPS_MAX; map++)
    if (map->start == address)
      map->start = NULL;
  pthread_mutex_unlock (&lock);
  return syscall (SYS_munmap, address, length);
}

int
msync (void *address, size_t length, int flags)
{
  char path[PATH_MAX];
  if (!path_of_map (address, path))
    return syscall (SYS_msync, address, length, flags);
  SYNC ("msync", path, syscall (SYS_msync, address, length, flags));
}

/* Names. */

/* A mapped file keeps its map under its new name. */
static int
rename_file (const char *from, const char *to)
{
  const int result = syscall (SYS_rename, from, to);
  if (result == 0) {
    pthread_mutex_lock (&lock);
    for (struct map *map = maps; map < maps + MAPS_MAX; map++)
      if (map->start && strcmp (map->path, from) == 0)
        snprintf (map->path, sizeof map->path, "%s", to);
    pthread_mutex_unlock (&lock);
  }
  return result;
}

int
rename (const char *from, const char *to)
{
  if (!is_ours (to))
    return syscall (SYS_rename, from, to);
  PASS ("rename", to, rename_file (from, to), -1);
}

int
unlink (const char *path)
{
  if (!is_ours (path))
    return syscall (SYS_unlink, path);
  PASS ("unlink", path, (int) syscall (SYS_unlink, path), -1);
}

int
mkdir (const char *path, mode_t mode)
{
  if (!is_ours (path))
    return syscall (SYS_mkdir, path, mode);
  PASS ("mkdir", path, (int) syscall (SYS_mkdir, path, mode), -1);
}

int
open64 (const char *path, int flags, ...)
{
  mode_t mode = 0;
  if (flags & (O_CREAT | __O_TMPFILE)) {
    va_list rest;
    va_start (rest, flags);
    mode = va_arg (rest, mode_t);
    va_end (rest);
  }
  if (!is_ours (path))
    return syscall (SYS_openat, AT_FDCWD, path, flags, mode);
  PASS (flags & O_CREAT ? "create" : "open", path,
        (int) syscall (SYS_openat, AT_FDCWD, path, flags, mode), -1);
}

/* The same, where a file offset has 64 bits anyway. */
int open (const char *path, int flags, ...) __attribute__ ((alias ("open64")));

int
ftruncate64 (int fd, off64_t length)
{
  char path[PATH_MAX];
  if (!path_of (fd, path))
    return syscall (SYS_ftruncate, fd, length);
  PASS ("ftruncate", path, (int) syscall (SYS_ftruncate, fd, length), -1);
}

int
fallocate64 (int fd, int mode, off64_t offset, off64_t length)
{
  char path[PATH_MAX];
  if (!path_of (fd, path))
    return syscall (SYS_fallocate, fd, mode, offset, length);
  PASS ("fallocate", path, (int) syscall (SYS_fallocate, fd, mode, offset, length), -1);
}

/* Reading. */

ssize_t
read (int fd, void *bytes, size_t length)
{
  char path[PATH_MAX];
  if (!path_of (fd, path))
    return syscall (SYS_read, fd, bytes, length);
  PASS ("read", path, (ssize_t) syscall (SYS_read, fd, bytes, length), -1);
}

DIR *
opendir (const char *path)
{
  if (!is_ours (path))
    return real_opendir (path);
  PASS ("opendir", path, real_opendir (path), NULL);
}

/* The end of a directory is told by leaving errno alone. */
struct dirent64 *
readdir64 (DIR *stream)
{
  char path[PATH_MAX];
  if (!path_of (dirfd (stream), path))
    return real_readdir64 (stream);
  PASS ("readdir", path, real_readdir64 (stream), NULL);
}
