// Every kernel over vectors of W floats; a path includes this once, having defined W, OPERATIONS and what it has.

#include "vector.h"

#include "matvec.h"
#include "dequantize.h"
#include "norms.h"
#include "elementwise.h"
#include "attention.h"
#include "multiply.h"
#include "convolution.h"
#include "tiled.h"
#include "brain.h"

const ck_operations OPERATIONS = {
    .rows = {rows_f32, rows_f16, rows_bf16, rows_q4_0, rows_q4_1, rows_q8_0},
    .dequantize = {expand_f32, expand_f16, expand_bf16, expand_q4_0, expand_q4_1, expand_q8_0},
    .block_sums = block_sums,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .add = add,
    .gelu = gelu,
    .quick_gelu = quick_gelu,
    .silu_multiply = silu_multiply,
    .softmax = softmax,
    .attend = attend,
    .multiply = multiply,
    .multiply_stored = multiply_stored,
    .snake = snake,
    .depthwise = depthwise,
    .scale_rows = scale_rows,
    .tanh = tanh_all,
    .quantize_row = quantize_row,
    .tiled = {tiled_q8, tiled_q4},
#if defined(HAS_BRAIN)
    .round_row = round_row,
    .brain_rows = brain_rows,
    .multiply_brains = multiply_brains,
    .pack_keys = pack_keys,
    .pack_values = pack_values,
    .attend_brains = attend_brains,
#endif
};
