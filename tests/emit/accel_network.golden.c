/* The layers, weights and thresholds of this build's network.  Generated: the same integers as in
 * ../../graph.npz.  The structs are explained in xh_layers.h.
 *
 *     0  layer0: binary product 3 x 3, sign sign0, 2 x 4 x 4 -> 3 x 4 x 4
 *     1  pool1: max-pool, 3 x 4 x 4 -> 3 x 2 x 2
 *     2  pool1 as a vector: flatten, 3 x 2 x 2 -> 12 x 1 x 1
 *     3  layer2: binary product 1 x 1, sign sign2, 12 x 1 x 1 -> 5 x 1 x 1
 *     4  layer3: binary product 1 x 1, 5 x 1 x 1 -> 2 x 1 x 1
 *       layer3: scale and bias
 *       relu: clamp
 */
#include "accel_network.h"

#include <math.h>

enum { TENSORS = 8, LAYERS = 5, HOSTS = 2 };

static const xh_tensor tensors[TENSORS] = {
    /* 0 */ {"input", 2, 4, 4, XH_U8},
    /* 1 */ {"layer0", 3, 4, 4, XH_I32},
    /* 2 */ {"sign0", 3, 4, 4, XH_BITS},
    /* 3 */ {"pool1", 3, 2, 2, XH_BITS},
    /* 4 */ {"layer2", 5, 1, 1, XH_I32},
    /* 5 */ {"pool1 as a vector", 12, 1, 1, XH_BITS},
    /* 6 */ {"sign2", 5, 1, 1, XH_BITS},
    /* 7 */ {"layer3", 2, 1, 1, XH_I32},
};

/* the memory of each tensor; -1: a trace alone sees it */
static const int32_t buffers[8] = {
    0, -1, 1, 0, -1, 1, 0, 1,
};

/* ---- layer0: binary product 3 x 3, sign sign0, 2 x 4 x 4 -> 3 x 4 x 4 ---- */

static const uint16_t l00_layer0_weights[18] = { /* [groups][blocks][kernel_h][kernel_w][channels] = [1][1][3][3][2] */
    0x5, 0x2, 0x4, 0x0, 0x4, 0x2, 0x0, 0x3, 0x6, 0x6, 0x3, 0x6, 0x1, 0x4, 0x5, 0x1, 0x6, 0x3,
};
static const int32_t l00_layer0_at[16] = { /* [positions][padded channels] = [1][16] */
    -6, 7, -1, 1073741824, 1073741824, 1073741824, 1073741824, 1073741824, 1073741824, 1073741824,
    1073741824, 1073741824, 1073741824, 1073741824, 1073741824, 1073741824,
};
static const uint32_t l00_layer0_flip[1] = {
    0x3,
};
static const xh_term l00_layer0_terms[] = {
    {.coefficient = 1, .bits = NULL, .lanes = l00_layer0_weights},
};
static const xh_sign l00_layer0_sign = {
    .at = l00_layer0_at, .flip = l00_layer0_flip, .positions = 1, .padded = 16};
static const xh_product l00_layer0 = {
    .term = l00_layer0_terms,
    .terms = 1,
    .window = {.kernel_h = 3, .kernel_w = 3, .stride_h = 1, .stride_w = 1,
               .dilation_h = 1, .dilation_w = 1, .top = 1, .left = 1},
    .groups = 1,
    .pad_value = 0,
    .sign = &l00_layer0_sign,
    .sums = 1};

/* ---- pool1: max-pool, 3 x 4 x 4 -> 3 x 2 x 2 ---- */

static const uint32_t l01_pool1_minimum[1] = {
    0x4,
};
static const xh_pool l01_pool1 = {
    .window = {.kernel_h = 2, .kernel_w = 2, .stride_h = 2, .stride_w = 2,
               .dilation_h = 1, .dilation_w = 1, .top = 0, .left = 0},
    .minimum = l01_pool1_minimum};

/* ---- pool1 as a vector: flatten, 3 x 2 x 2 -> 12 x 1 x 1 ---- */


/* ---- layer2: binary product 1 x 1, sign sign2, 12 x 1 x 1 -> 5 x 1 x 1 ---- */

static const uint32_t l03_layer2_weights[16] XH_ALIGNED = { /* [groups][blocks][kernel_h][kernel_w][words][16] = [1][1][1][1][1][16] */
    0xdf1, 0xe68, 0x2da, 0x617, 0x633, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0,
};
static const int32_t l03_layer2_at[16] = { /* [positions][padded channels] = [1][16] */
    2, -1, -3, 2, -2, 1073741824, 1073741824, 1073741824, 1073741824, 1073741824, 1073741824, 1073741824,
    1073741824, 1073741824, 1073741824, 1073741824,
};
static const uint32_t l03_layer2_flip[1] = {
    0x2,
};
static const xh_term l03_layer2_terms[] = {
    {.coefficient = 1, .bits = l03_layer2_weights, .lanes = NULL},
};
static const xh_sign l03_layer2_sign = {
    .at = l03_layer2_at, .flip = l03_layer2_flip, .positions = 1, .padded = 16};
static const xh_product l03_layer2 = {
    .term = l03_layer2_terms,
    .terms = 1,
    .window = {.kernel_h = 1, .kernel_w = 1, .stride_h = 1, .stride_w = 1,
               .dilation_h = 1, .dilation_w = 1, .top = 0, .left = 0},
    .groups = 1,
    .pad_value = 0,
    .sign = &l03_layer2_sign,
    .sums = 4};

/* ---- layer3: binary product 1 x 1, 5 x 1 x 1 -> 2 x 1 x 1 ---- */

static const uint32_t l04_layer3_weights[16] XH_ALIGNED = { /* [groups][blocks][kernel_h][kernel_w][words][16] = [1][1][1][1][1][16] */
    0x18, 0x1e, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0,
};
static const xh_term l04_layer3_terms[] = {
    {.coefficient = 1, .bits = l04_layer3_weights, .lanes = NULL},
};
static const xh_product l04_layer3 = {
    .term = l04_layer3_terms,
    .terms = 1,
    .window = {.kernel_h = 1, .kernel_w = 1, .stride_h = 1, .stride_w = 1,
               .dilation_h = 1, .dilation_w = 1, .top = 0, .left = 0},
    .groups = 1,
    .pad_value = 0,
    .sign = NULL,
    .sums = -1};

static const xh_layer layers[] = {
    {XH_PRODUCT, 0, 2, &l00_layer0}, /* layer0 */
    {XH_POOL, 2, 3, &l01_pool1}, /* pool1 */
    {XH_RESHAPE, 3, 5, NULL}, /* pool1 as a vector */
    {XH_PRODUCT, 5, 6, &l03_layer2}, /* layer2 */
    {XH_PRODUCT, 6, 7, &l04_layer3}, /* layer3 */
};

static const char *const titles[] = {
    "layer0: binary product 3 x 3, sign sign0, 2 x 4 x 4 -> 3 x 4 x 4",
    "pool1: max-pool, 3 x 4 x 4 -> 3 x 2 x 2",
    "pool1 as a vector: flatten, 3 x 2 x 2 -> 12 x 1 x 1",
    "layer2: binary product 1 x 1, sign sign2, 12 x 1 x 1 -> 5 x 1 x 1",
    "layer3: binary product 1 x 1, 5 x 1 x 1 -> 2 x 1 x 1",
};

/* ---- float32 behind the last sum ---- */

static const float h00_scale[1] = {
    0x1.99999ap-4f,
};
static const xh_host hosts[HOSTS] = {
    {.kind = XH_AFFINE, .name = "layer3", .scales = 1, .scale = h00_scale},
    {.kind = XH_CLAMP, .name = "relu", .low = 0x0p+0f, .high = INFINITY},
};

const xh_network accel_network = {
    .name = "accel",
    .tensor = tensors,
    .tensors = TENSORS,
    .layer = layers,
    .layers = LAYERS,
    .host = hosts,
    .hosts = HOSTS,
    .scores = 2,
    .front_layers = 0,
    .back_layer = 5,
    .chip_input = 0,
    .chip_output = 7,
    .chip_bits = 8,
    .input_low = 0,
    .input_high = 7,
    .buffer = buffers,
    .buffers = 2,
    .title = titles};
