#include "main.h"

#include "checks.h"

#include <stdio.h>
#include <string.h>

// Tests every operation of CKernels.h on every path that this CPU runs, against plain references in double precision.
// With arguments, only the tests so called.

static const struct {
  const char *name;
  void (*run)(void);
  bool once;  // what depends on no path
} tests[] = {
    {"paths", test_paths, true},
    {"pool", test_pool, true},
    {"quantize", test_quantize, true},
    {"dequantize", test_dequantize, false},
    {"matvec", test_matvec, false},
    {"multiply", test_multiply, false},
    {"tiled", test_tiled, false},
    {"brain", test_brain, false},
    {"norms", test_norms, false},
    {"elementwise", test_elementwise, false},
    {"softmax", test_softmax, false},
    {"attention", test_attention, false},
    {"convolution", test_convolution, false},
};

static bool wanted(const char *name, int count, char **names) {
  for (int i = 1; i < count; i++)
    if (strcmp(names[i], name) == 0) return true;
  return count < 2;
}

int main(int argument_count, char **arguments) {
  static const char *const names[] = {
      [CK_PORTABLE] = "portable", [CK_NEON] = "neon", [CK_AVX2] = "avx2", [CK_AVX512] = "avx512",
      [CK_AVX512_BF16] = "avx512bf16"};
  watch_for_faults();
  bool first = true;
  for (int path = 0; path < COUNT_OF(names); path++) {
    if (!ck_path_supported(path)) continue;
    ck_set_path(path);
    path_name = names[path];
    const long before = checks;
    for (long i = 0; i < COUNT_OF(tests); i++) {
      if (!wanted(tests[i].name, argument_count, arguments) || (tests[i].once && !first)) continue;
      seed_random((uint64_t)i + 1);
      tests[i].run();
      release();
    }
    first = false;
    printf("%-12s%ld checks\n", path_name, checks - before);
    fflush(stdout);
  }
  if (checks == 0) failures++, fprintf(stderr, "nothing was tested: no such test\n");
  if (failures > 0) fprintf(stderr, "%ld checks failed\n", failures);
  return failures > 0;
}
