/* SSSE3: a byte shuffle looks up 16 bytes in a row of 16 entries. */
#include "xh_layout.h"

#if defined(__x86_64__) || defined(__i386__)
#pragma GCC target("ssse3")
#include "xh_layout_sse.h"

static void interleave(const uint8_t *from, size_t stride, size_t channels, size_t pixels, uint8_t *to)
{
    if (channels == 3)
        interleave3(from, stride, pixels, to);
    else if (channels == 4)
        interleave4(from, stride, pixels, to);
    else
        squares(from, stride, channels, pixels, to);
}

/* Sixteen shuffles of 16 bytes take longer than sixteen readings of a table. */
static void look_up(const uint8_t table[256], const uint8_t *x, size_t n, uint8_t *y)
{
    look_up_bytes(table, x, n, y);
}

static void add(uint8_t shift, const uint8_t *x, size_t n, uint8_t *y) { add_bytes(shift, x, n, y); }

static void bits(const uint8_t *x, size_t n, int32_t signs, uint8_t *to)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m128i at = load16(x + i);
        const int found = signs ? ~_mm_movemask_epi8(at) : _mm_movemask_epi8(_mm_slli_epi16(at, 7));
        const uint16_t sixteen = (uint16_t)found;
        memcpy(to + i / 8, &sixteen, 2);
    }
    few_bits(x + i, n - i, signs, to + i / 8);
}

static int runs_here(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("ssse3");
}

const xh_layout_path xh_layout_ssse3 = {"ssse3", runs_here, look_up, add, interleave, NULL, separate3, bits, words};
#endif
