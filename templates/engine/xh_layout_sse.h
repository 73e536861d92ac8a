/* The layout's moves of 16 bytes, for every x86 path: included behind the choice of instructions. */
#include <tmmintrin.h>

#include "xh_layout_parts.h"

XH_INLINE __m128i load16(const void *from) { return _mm_loadu_si128((const __m128i *)from); }
XH_INLINE void store16(void *to, __m128i x) { _mm_storeu_si128((__m128i *)to, x); }

/* Four rounds, each of which puts the halves of two rows together: row r meets row r + 8, so that
 * after the fourth row r holds what was column r. */
XH_INLINE void square(const uint8_t *const row[16], uint8_t *to, size_t stride)
{
    __m128i x[16], y[16];
    for (int r = 0; r < 16; r++)
        x[r] = load16(row[r]);
    for (int round = 0; round < 4; round++) {
        for (int r = 0; r < 8; r++) {
            y[2 * r] = _mm_unpacklo_epi8(x[r], x[r + 8]);
            y[2 * r + 1] = _mm_unpackhi_epi8(x[r], x[r + 8]);
        }
        for (int r = 0; r < 16; r++)
            x[r] = y[r];
    }
    for (int r = 0; r < 16; r++)
        store16(to + (size_t)r * stride, x[r]);
}

XH_INLINE void word_square(const int32_t *from, size_t across, int32_t *to, size_t down)
{
    const __m128i a = load16(from), b = load16(from + across);
    const __m128i c = load16(from + 2 * across), d = load16(from + 3 * across);
    const __m128i ac = _mm_unpacklo_epi32(a, c), bd = _mm_unpacklo_epi32(b, d);
    const __m128i ac2 = _mm_unpackhi_epi32(a, c), bd2 = _mm_unpackhi_epi32(b, d);
    store16(to, _mm_unpacklo_epi32(ac, bd));
    store16(to + down, _mm_unpackhi_epi32(ac, bd));
    store16(to + 2 * down, _mm_unpacklo_epi32(ac2, bd2));
    store16(to + 3 * down, _mm_unpackhi_epi32(ac2, bd2));
}

#define XH_SIDE 16
#include "xh_layout_squares.h"

/* Byte i of vector v of three interleaved ones is byte (16 v + i) / 3 of plane (16 v + i) % 3; and the
 * other way round, byte i of a plane is byte (3 i + plane) % 16 of vector (3 i + plane) / 16. */
#define TOGETHER(v, plane, i) ((16 * (v) + (i)) % 3 == (plane) ? (16 * (v) + (i)) / 3 : -1)
#define APART(plane, v, i) ((3 * (i) + (plane)) / 16 == (v) ? (3 * (i) + (plane)) % 16 : -1)
#define BYTES4(F, a, b, i) F(a, b, i), F(a, b, (i) + 1), F(a, b, (i) + 2), F(a, b, (i) + 3)
#define BYTES16(F, a, b) {BYTES4(F, a, b, 0), BYTES4(F, a, b, 4), BYTES4(F, a, b, 8), BYTES4(F, a, b, 12)}
#define SHUFFLES(F)                                                         \
    {                                                                       \
        {BYTES16(F, 0, 0), BYTES16(F, 0, 1), BYTES16(F, 0, 2)},             \
            {BYTES16(F, 1, 0), BYTES16(F, 1, 1), BYTES16(F, 1, 2)},         \
            {BYTES16(F, 2, 0), BYTES16(F, 2, 1), BYTES16(F, 2, 2)},         \
    }
static const int8_t together[3][3][16] = SHUFFLES(TOGETHER), apart[3][3][16] = SHUFFLES(APART);

/* Vector v of what three vectors are shuffled into. */
XH_INLINE __m128i three_shuffled(const int8_t shuffle[3][16], __m128i a, __m128i b, __m128i c)
{
    return _mm_or_si128(
        _mm_or_si128(_mm_shuffle_epi8(a, load16(shuffle[0])), _mm_shuffle_epi8(b, load16(shuffle[1]))),
        _mm_shuffle_epi8(c, load16(shuffle[2])));
}

static void interleave3(const uint8_t *from, size_t stride, size_t pixels, uint8_t *to)
{
    size_t p = 0;
    for (; p + 16 <= pixels; p += 16) {
        const __m128i a = load16(from + p), b = load16(from + stride + p), c = load16(from + 2 * stride + p);
        for (int v = 0; v < 3; v++)
            store16(to + 3 * p + 16 * v, three_shuffled(together[v], a, b, c));
    }
    interleave_bytes(from, stride, 3, p, pixels, to);
}

static void interleave4(const uint8_t *from, size_t stride, size_t pixels, uint8_t *to)
{
    size_t p = 0;
    for (; p + 16 <= pixels; p += 16) {
        const __m128i a = load16(from + p), b = load16(from + stride + p);
        const __m128i c = load16(from + 2 * stride + p), d = load16(from + 3 * stride + p);
        const __m128i ab = _mm_unpacklo_epi8(a, b), cd = _mm_unpacklo_epi8(c, d);
        const __m128i ab2 = _mm_unpackhi_epi8(a, b), cd2 = _mm_unpackhi_epi8(c, d);
        store16(to + 4 * p, _mm_unpacklo_epi16(ab, cd));
        store16(to + 4 * p + 16, _mm_unpackhi_epi16(ab, cd));
        store16(to + 4 * p + 32, _mm_unpacklo_epi16(ab2, cd2));
        store16(to + 4 * p + 48, _mm_unpackhi_epi16(ab2, cd2));
    }
    interleave_bytes(from, stride, 4, p, pixels, to);
}

static void separate3(const uint8_t *from, size_t pixels, uint8_t *to, size_t stride)
{
    size_t p = 0;
    for (; p + 16 <= pixels; p += 16) {
        const __m128i a = load16(from + 3 * p), b = load16(from + 3 * p + 16), c = load16(from + 3 * p + 32);
        for (int plane = 0; plane < 3; plane++)
            store16(to + (size_t)plane * stride + p, three_shuffled(apart[plane], a, b, c));
    }
    separate3_bytes(from, p, pixels, to, stride);
}
