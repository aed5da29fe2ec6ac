#define _GNU_SOURCE
#include "CKernels.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

// One pool for the process. A caller who finds it in use does the work alone instead of waiting: several nodes compute
// at once, and no result depends on who computes it. Workers spin a few microseconds between the many short operations
// of a step, then sleep.

#define MOST_THREADS 64
#define SPINS 4000

static pthread_mutex_t owner = PTHREAD_MUTEX_INITIALIZER;  // held by the caller whose job is running
static atomic_int thread_count;                            // 0: not chosen yet
static int worker_count;                                   // started so far; guarded by `owner`

// The job, written by the owner while closed and read by workers while open.
static void (*job_body)(void *context, long begin, long end);
static void *job_context;
static long job_count, job_grain;
static atomic_long job_next;
static atomic_int job_open, job_active, job_seats;

static atomic_uint generation;
static atomic_int sleepers;
static pthread_mutex_t sleep_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t sleep_condition = PTHREAD_COND_INITIALIZER;

static inline void pause_briefly(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void run_chunks(void) {
  for (;;) {
    const long begin = atomic_fetch_add_explicit(&job_next, job_grain, memory_order_relaxed);
    if (begin >= job_count) return;
    job_body(job_context, begin, begin + job_grain < job_count ? begin + job_grain : job_count);
  }
}

static void *work(void *unused) {
  (void)unused;
  unsigned seen = atomic_load(&generation);
  for (;;) {
    for (int spin = 0; spin < SPINS && atomic_load(&generation) == seen; spin++) pause_briefly();
    if (atomic_load(&generation) == seen) {
      pthread_mutex_lock(&sleep_mutex);
      atomic_fetch_add(&sleepers, 1);
      while (atomic_load(&generation) == seen) pthread_cond_wait(&sleep_condition, &sleep_mutex);
      atomic_fetch_sub(&sleepers, 1);
      pthread_mutex_unlock(&sleep_mutex);
    }
    seen = atomic_load(&generation);
    // Announcing oneself before looking, against the owner's closing before looking: one of the two sees the other.
    atomic_fetch_add(&job_active, 1);
    if (atomic_load(&job_open) && atomic_fetch_sub(&job_seats, 1) > 0) run_chunks();
    atomic_fetch_sub(&job_active, 1);
  }
  return 0;
}

static int usable_cores(void) {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
#endif
  const long cores = sysconf(_SC_NPROCESSORS_ONLN);
  return cores > 0 ? (int)cores : 1;
}

int ck_threads(void) {
  int count = atomic_load(&thread_count);
  if (count == 0) {
    count = usable_cores();
    if (count > MOST_THREADS) count = MOST_THREADS;
    int unset = 0;
    if (!atomic_compare_exchange_strong(&thread_count, &unset, count)) count = unset;
  }
  return count;
}

void ck_set_threads(int count) {
  atomic_store(&thread_count, count < 1 ? 1 : count > MOST_THREADS ? MOST_THREADS : count);
}

void ck_parallel(long count, long grain, void (*body)(void *context, long begin, long end), void *context) {
  if (count <= 0) return;
  const int threads = ck_threads();
  if (threads < 2 || count <= grain || pthread_mutex_trylock(&owner) != 0) {
    body(context, 0, count);
    return;
  }
  for (; worker_count < threads - 1; worker_count++) {
    pthread_t thread;
    if (pthread_create(&thread, 0, work, 0) != 0) break;
    pthread_detach(thread);
  }
  job_body = body, job_context = context, job_count = count, job_grain = grain;
  atomic_store(&job_next, 0);
  atomic_store(&job_seats, threads - 1);
  atomic_store(&job_open, 1);
  atomic_fetch_add(&generation, 1);
  if (atomic_load(&sleepers) > 0) {
    pthread_mutex_lock(&sleep_mutex);
    pthread_cond_broadcast(&sleep_condition);
    pthread_mutex_unlock(&sleep_mutex);
  }
  run_chunks();
  atomic_store(&job_open, 0);
  for (int spin = 0; atomic_load(&job_active) > 0; spin++) {
    // A worker that lost its core gets this one.
    if (spin < SPINS / 16) pause_briefly();
    else sched_yield();
  }
  pthread_mutex_unlock(&owner);
}
