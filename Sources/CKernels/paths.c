#include "operations.h"

#include <stdatomic.h>

static const ck_operations *operations_of(int path) {
  switch (path) {
#if defined(__aarch64__)
  case CK_NEON: return &ck_operations_neon;
#endif
#if defined(__x86_64__)
  case CK_AVX2: return &ck_operations_avx2;
  case CK_AVX512: return &ck_operations_avx512;
  case CK_AVX512_BF16: return &ck_operations_avx512_bf16;
#endif
  default: return &ck_operations_portable;
  }
}

int ck_path_supported(int path) {
  if (path == CK_PORTABLE) return 1;
#if defined(__aarch64__)
  if (path == CK_NEON) return 1;
#endif
#if defined(__x86_64__)
  __builtin_cpu_init();
  const int avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  if (path == CK_AVX2) return avx2;
  const int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (path == CK_AVX512) return avx512;
  if (path == CK_AVX512_BF16)
    return avx512 && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16");
#endif
  return 0;
}

int ck_path_best(void) {
  for (int path = CK_AVX512_BF16; path > CK_PORTABLE; path--)
    if (ck_path_supported(path)) return path;
  return CK_PORTABLE;
}

static atomic_int selected = -1;

int ck_path(void) {
  int path = atomic_load_explicit(&selected, memory_order_relaxed);
  if (path < 0) {
    path = ck_path_best();
    atomic_store_explicit(&selected, path, memory_order_relaxed);
  }
  return path;
}

void ck_set_path(int path) {
  if (ck_path_supported(path)) atomic_store_explicit(&selected, path, memory_order_relaxed);
}

const ck_operations *ck_selected(void) { return operations_of(ck_path()); }
