#include "main.h"
#include "checks.h"

// The choice of a path.

void test_paths(void) {
  checking("the choice of a path");
  checks++;
  expect(ck_path_supported(CK_PORTABLE), "every CPU runs portable code");
  expect(ck_path_supported(ck_path_best()), "the best path is one that this CPU runs");
#if defined(__aarch64__)
  expect(ck_path_best() == CK_NEON, "every such CPU has NEON");
  expect(!ck_path_supported(CK_AVX2) && !ck_path_supported(CK_AVX512), "no such CPU has AVX");
#else
  expect(!ck_path_supported(CK_NEON), "no such CPU has NEON");
#endif
  const int before = ck_path();
  for (int path = -2; path < 20; path++) {
    ck_set_path(CK_PORTABLE);
    ck_set_path(path);
    expect(ck_path() == (ck_path_supported(path) ? path : CK_PORTABLE), "a path is taken if the CPU runs it");
  }
  ck_set_path(before);
}
