/* A disk in memory that can lose its power or break: a plugin for nbdkit.
 *
 * Like a real disk it has a volatile write cache. A write changes the cache; a flush makes what is
 * in the cache stable. When the power is cut, each sector that was written since the last flush
 * either survives or falls back to its stable content, at random and independent of the order of
 * the writes; all sectors of 512 bytes, so a longer write can be torn.
 *
 * Parameters: size=BYTES, flush-delay=MICROSECONDS, control=PATH. A flush takes the delay, as on a
 * real disk, so that most power cuts meet writes that are not yet stable. Whoever connects to the socket at PATH sends one command
 * in a line and gets one line back when it is in force:
 *
 *   cut SEED    cut the power; from now on every request fails. Answers "ok LOST KEPT" in sectors.
 *   fail-write  writes fail, and change nothing
 *   fail-flush  flushes fail; what is in the cache stays volatile
 *   heal        the power is back and nothing fails any more
 *
 * Answers "ok" with the numbers that belong to the command, or "error".
 */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* One request at a time; `lock` is for the thread that listens on the control socket. */
#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS
#define SECTOR 512

enum condition { WORKING, FAILING_WRITES, FAILING_FLUSHES, WITHOUT_POWER };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static enum condition condition = WORKING;
static char *control_path;
static int control_socket = -1;
static uint64_t size;
static useconds_t flush_delay;

static unsigned char *cached; /* What reads see. */
static unsigned char *stable; /* What survives a power cut for certain. */
static unsigned char *is_dirty; /* Per sector: written since the last flush. */
static uint64_t *dirty; /* The sectors that are dirty, in the order of their first write. */
static uint64_t dirty_count;

/* Numbers of errors since the last command, so that a test knows that its fault was met. */
static uint64_t failed_requests;

/* Xorshift: what matters is that a seed repeats its choice. */
static uint64_t random_state;

static uint64_t
next_random (void)
{
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

static void
seed_random (uint64_t seed)
{
  random_state = seed * 0x9E3779B97F4A7C15u + 0x2545F4914F6CDD1Du;
  if (random_state == 0)
    random_state = 1;
  for (int i = 0; i < 8; i++)
    next_random ();
}

/* Cuts the power. The share of sectors that survive is drawn first, so that cuts which keep
 * nearly all and cuts which keep nearly nothing are as common as those in between.
 */
static void
cut_power (uint64_t seed, uint64_t *lost, uint64_t *kept)
{
  seed_random (seed);
  const uint64_t percent_kept = next_random () % 101;
  *lost = *kept = 0;
  for (uint64_t i = 0; i < dirty_count; i++) {
    const uint64_t offset = dirty[i] * SECTOR;
    if (next_random () % 100 < percent_kept) {
      memcpy (stable + offset, cached + offset, SECTOR);
      ++*kept;
    }
    else {
      memcpy (cached + offset, stable + offset, SECTOR);
      ++*lost;
    }
    is_dirty[dirty[i]] = 0;
  }
  dirty_count = 0;
  condition = WITHOUT_POWER;
}

/* Obeys one command and writes the answer. */
static void
obey (const char *command, char *answer, size_t length)
{
  unsigned long long seed;
  pthread_mutex_lock (&lock);
  if (sscanf (command, "cut %llu", &seed) == 1) {
    uint64_t lost, kept;
    cut_power (seed, &lost, &kept);
    snprintf (answer, length, "ok %llu %llu\n", (unsigned long long) lost,
              (unsigned long long) kept);
  }
  else {
    int is_known = 1;
    if (strcmp (command, "fail-write\n") == 0)
      condition = FAILING_WRITES;
    else if (strcmp (command, "fail-flush\n") == 0)
      condition = FAILING_FLUSHES;
    else if (strcmp (command, "heal\n") == 0)
      condition = WORKING;
    else
      is_known = 0;
    if (is_known)
      snprintf (answer, length, "ok %llu\n", (unsigned long long) failed_requests);
    else
      snprintf (answer, length, "error\n");
  }
  failed_requests = 0;
  pthread_mutex_unlock (&lock);
}

static void *
listen_for_commands (void *unused)
{
  for (;;) {
    const int connection = accept (control_socket, NULL, NULL);
    if (connection < 0)
      continue;
    char command[64] = "", answer[64];
    size_t used = 0;
    while (used < sizeof command - 1 && !memchr (command, '\n', used)) {
      const ssize_t n = read (connection, command + used, sizeof command - 1 - used);
      if (n <= 0)
        break;
      used += n;
    }
    obey (command, answer, sizeof answer);
    if (write (connection, answer, strlen (answer)) < 0)
      nbdkit_debug ("nobody waits for the answer to a command");
    close (connection);
  }
  return unused;
}

static int
power_cut_config (const char *key, const char *value)
{
  if (strcmp (key, "size") == 0) {
    const int64_t bytes = nbdkit_parse_size (value);
    if (bytes <= 0 || bytes % SECTOR != 0) {
      nbdkit_error ("size must be a multiple of %d", SECTOR);
      return -1;
    }
    size = bytes;
    return 0;
  }
  if (strcmp (key, "flush-delay") == 0) {
    unsigned microseconds;
    if (nbdkit_parse_unsigned (key, value, &microseconds) == -1)
      return -1;
    flush_delay = microseconds;
    return 0;
  }
  if (strcmp (key, "control") == 0) {
    control_path = nbdkit_absolute_path (value);
    return control_path ? 0 : -1;
  }
  nbdkit_error ("unknown parameter %s", key);
  return -1;
}

static int
power_cut_config_complete (void)
{
  if (size == 0 || !control_path) {
    nbdkit_error ("size and control are needed");
    return -1;
  }
  return 0;
}

static int
power_cut_get_ready (void)
{
  const uint64_t sectors = size / SECTOR;
  cached = calloc (1, size);
  stable = calloc (1, size);
  is_dirty = calloc (1, sectors);
  dirty = calloc (sectors, sizeof *dirty);
  if (!cached || !stable || !is_dirty || !dirty) {
    nbdkit_error ("not enough memory for a disk of this size");
    return -1;
  }
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  if (strlen (control_path) >= sizeof address.sun_path) {
    nbdkit_error ("the path of the control socket is too long");
    return -1;
  }
  strcpy (address.sun_path, control_path);
  control_socket = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (control_socket < 0 ||
      bind (control_socket, (struct sockaddr *) &address, sizeof address) < 0 ||
      listen (control_socket, 4) < 0) {
    nbdkit_error ("control socket: %m");
    return -1;
  }
  return 0;
}

static int
power_cut_after_fork (void)
{
  pthread_t thread;
  const int error = pthread_create (&thread, NULL, listen_for_commands, NULL);
  if (error) {
    errno = error;
    nbdkit_error ("thread of the control socket: %m");
    return -1;
  }
  pthread_detach (thread);
  return 0;
}

static void *
power_cut_open (int readonly)
{
  return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t
power_cut_get_size (void *handle)
{
  return size;
}

static int
power_cut_can_flush (void *handle)
{
  return 1;
}

/* A write with FUA becomes a write and a flush. */
static int
power_cut_can_fua (void *handle)
{
  return NBDKIT_FUA_EMULATE;
}

/* Refuses a request with EIO when the disk is in one of these conditions. Call with the lock. */
static int
fails (enum condition which)
{
  if (condition != WITHOUT_POWER && condition != which)
    return 0;
  failed_requests++;
  nbdkit_set_error (EIO);
  return 1;
}

static int
power_cut_pread (void *handle, void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
{
  pthread_mutex_lock (&lock);
  const int is_failing = fails (WITHOUT_POWER);
  if (!is_failing)
    memcpy (buffer, cached + offset, count);
  pthread_mutex_unlock (&lock);
  return is_failing ? -1 : 0;
}

static int
power_cut_pwrite (void *handle, const void *buffer, uint32_t count, uint64_t offset,
                  uint32_t flags)
{
  pthread_mutex_lock (&lock);
  const int is_failing = fails (FAILING_WRITES);
  if (!is_failing && count > 0) {
    memcpy (cached + offset, buffer, count);
    for (uint64_t s = offset / SECTOR; s <= (offset + count - 1) / SECTOR; s++) {
      if (!is_dirty[s]) {
        is_dirty[s] = 1;
        dirty[dirty_count++] = s;
      }
    }
  }
  pthread_mutex_unlock (&lock);
  return is_failing ? -1 : 0;
}

static int
power_cut_flush (void *handle, uint32_t flags)
{
  /* Without the lock: the power may be cut meanwhile. */
  usleep (flush_delay);
  pthread_mutex_lock (&lock);
  const int is_failing = fails (FAILING_FLUSHES);
  if (!is_failing) {
    for (uint64_t i = 0; i < dirty_count; i++) {
      memcpy (stable + dirty[i] * SECTOR, cached + dirty[i] * SECTOR, SECTOR);
      is_dirty[dirty[i]] = 0;
    }
    dirty_count = 0;
  }
  pthread_mutex_unlock (&lock);
  return is_failing ? -1 : 0;
}

static struct nbdkit_plugin plugin = {
  .name = "power-cut",
  .longname = "disk in memory with a volatile cache and faults",
  .config = power_cut_config,
  .config_complete = power_cut_config_complete,
  .get_ready = power_cut_get_ready,
  .after_fork = power_cut_after_fork,
  .open = power_cut_open,
  .get_size = power_cut_get_size,
  .can_flush = power_cut_can_flush,
  .can_fua = power_cut_can_fua,
  .pread = power_cut_pread,
  .pwrite = power_cut_pwrite,
  .flush = power_cut_flush,
};
NBDKIT_REGISTER_PLUGIN (plugin)
