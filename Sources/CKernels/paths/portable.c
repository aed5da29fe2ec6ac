#include "../operations.h"

#define W 4
#define OPERATIONS ck_operations_portable
#include "../kernels/all.h"
