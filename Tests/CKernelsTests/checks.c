#define _GNU_SOURCE
#include "checks.h"

#include "main.h"

#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

// MARK: What is checked

const char *path_name = "";
long checks, failures;

static char subject[200];

void checking(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(subject, sizeof subject, format, arguments);
  va_end(arguments);
}

void fail(const char *format, ...) {
  failures++;
  if (failures > 20) return;
  fprintf(stderr, "%s: %s: ", path_name, subject);
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputs(failures == 20 ? "\n... further failures are counted only\n" : "\n", stderr);
}

void expect_near(const float *found, const double *expected, const double *bound, long count) {
  checks++;
  long off = 0, worst = 0;
  double most = -1;
  for (long i = 0; i < count; i++) {
    if (found[i] == expected[i]) continue;
    const double error = fabs(found[i] - expected[i]);
    if (error <= bound[i]) continue;
    off++;
    const double excess = isnan(error) ? INFINITY : error / bound[i];
    if (excess > most) most = excess, worst = i;
  }
  if (off > 0)
    fail(
        "%ld of %ld are off, the worst at %ld: %.9g for %.9g, off by %.3g where %.3g is allowed", off, count, worst,
        (double)found[worst], expected[worst], fabs(found[worst] - expected[worst]), bound[worst]);
}

void expect_same(const float *found, const float *expected, long count, const char *what) {
  checks++;
  if (memcmp(found, expected, (size_t)count * sizeof *found) == 0) return;
  for (long i = 0; i < count; i++)
    if (memcmp(found + i, expected + i, sizeof *found) != 0) {
      fail("%s: differs at %ld of %ld: %.9g, not %.9g", what, i, count, (double)found[i], (double)expected[i]);
      return;
    }
}

static void report_fault(int signal) {
  (void)signal;
  static const char text[] = ": memory beyond an array's end was touched\n";
  const ssize_t written[] = {
      write(STDERR_FILENO, path_name, strlen(path_name)), write(STDERR_FILENO, ": ", 2),
      write(STDERR_FILENO, subject, strlen(subject)), write(STDERR_FILENO, text, sizeof text - 1)};
  (void)written;
  _exit(1);
}

void watch_for_faults(void) {
  if (SANITIZED) return;  // which tell more
  signal(SIGSEGV, report_fault);
  signal(SIGBUS, report_fault);
}

// MARK: Inputs

static uint64_t random_state = 1;

void seed_random(uint64_t seed) { random_state = seed; }

/// SplitMix64's upper half.
uint32_t random_bits(void) {
  uint64_t z = random_state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return (uint32_t)(z >> 32);
}

long random_below(long count) { return (long)(random_bits() % (uint64_t)count); }

float random_real(float low, float high) { return low + (high - low) * ((float)(random_bits() >> 8) * 0x1p-24f); }

float random_whole(int most) { return (float)(random_below(2 * most + 1) - most); }

void fill_real(float *x, long count, float low, float high) {
  for (long i = 0; i < count; i++) x[i] = random_real(low, high);
}

void fill_whole(float *x, long count, int most) {
  for (long i = 0; i < count; i++) x[i] = random_whole(most);
}

// MARK: Memory

/// What stands before an array, as far as it is looked at.
#define MARGIN 64
#define MARK 0xa5

static struct taken {
  void *base;         // of malloc or mmap
  size_t mapped;      // 0: malloc
  unsigned char *start;
} taken[4096];
static int taken_count;

static struct taken *take(void) {
  if (taken_count == COUNT_OF(taken)) {
    fprintf(stderr, "a case takes too many arrays\n");
    exit(1);
  }
  return &taken[taken_count++];
}

static void *allocated(size_t bytes) {
  void *base = calloc(bytes > 0 ? bytes : 1, 1);
  if (!base) {
    perror("the tests need more memory");
    exit(1);
  }
  *take() = (struct taken){.base = base};
  return base;
}

void *guarded(size_t bytes) {
  if (SANITIZED) return allocated(bytes);
  static size_t page;
  if (page == 0) page = (size_t)sysconf(_SC_PAGESIZE);
  const size_t pages = (bytes + MARGIN + page - 1) / page * page;
  unsigned char *base = mmap(0, pages + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED || mprotect(base + pages, page, PROT_NONE) != 0) {
    perror("the tests need more memory");
    exit(1);
  }
  unsigned char *start = base + pages - bytes;
  memset(start - MARGIN, MARK, MARGIN);
  *take() = (struct taken){base, pages + page, start};
  return start;
}

float *floats(long count) {
  float *x = guarded((size_t)count * sizeof *x);
  for (long i = 0; i < count; i++) x[i] = NAN;
  return x;
}

float *rows_of_floats(long rows, long columns, long stride) { return floats(span(rows, columns, stride)); }

double *doubles(long count) { return allocated((size_t)count * sizeof(double)); }

float *copy_of(const float *x, long count) {
  float *copy = allocated((size_t)count * sizeof *x);
  memcpy(copy, x, (size_t)count * sizeof *x);
  return copy;
}

void release(void) {
  for (int i = 0; i < taken_count; i++) {
    if (taken[i].mapped == 0) {
      free(taken[i].base);
      continue;
    }
    for (int before = 1; before <= MARGIN; before++)
      if (taken[i].start[-before] != MARK) {
        fail("memory before an array's start was written");
        break;
      }
    munmap(taken[i].base, taken[i].mapped);
  }
  taken_count = 0;
}
