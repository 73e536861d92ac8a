/* Where the pixels of a binary product read: see xh_areas.c. */
#ifndef XH_AREAS_H
#define XH_AREAS_H

#include "xh_path.h"

/* A map of packed words that windows read: [height][width][stride] words, of which a product
 * takes `words`; `top` and `left`: padding that is not written into it. */
typedef struct xh_binary_map {
    int32_t height, width, stride, words, top, left;
} xh_binary_map;

/* Output rows or columns [first, end) that read the taps [tap, tap_end). */
typedef struct xh_span {
    int32_t first, end, tap, tap_end;
} xh_span;

/* Pixels of the output map that read the same taps. */
typedef struct xh_area {
    xh_span y, x;
    int32_t taps, runs;
    xh_run_of_words *run; /* `map` counts words from a pixel's first tap on the map */
    ptrdiff_t first;      /* words from the map's first to that tap of the first pixel */
} xh_area;

/* How many areas there are, and how many runs in all. */
typedef struct xh_areas {
    size_t areas, runs;
} xh_areas;

/* Makes the areas of a product's output map, with their runs; NULL for both: they are counted alone. */
xh_areas xh_areas_make(const xh_window *window, const xh_binary_map *map, const xh_tensor *output, xh_area *area,
                       xh_run_of_words *run);

#endif
