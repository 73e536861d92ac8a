/* Plain C for any processor. */
#include "xh_layout_parts.h"

static void look_up(const uint8_t table[256], const uint8_t *x, size_t n, uint8_t *y)
{
    look_up_bytes(table, x, n, y);
}

static void add(uint8_t shift, const uint8_t *x, size_t n, uint8_t *y) { add_bytes(shift, x, n, y); }

static void interleave(const uint8_t *from, size_t stride, size_t channels, size_t pixels, uint8_t *to)
{
    interleave_bytes(from, stride, channels, 0, pixels, to);
}

static void separate3(const uint8_t *from, size_t pixels, uint8_t *to, size_t stride)
{
    separate3_bytes(from, 0, pixels, to, stride);
}

/* Eight bytes as a number: the product adds bit 8 i shifted to place 56 + i, and no two meet. */
static void bits(const uint8_t *x, size_t n, int32_t signs, uint8_t *to)
{
    size_t i = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    for (; i + 8 <= n; i += 8) {
        uint64_t eight;
        memcpy(&eight, x + i, 8);
        eight = (signs ? ~eight >> 7 : eight) & 0x0101010101010101u;
        to[i / 8] = (uint8_t)(eight * 0x0102040810204080u >> 56);
    }
#endif
    few_bits(x + i, n - i, signs, to + i / 8);
}

static void words(const int32_t *from, size_t channels, size_t pixels, int32_t *to)
{
    few_words(from, channels, pixels, 0, pixels, to);
}

static int runs_here(void) { return 1; }

const xh_layout_path xh_layout_plain = {"plain", runs_here, look_up, add, interleave, NULL, separate3, bits, words};
