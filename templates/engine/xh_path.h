/* What a path (one instruction set's code) gives to the engine: two small loops.  All else
 * is plain C and the same for every path. */
#ifndef XH_PATH_H
#define XH_PATH_H

#include <stddef.h>
#include <stdint.h>

#include "xh_layers.h"

/* The most pixels that one call of xh_path.block takes: a multiple of what each path keeps in
 * registers together (5, 4, 2). */
enum { XH_PIXELS = 20 };

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
    /* For threes alone: a tap's words, the words from a tap to the next in the map, and from
     * the map to its parity map, where word i is map[i - tap] ^ map[i] ^ map[i + tap]. */
    int32_t words;
    ptrdiff_t tap, parity;
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

typedef struct xh_path {
    const char *name;
    int (*runs_here)(void);
    xh_pixels block;
    xh_pixels rows_of_three; /* the same where each run is a kernel row of three taps; or NULL */
    /* sum[p][j] = sum over i of +-x[p][i], + where bit j of lanes[i] is 1; 4 pixels. */
    void (*codes)(const int32_t *const x[4], int32_t count, const uint16_t *lanes, int32_t (*sum)[XH_LANES]);
} xh_path;

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
