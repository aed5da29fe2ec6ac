#pragma once

#include "checks.h"

/// The value of a 16-bit float's bits.
double half_value(uint16_t bits);
double brain_value(uint16_t bits);

/// The weights of a block, 1 for the float types, and its bytes.
long block_of(int type);
long block_bytes(int type);
const char *type_name(int type);

/// Weights as a file holds them, at any address, and what they stand for.
typedef struct {
  const unsigned char *bytes;
  double *values;
} weights;

/// `count` random weights of magnitude up to about 1; or, `exact`, such that sums of products with whole numbers are
/// exact. `count` is a multiple of the type's block.
weights random_weights(int type, long count, bool exact);
