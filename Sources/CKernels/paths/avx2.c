#include "../operations.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define W 8
#define HAS_FMA
#define HAS_HALF
#define OPERATIONS ck_operations_avx2
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#include "../kernels/all.h"
#pragma clang attribute pop
#endif
