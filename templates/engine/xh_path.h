/* What a path (one instruction set's code) gives to the engine: small loops.  All else
 * is plain C and the same for every path. */
#ifndef XH_PATH_H
#define XH_PATH_H

#include <stddef.h>
#include <stdint.h>

#include "xh_layers.h"

/* `words` words that lie side by side both in the map and in the weights: the taps of a
 * kernel row, or more where rows join.  `map` counts words from the pixel's first tap,
 * `weights` words from the block's first. */
typedef struct xh_run_of_words {
    ptrdiff_t map, weights;
    int32_t words;
} xh_run_of_words;

/* What the pixels of a call share: which taps they have, and the weights of 16 output
 * channels (vectors = 1) or 32 (vectors = 2; the second block lies `step` words behind). */
typedef struct xh_block {
    const xh_run_of_words *run;
    int32_t runs;
    int32_t vectors;
    const uint32_t *weights;
    ptrdiff_t step;
    const int32_t *at; /* thresholds of these channels, or NULL: store the misses */
    int32_t count;     /* n: bits of a full sum, so that sum = n - 2 * misses */
} xh_block;

/* Where the first taps of a call's pixels lie, in raster order over rows of `across` pixels:
 * `right` words from a pixel to the next, `down` more from a row's last to the next row's first. */
typedef struct xh_places {
    const uint32_t *map;
    ptrdiff_t right, down;
    int32_t across, column;
} xh_places;

/* The next pixel's place. */
static inline const uint32_t *xh_next(xh_places *at)
{
    const uint32_t *map = at->map;
    at->map += at->right;
    if (++at->column == at->across) {
        at->column = 0;
        at->map += at->down;
    }
    return map;
}

/* For `pixels` pixels from `at` on, which moves behind them, the number of differing bits m of
 * every lane.  With thresholds: bits[p] bit j = (count - 2 m >= at[j]).  Without:
 * misses[p][j] = m. */
typedef void (*xh_pixels)(const xh_block *block, xh_places *at, int32_t pixels, uint32_t *bits,
                          int32_t (*misses)[2 * XH_LANES]);

/* The most slots that one call of xh_path.full takes. */
enum { XH_SLOTS = 8 };

/* Integer weights of 16 output channels: int16_t [runs][pairs][16][2], aligned to 64 bytes.  Run r
 * of a slot lies `run[r] + skip` numbers from its first. */
typedef struct xh_full_block {
    const int16_t *weights;
    const ptrdiff_t *run;
    int32_t runs, pairs;
    ptrdiff_t skip;
} xh_full_block;

/* Weights of 16 output channels for unsigned codes: int8_t [runs][quads][16][4], aligned to 64 bytes.
 * Run r of a slot lies run[r] bytes from its first; the products of `together` quads, summed by
 * twos, fit in 16 bits. */
typedef struct xh_byte_block {
    const int8_t *weights;
    const ptrdiff_t *run;
    int32_t runs, quads, together;
} xh_byte_block;

/* An operation of few steps a value, on the pixels [first, end) of its output. */
typedef struct xh_pass {
    xh_kind kind;
    const void *data;
    const xh_tensor *input, *output;
    const void *from;
    void *to;
    const xh_tensor *tensor; /* the network's, for the inputs behind the first */
    const void *const *at;   /* where each of them lies */
} xh_pass;
typedef int (*xh_pixels_of_pass)(const xh_pass *pass, size_t first, size_t end);

typedef struct xh_path {
    const char *name;
    int (*runs_here)(void);
    xh_pixels block;
    /* sum[p][j] = sum over i of +-x[p][i], + where bit j of lanes[i] is 1; 4 pixels. */
    void (*codes)(const int32_t *const x[4], int32_t count, const uint16_t *lanes, int32_t (*sum)[XH_LANES]);
    /* sum[s][j] = sum over all runs and pairs of x[s][..] * the weight of lane j, modulo 2^32.  `x` is
     * filled to its end; of `sum` more than `slots` may be written. */
    void (*full)(const xh_full_block *block, const int16_t *const x[XH_SLOTS], int32_t slots,
                 int32_t (*sum)[XH_LANES]);
    xh_pixels_of_pass pass; /* where 32 bits hold every value; XH_BAD_INPUT outside of a table, else XH_OK */
    /* sum[s][j] = sum over all runs and quads of x[s][..] * the weight of lane j.  `x` is filled to its
     * end; of `sum` more than `slots` may be written.  NULL where counting bits is as fast. */
    void (*bytes)(const xh_byte_block *block, const uint8_t *const x[XH_SLOTS], int32_t slots,
                  int32_t (*sum)[XH_LANES]);
    void (*add_times)(int32_t *sum, const int32_t *x, int32_t factor, int32_t count); /* sum += x * factor */
} xh_path;

/* The same pass where they do not. */
int xh_wide_pass(const xh_pass *pass, size_t first, size_t end);

/* The path called `name` (NULL: XH_PATH of the environment, else the best); NULL and a
 * status of xh_run.h where there is none. */
const xh_path *xh_choose_path(const char *name, int *status);

extern const xh_path xh_path_plain;
#if defined(__x86_64__) || defined(__i386__)
extern const xh_path xh_path_avx512, xh_path_avx2, xh_path_ssse3, xh_path_popcnt;
#elif defined(__ARM_NEON) || defined(XH_NEON)
extern const xh_path xh_path_neon;
#endif

#endif
