#include "../operations.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define W 16
#define HAS_FMA
#define HAS_HALF
#define HAS_VNNI
#define HAS_BRAIN
#define OPERATIONS ck_operations_avx512_bf16
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16,fma,f16c"))), apply_to = function)
#include "../kernels/all.h"
#pragma clang attribute pop
#endif
