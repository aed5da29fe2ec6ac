#pragma once

// What a core can do at most: the bounds that measured stages are compared with. For benchmarks alone.

#include <stddef.h>

/// Arithmetic of a matrix product: fp32 by fp32; pairs of bf16 into fp32; four int8 into int32.
enum { ROOFLINE_FP32 = 0, ROOFLINE_BF16 = 1, ROOFLINE_INT8 = 2 };

/// Multiplies and adds for a while, with everything in registers.
///
/// Returns the operations made, two for each multiply-add; 0 where this processor has no such instruction.
double roofline_multiply(int kind, long rounds);

/// Reads `count` bytes, a multiple of 1024, from an address that is a multiple of 64, and returns something that depends
/// on all of them.
long roofline_read(const void *start, size_t count);
