#include "main.h"
#include "checks.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

// Work on several threads: every piece is done exactly once.

enum { most = 1000 };

typedef struct {
  atomic_int done[most];
  long grain;
  bool nested;
} work;

static void count_up(void *context, long begin, long end) {
  work *w = context;
  for (long i = begin; i < end; i++) {
    atomic_fetch_add(&w->done[i], 1);
    if (w->nested) ck_parallel(1, 1, count_up, &(work){.grain = 1});
  }
}

/// Runs `count` pieces, and tells how many were not done exactly once.
static long wrong_after(work *w, long count) {
  for (long i = 0; i < most; i++) atomic_store(&w->done[i], 0);
  ck_parallel(count, w->grain, count_up, w);
  long wrong = 0;
  for (long i = 0; i < most; i++) wrong += atomic_load(&w->done[i]) != (i < count);
  return wrong;
}

/// Callers that find the pool in use do their work alone.
static void *call_often(void *context) {
  long *wrong = context;
  work *w = calloc(1, sizeof *w);
  if (!w) return 0;
  w->grain = 7;
  for (int i = 0; i < 300; i++) *wrong += wrong_after(w, 500);
  free(w);
  return 0;
}

void test_pool(void) {
  static work w;
  for (int threads = 1; threads <= 5; threads++)
    for (long grain = 1; grain < 300; grain = grain * 3 + 1)
      for (long count = -1; count <= most; count = count * 2 + 3) {
        checking("%ld pieces of work in chunks of %ld on %d threads", count, grain, threads);
        ck_set_threads(threads);
        w.grain = grain, w.nested = count % 5 == 0;
        checks++;
        const long wrong = wrong_after(&w, count);
        if (wrong > 0) fail("%ld were not done exactly once", wrong);
      }
  checking("three callers at once");
  ck_set_threads(3);
  pthread_t callers[3];
  long wrong[3] = {0};
  int started = 0;
  while (started < 3 && pthread_create(&callers[started], 0, call_often, &wrong[started]) == 0) started++;
  for (int i = 0; i < started; i++) pthread_join(callers[i], 0);
  checks++;
  expect(started == 3, "three threads start");
  expect(wrong[0] + wrong[1] + wrong[2] == 0, "every piece of work is done exactly once");

  checking("the number of threads");
  ck_set_threads(0), expect(ck_threads() == 1, "at least one thread");
  ck_set_threads(1 << 20), expect(ck_threads() < 1000, "a bounded number of threads");
  ck_set_threads(2), expect(ck_threads() == 2, "as many threads as asked for");
}
