#include "operations.h"

#define W 4
#define OPERATIONS ck_operations_portable
#include "vector.h"
#include "kernels_body.h"
