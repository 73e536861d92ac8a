/* The structs that describe a network to the CPU engine.  A generated file fills them with
 * constant data (accel_network.c); xh_run.c walks them.  Everything is an integer; only
 * struct xh_host speaks of float.
 *
 * Words: 32 bits, bit 0 first.  Bit 1 is +1, bit 0 is -1.  Channels are innermost. */
#ifndef XH_LAYERS_H
#define XH_LAYERS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Output channels that share a block of weights: 16 lanes of 32 bits. */
enum { XH_LANES = 16 };

/* How a tensor's elements are stored.  XH_BITS: bipolar values, uint32_t
 * [H][W][ceil(C / 32)], channel c in bit c % 32 of word c / 32, unused bits 0.  The others:
 * [H][W][C] of the named type (XH_U8 holds unsigned codes of 1 to 8 bits, and so on). */
typedef enum xh_format { XH_BITS, XH_U8, XH_I8, XH_U16, XH_I16, XH_I32, XH_I64 } xh_format;

/* A tensor of the integer graph. */
typedef struct xh_tensor {
    const char *name; /* of the PyTorch module whose value it equals */
    int32_t channels, height, width;
    xh_format format;
} xh_tensor;

/* Kernel, stride, dilation as (y, x), and the four pads in pixels.  ceil_mode and the like
 * are already in the output tensor's height and width: a window that hangs over the end of
 * the map reads padding there. */
typedef struct xh_window {
    int32_t kernel_h, kernel_w;
    int32_t stride_h, stride_w;
    int32_t dilation_h, dilation_w;
    int32_t top, left; /* bottom and right follow from the output's size */
} xh_window;

/* y = table[c or 0][x - first]; `tables` is 1 or C, `values` the length of each. */
typedef struct xh_lookup {
    const int32_t *table; /* [tables][values] */
    int32_t tables, values, first;
} xh_lookup;

/* One bit a channel: bit = (s >= at[p][c]) ^ flip[c].
 *
 * A channel of direction -1 (bit = s <= t) is at = t + 1, flip = 1; s > t is at = t + 1 and
 * s < t is at = t, flip = 1.  A constant channel is at = XH_ALWAYS (or XH_NEVER), flip = 0.
 * Every other `at` is first limited to -2^30 .. 2^30.
 * `positions` is 1, or H * W of the output in raster order.  `padded` = ceil(C / 16) * 16
 * entries a position; with groups see xh_product.  `flip` uint32_t [ceil(C / 32)], channel c
 * in bit c % 32 of word c / 32; NULL where no channel is flipped.  Where `flips` is not 0 it is
 * `positions`, and flip has a row for each of them; behind a product there is one for all. */
typedef struct xh_sign {
    const int32_t *at;    /* [positions][padded], entries past C are XH_NEVER */
    const uint32_t *flip; /* or NULL */
    int32_t positions, padded, flips;
} xh_sign;

#define XH_ALWAYS (-0x40000000)
#define XH_NEVER 0x40000000

/* Levels of a table that lie one behind the other for a channel; fewer lie level by level. */
enum { XH_MANY_LEVELS = 16 };

/* Several levels, or one level into a code: y = number of levels with x >= at, or `levels` less
 * that where falling[c] is 1.  Strict levels and falling ones are moved by one: x > t is
 * x >= t + 1, x <= t is not x >= t + 1.  A channel's levels ascend.
 * Below XH_MANY_LEVELS the table is [positions][levels][C], from there on [positions][C][levels].
 * `at` where x and every level take 32 bits, else `wide`; the other is NULL.
 * The output's format says what is stored: the count, or for XH_BITS (levels = 1) the bit. */
typedef struct xh_levels {
    const int32_t *at;
    const int64_t *wide;
    const uint8_t *falling; /* [C], or [positions][C] where `flips` is not 0; NULL: none */
    int32_t positions, levels, flips;
} xh_levels;

/* y = clamp((x * multiplier[c] + addend[c]) >> shift, low, high), the shift rounding down.
 * `multiplier` where 32 bits hold it and a y before the clamp, with shift <= 32; beside it `addend`
 * where 32 bits hold the whole of x * multiplier + addend too, else `wide_addend`.  Otherwise
 * `wide_multiplier` and `wide_addend`.  What is not there is NULL; all are [C], or [positions][C]
 * where `positions` is not 0.
 * `even` is 1 or 0: where all bits that the shift drops are 0, an odd y is one less in front of the
 * clamp.  Of a half in the addend the ties go to even so; the shift is 1 at the least then. */
typedef struct xh_requant {
    const int32_t *multiplier, *addend;
    const int64_t *wide_multiplier, *wide_addend;
    int32_t shift, low, high, even, positions;
} xh_requant;

/* y = sum of tensor[i] * 2^shift[i]; tensor[0] is the layer's input. */
typedef struct xh_add {
    const int32_t *tensor, *shift;
    int32_t inputs;
} xh_add;

/* The tensors one behind the other along the channels; tensor[0] is the layer's input. */
typedef struct xh_concat {
    const int32_t *tensor;
    int32_t inputs;
} xh_concat;

/* y = x * k, k tensor `by` with one channel. */
typedef struct xh_multiply {
    int32_t by;
} xh_multiply;

/* XH_SUMPOOL: the sum over each window.  XH_BOXSUM: the sum of |x| over each window and all
 * channels, into one channel.  Padding counts 0. */
typedef struct xh_sum_pool {
    xh_window window;
} xh_sum_pool;

/* One term of a product: coefficient * (x conv weight), weights +1 and -1.
 *
 * From XH_BITS: `bits` uint32_t [groups][blocks][kernel_h][kernel_w][words][16]: word w of
 * lane j holds input channels 32 w .. 32 w + 31 of the group (channel 32 w + b in bit b) of
 * the weights of the group's output channel 16 * block + j; words = ceil(I / groups / 32),
 * blocks = ceil(O / groups / 16).  Channels past the end and lanes past the end are bit 0.
 *
 * From codes: `lanes` uint16_t [groups][blocks][kernel_h][kernel_w][I / groups]: bit j is
 * the weight (1 is +1) of the group's output channel 16 * block + j; lanes past the end 0. */
typedef struct xh_term {
    int32_t coefficient;
    const uint32_t *bits;  /* NULL from codes; aligned to 64 bytes: write it with XH_ALIGNED */
    const uint16_t *lanes; /* NULL from XH_BITS */
} xh_term;

#define XH_ALIGNED __attribute__((aligned(64)))

/* A binary convolution; a linear layer is one with the kernel of its whole input map.
 *
 * `sign` fuses the threshold behind it: the output tensor is then XH_BITS, and `sums` names
 * the tensor between them (XH_I32; it is only made for a trace).  Without `sign` the output
 * is the sums, XH_I32, and `sums` is -1.  Fusing takes one term of coefficient 1 from XH_BITS; sums from
 * codes may be fused likewise.  With groups > 1, sign->at has for each group its own 16-lane
 * blocks: [positions][groups][ceil(O / groups / 16) * 16], `padded` is the length of a
 * position; sign->flip stays by output channel.
 * `pad_value` is the integer value of padded taps: -1, 0 or +1 from XH_BITS. */
typedef struct xh_product {
    const xh_term *term; /* [terms] */
    int32_t terms;
    xh_window window;
    int32_t groups;
    int32_t pad_value;
    const xh_sign *sign; /* or NULL */
    int32_t sums;        /* tensor index, or -1 */
} xh_product;

/* A product of codes by bit planes: XH_U8 or XH_I8 in, XH_I32 out.  `product` is as from XH_BITS,
 * without a sign; its pad_value is a code.
 * Term i takes x itself where plane[i] is -1, by its `bits` bits in two's complement; else +1
 * where x > plane[i] and -1 elsewhere (0 to 127; padding then counts 0, and pad_value is 0). */
typedef struct xh_planes {
    xh_product product;
    const int32_t *plane; /* [terms] */
    int32_t bits;
} xh_planes;

/* x conv weight with integer weights; output XH_I32 where every sum fits, else XH_I64.
 * weight int32_t [O][kernel_h][kernel_w][I / groups]. */
typedef struct xh_full {
    const int32_t *weight;
    xh_window window;
    int32_t groups;
    int32_t pad_value;
} xh_full;

/* Maximum over each window, minimum for the channels in `minimum` (a bit a channel as in
 * XH_BITS, uint32_t [ceil(C / 32)]; NULL: maximum everywhere).  On XH_BITS that is OR and
 * AND.  Padding never wins. */
typedef struct xh_pool {
    xh_window window;
    const uint32_t *minimum; /* or NULL */
} xh_pool;

typedef enum xh_kind {
    XH_LOOKUP,
    XH_PRODUCT,
    XH_PLANES,
    XH_FULL,
    XH_SIGN,    /* a sign standing alone: any integer format -> XH_BITS; padded = ceil(C/16)*16 */
    XH_LEVELS,  /* thresholds standing alone */
    XH_REQUANT,
    XH_ADD,
    XH_CONCAT,
    XH_MULTIPLY,
    XH_POOL,    /* same format in and out */
    XH_SUMPOOL,
    XH_BOXSUM,
    XH_RESHAPE, /* [C][H][W] -> [C*H*W][1][1] in torch's order; no data */
} xh_kind;

/* One step: reads tensor `input`, makes tensor `output`.  `data` points at the struct of the
 * kind (xh_lookup, xh_product, ..., xh_sum_pool for XH_SUMPOOL and XH_BOXSUM; NULL for XH_RESHAPE).
 * Layers stand in an order in which each tensor is made before it is read. */
typedef struct xh_layer {
    xh_kind kind;
    int32_t input, output; /* tensor indices */
    const void *data;
} xh_layer;

typedef enum xh_host_kind { XH_AFFINE, XH_BATCHNORM, XH_CLAMP, XH_HOSTFULL } xh_host_kind;

/* A float32 operation behind the last integer tensor, one rounding an operation, values
 * in torch's order [C][H][W].
 * XH_AFFINE: y = x * scale[c] (scales 0: skipped), then + bias[c] (biases 0: skipped);
 *   `scales` and `biases` are 0, 1 or C.
 * XH_BATCHNORM: y = x * scale[c] + bias[c], two roundings; scales = biases = C.
 * XH_CLAMP: min(max(x, low), high); a NaN does not occur.
 * XH_HOSTFULL: q = rint(x * 2^in_frac), ties to even; y[o] = (float)(sum of q * weight)
 *   * 2^-(in_frac + frac), then + bias[o] (biases O or 0).  weight int32_t [outputs][inputs]
 *   in torch's order. */
typedef struct xh_host {
    xh_host_kind kind;
    const char *name;
    const float *scale;
    const float *bias;
    int32_t scales, biases;
    float low, high;
    const int32_t *weight;
    int32_t inputs, outputs, frac, in_frac;
} xh_host;

/* A whole network.  tensor[0] is the input.  `front_layers` layers run on the host before
 * an accelerator, the layers from `back_layer` on behind it (0 and `layers` where there is no
 * accelerator or nothing behind it): tensor `chip_input` is what enters it, `chip_output`
 * (XH_I32) what it returns; both -1 without an accelerator.  A product is not fused with a
 * sign on the other side of such a border.
 *
 * buffer[t] is the memory that tensor t lies in, 0 to `buffers` - 1: two tensors that are needed at
 * the same time lie in different ones.  -1: of a tensor that only a trace sees.  NULL: the network is
 * a chain, and layer i writes buffer i & 1.  The scores come from what the last layer makes. */
typedef struct xh_network {
    const char *name;
    const xh_tensor *tensor;
    int32_t tensors;
    const xh_layer *layer;
    int32_t layers;
    const xh_host *host;
    int32_t hosts;
    int32_t scores; /* number of float32 scores */
    int32_t front_layers, back_layer;
    int32_t chip_input, chip_output;
    int32_t chip_bits; /* of an element on the accelerator's stream: 1, 8 or 16 */
    int32_t input_low, input_high; /* an input value outside is refused; equal: not checked */
    const int32_t *buffer;         /* [tensors], or NULL */
    int32_t buffers;
    const char *const *title; /* of the layers, for a profile: PyTorch module, operation, shapes; or NULL */
} xh_network;

#ifdef __cplusplus
}
#endif
#endif
