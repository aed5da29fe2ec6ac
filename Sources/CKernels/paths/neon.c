#include "../operations.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#define W 4
#define HAS_FMA
#define HAS_HALF
#define OPERATIONS ck_operations_neon
#include "../kernels/all.h"
#endif
