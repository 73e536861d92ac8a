/* What every path of the layout does to the elements that fill no vector, and where its instructions
 * help nothing. */
#ifndef XH_LAYOUT_PARTS_H
#define XH_LAYOUT_PARTS_H

#include <string.h>

#include "xh_layout.h"

#define XH_INLINE static inline __attribute__((always_inline, unused))

/* Eight at a time: what bounds this is reading the table, a byte a clock. */
XH_INLINE void look_up_bytes(const uint8_t *table, const uint8_t *x, size_t n, uint8_t *y)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint8_t found[8] = {table[x[i]],     table[x[i + 1]], table[x[i + 2]], table[x[i + 3]],
                                  table[x[i + 4]], table[x[i + 5]], table[x[i + 6]], table[x[i + 7]]};
        memcpy(y + i, found, 8);
    }
    for (; i < n; i++)
        y[i] = table[x[i]];
}

XH_INLINE void add_bytes(uint8_t shift, const uint8_t *x, size_t n, uint8_t *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (uint8_t)(x[i] + shift);
}

/* The pixels [first, end). */
XH_INLINE void interleave_bytes(const uint8_t *from, size_t stride, size_t channels, size_t first, size_t end,
                                uint8_t *to)
{
    for (size_t c = 0; c < channels; c++)
        for (size_t p = first; p < end; p++)
            to[p * channels + c] = from[c * stride + p];
}

XH_INLINE void separate3_bytes(const uint8_t *from, size_t first, size_t end, uint8_t *to, size_t stride)
{
    for (size_t p = first; p < end; p++)
        for (size_t c = 0; c < 3; c++)
            to[c * stride + p] = from[3 * p + c];
}

XH_INLINE void few_bits(const uint8_t *x, size_t n, int32_t signs, uint8_t *to)
{
    for (size_t i = 0; i < n; i += 8) {
        unsigned bits = 0;
        for (size_t b = 0; b < 8 && i + b < n; b++)
            bits |= (signs ? (x[i + b] >> 7 ^ 1u) : (x[i + b] & 1u)) << b;
        to[i / 8] = (uint8_t)bits;
    }
}

/* The pixels [first, end). */
XH_INLINE void few_words(const int32_t *from, size_t channels, size_t pixels, size_t first, size_t end, int32_t *to)
{
    for (size_t c = 0; c < channels; c++)
        for (size_t p = first; p < end; p++)
            to[c * pixels + p] = from[p * channels + c];
}

#endif
