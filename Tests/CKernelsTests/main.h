#pragma once

#include <stdint.h>

// Between main.c, checks.c and the tests.

/// The path in use, for messages.
extern const char *path_name;
extern long checks, failures;
void watch_for_faults(void);
void seed_random(uint64_t seed);

/// A file per operation or family of operations.
void test_attention(void);
void test_brain(void);
void test_convolution(void);
void test_dequantize(void);
void test_elementwise(void);
void test_matvec(void);
void test_multiply(void);
void test_norms(void);
void test_paths(void);
void test_pool(void);
void test_quantize(void);
void test_softmax(void);
void test_tiled(void);
